"""Writing the package of a new modality from the templates beside this module, whole or not at all."""

from __future__ import annotations

import json
import keyword
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mmagent import __version__
from mmagent.errors import UserError
from mmagent.plugins import RESERVED

__all__ = ["Scaffold", "write_plugin"]

TEMPLATES = Path(__file__).parent / "template"
LONGEST = 40  # characters of a name, which is an option, a package and a column
DESCRIPTION = "numbers that a sensor of your own wrote: .npy or .csv"


@dataclass(frozen=True)
class Scaffold:
    """What was written.

    folder        the new folder
    distribution  what pip calls it
    package       what Python imports
    files         relative to the folder, in reading order
    """

    folder: Path
    distribution: str
    package: str
    files: tuple[str, ...]


def write_plugin(
    name: str,
    directory: Path | None = None,
    *,
    description: str = "",
    taken: Mapping[str, str] | None = None,
) -> Scaffold:
    """Write a package that brings the modality `name`, into `directory` (mmagent-NAME here).

    taken: names that a modality or plugin has already, with what brings each. The package works as it is
    written: it installs, passes its tests, and reads arrays of numbers. Raises `UserError` for a name that
    cannot be used and a directory that is there already.
    """
    _check_name(name, taken or {})
    package = f"mmagent_{name}"
    distribution = package.replace("_", "-")
    folder = directory or Path(distribution)
    description = " ".join("".join(filter(_shown, description)).split()).rstrip(" .") or DESCRIPTION
    _check_folder(folder)
    values = {
        "name": name,
        "option": name.replace("_", "-"),
        "package": package,
        "distribution": distribution,
        "title": "".join(part.capitalize() for part in name.split("_")),
        "description": description,
        "docstring": description.replace("\\", "/").replace('"', "'"),
        "quoted": json.dumps(description, ensure_ascii=False),  # a string in Python and in TOML alike
        "version": __version__,
    }
    files = _rendered(values)
    try:
        _put(folder, files)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}. Give another --dir.") from error
    return Scaffold(folder, distribution, package, tuple(files))


def _check_name(name: str, taken: Mapping[str, str]) -> None:
    good = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_").lstrip("0123456789_")
    hint = f" {good!r} would do." if good and good != name else ""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise UserError(
            f"a modality cannot be called {name!r}: its name becomes an option and a Python package, so it "
            f"is made of lower-case letters, digits and _, a letter first.{hint}"
        )
    if len(name) > LONGEST:
        raise UserError(f"{name[:LONGEST]}... is too long for a name: at most {LONGEST} characters.")
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise UserError(f"a modality cannot be called {name!r}: that is a word of Python. Give another name.")
    if name in RESERVED:
        raise UserError(
            f"a modality cannot be called {name!r}: an option or a column of the data has that name. "
            "Give another one."
        )
    if name in taken:
        raise UserError(
            f"{name!r} is taken: {taken[name]} brings it. Give another name; mmagent plugins lists those "
            "there are."
        )
    if (package := f"mmagent_{name}") in _own_packages():
        raise UserError(f"{package} is a package of mmagent itself. Give another name than {name!r}.")


def _own_packages() -> Iterable[str]:
    """Packages beside which a new one cannot be imported: those that Python would find already."""
    import importlib.util

    for name in ("adapters", "tiny", "prompts", "cli"):
        if f"mmagent_{name}" in sys.modules or importlib.util.find_spec(f"mmagent_{name}"):
            yield f"mmagent_{name}"


def _shown(character: str) -> bool:
    """Whether a character may stand in one line of text."""
    return character.isprintable() or character.isspace()


def _check_folder(folder: Path) -> None:
    if folder.is_symlink() or folder.exists():
        raise UserError(f"{folder} is there already, and nothing in it is touched. Give another --dir.")
    if not folder.parent.is_dir():
        raise UserError(f"there is no folder {folder.parent} to put {folder.name} into. Make it first.")


def _rendered(values: Mapping[str, str]) -> dict[str, str]:
    """The text of every file, by its path in the new folder; a template's path stands for it."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    )
    found = {}
    for file in sorted(TEMPLATES.rglob("*.jinja")):
        place = file.relative_to(TEMPLATES).as_posix()
        target = place.removesuffix(".jinja").replace("package/", f"{values['package']}/")
        target = target.replace("presets/name.", f"presets/{values['name']}.")
        found[target] = environment.get_template(place).render(values)
    return found


def _put(folder: Path, files: Mapping[str, str]) -> None:
    """Write the files aside, then rename the folder into its place."""
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        staging.chmod(0o755)
        for name, text in files.items():
            file = staging / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        staging.rename(folder)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
