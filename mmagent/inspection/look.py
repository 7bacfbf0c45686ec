"""Look at one file: which modality it is, what is in it, and what it costs."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mmagent.errors import UserError, did_you_mean
from mmagent.inspection.cost import TokenCost, token_cost
from mmagent.reading import file_and_part, stdin
from mmagent.sniff import HEAD, possible, starts_like

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mmagent.modality import Modality, ProfilingReader
    from mmagent.plugins import Plugins
    from mmagent.profile import Profile

__all__ = ["Inspection", "inspect_file", "modality_of"]

STDIN = "-"


@dataclass(frozen=True)
class Inspection:
    """What was found in one file.

    source       its path as it was given, or "-"
    bytes        its size; None for standard input
    description  the reader's line about it
    fingerprint  sha256 of the decoded content
    profile      None where the modality's reader has none
    cost         None where no bundle was asked
    """

    source: str
    modality: str
    bytes: int | None
    description: str
    fingerprint: str
    profile: Profile | None = field(repr=False)
    cost: TokenCost | None

    def draw(self, figure: Figure) -> bool:
        """Draw the input onto a matplotlib figure; False where its modality draws nothing."""
        if self.profile is None or self.profile.draw is None:
            return False
        self.profile.draw(figure)
        return True

    def as_json(self) -> dict[str, Any]:
        """The same as plain data; a number that JSON cannot hold (nan, inf) becomes None."""
        profile = self.profile
        return {
            "source": self.source,
            "modality": self.modality,
            "bytes": self.bytes,
            "description": self.description,
            "fingerprint": self.fingerprint,
            "summary": None if profile is None else profile.summary,
            "aspects": None
            if profile is None
            else {
                aspect: {name: _plain(value) for name, value in told.items()}
                for aspect, told in profile.aspects.items()
            },
            "tokens": None if self.cost is None else self.cost.as_json(),
        }


def inspect_file(
    source: str | Path,
    *,
    modality: str | None = None,
    bundle: str | Path | None = "tiny",
    plugins: Plugins | None = None,
) -> Inspection:
    """Read a file (or "-", standard input) and tell what is in it; "FILE#3" is a part of one that holds many.

    `modality` is found by content, then by suffix, where it is not given. `bundle` None asks no bundle what
    the file costs. Raises `UserError` for what is missing, damaged, recognised by nobody or by several.
    """
    from mmagent.plugins import load_plugins

    plugins = plugins or load_plugins()
    name = os.fspath(source)
    found = _demand(modality, plugins) if modality is not None else modality_of(name, plugins.modalities)
    reader = cast("ProfilingReader", plugins.resolve(plugins.modalities[found].reader)())
    raw = reader.load(name)
    profiled = getattr(reader, "profile", None)
    return Inspection(
        source=name,
        modality=found,
        bytes=None if name == STDIN else _size(file_and_part(name)[0]),
        description=reader.describe(raw),
        fingerprint=reader.fingerprint(raw),
        profile=None if profiled is None else profiled(raw),
        cost=None if bundle is None else _cost(bundle, found, plugins),
    )


def modality_of(source: str | Path, modalities: Mapping[str, Modality]) -> str:
    """The modality that a file's content announces; of several, or of none, the only one with its suffix.

    Raises `UserError` where nobody recognises it, or several do; it says which there are and how to choose.
    """
    name = os.fspath(source)
    file = file_and_part(name)[0]
    head = _head(file)
    found = possible(head, Path(file).suffix, modalities)
    if not found:
        raise UserError(
            f"{name} is read by no modality that is installed: it starts like {starts_like(head)}. "
            f"There are: {_told(modalities)}. Name one with --modality, or install a plugin that reads it."
        )
    if len(found) > 1:
        options = " or ".join(f"--modality {one.name}" for one in found)
        raise UserError(f"{name} can be read as {_listed(found)}. Choose with {options}.")
    return found[0].name


def _demand(modality: str, plugins: Plugins) -> str:
    if modality in plugins.modalities:
        return modality
    out = [problem.line() for problem in plugins.problems if problem.plugin == modality]
    raise UserError(
        f"no modality called {modality!r}. There are: {', '.join(plugins.modalities) or 'none'}."
        f"{did_you_mean(modality, plugins.modalities)}{''.join(f' The {line}.' for line in out)}"
    )


def _head(name: str) -> bytes:
    """The first bytes of a file, or of standard input, which still gives them to whoever reads it next."""
    path = Path(name)
    try:
        if name == STDIN:
            head = _peeked()
        elif path.is_dir():
            raise UserError(f"{name} is a directory. Name files in it, such as {path / '*'}.")
        elif path.exists() and not path.is_file():
            raise UserError(f"{name} is a pipe or a device. Name its modality, or read it with '-'.")
        else:
            with path.open("rb") as stream:
                head = stream.read(HEAD)
    except FileNotFoundError as error:
        raise UserError(f"there is no file {name}. Check the path.") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{name} cannot be read: {error}. Check the path and its permissions.") from error
    if not head:
        where = "standard input" if name == STDIN else name
        raise UserError(f"{where} is empty (0 bytes), so there is nothing to inspect.")
    return head


def _peeked() -> bytes:
    """The first bytes of standard input, which stay there for the reader."""
    stream = stdin()
    if not hasattr(stream, "peek"):
        raise UserError("standard input cannot be looked at before it is read. Name its modality.")
    return bytes(stream.peek(HEAD)[:HEAD])


def _size(name: str) -> int | None:
    try:
        return os.stat(name).st_size
    except OSError:
        return None


def _cost(bundle: str | Path, modality: str, plugins: Plugins) -> TokenCost:
    from mmagent.bundle import Bundle, find_bundle

    opened = Bundle.open(find_bundle(bundle, plugins.bundles), check_content=False)
    return token_cost(opened, modality, plugins)


def _told(modalities: Mapping[str, Modality]) -> str:
    return ", ".join(f"{one.name} ({' '.join(one.extensions)})" for one in modalities.values()) or "none"


def _listed(modalities: list[Modality]) -> str:
    *others, last = [one.name for one in modalities]
    return f"{', '.join(others)} or {last}"


def _plain(value: Any) -> Any:
    """A told value as JSON holds it; numpy's numbers become Python's."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
