"""docs/plugin.md runs from its first block to its last, in an environment of its own, as its reader would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("pip", reason="the tutorial installs a package, and this environment has no pip")
pytest.importorskip("hatchling", reason="what builds the package: pip install 'mmagent[test]'")
pytest.importorskip("sklearn", reason="training needs pip install 'mmagent[train]'")

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "plugin.md").read_text(encoding="utf-8")
OFFLINE = "pip install --no-deps --no-build-isolation --no-index -q"
SECONDS = 240


def blocks() -> Iterator[tuple[str, str]]:
    """Language and text of every fenced block, in order."""
    yield from re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)


def environment(place: Path) -> dict[str, str]:
    """A virtual environment over this one, so that what is installed goes with the test."""
    venv.create(place, with_pip=False)
    paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    site = next(place.glob("lib/python*/site-packages"), place / "Lib" / "site-packages")
    lines = [f"import site; site.addsitedir({path!r})" for path in sorted(paths)]
    (site / "beneath.pth").write_text("\n".join(lines) + "\n")
    scripts = place / ("Scripts" if sys.platform == "win32" else "bin")
    for name, module in {"pip": "pip", "mmagent": "mmagent_cli", "pytest": "pytest"}.items():
        (scripts / name).write_text(f'#!/bin/sh\nexec "{scripts}/python" -m {module} "$@"\n')
        (scripts / name).chmod(0o755)
    path = os.pathsep.join([str(scripts), os.environ["PATH"]])
    more = {"PATH": path, "VIRTUAL_ENV": str(place), "XDG_CACHE_HOME": str(place / "cache"), "COLUMNS": "200"}
    return {**os.environ, **more, "HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def test_the_tutorial_runs_from_its_first_to_its_last_line(tmp_path: Path) -> None:
    surroundings, here, said, told = environment(tmp_path / "env"), tmp_path / "here", [""], ""
    here.mkdir()
    for language, text in blocks():
        if language == "python":
            name = text.partition("\n")[0].removeprefix("# ")
            assert name.endswith(".py"), f"a block of Python says in its first line which file it is: {name}"
            assert "/" not in name or (here / name).is_file(), f"{name} is no file that `plugins new` wrote"
            (here / name).write_text(text, encoding="utf-8")
        elif language == "sh":
            command = text.replace("pip install", OFFLINE)
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", command],
                cwd=here,
                env=surroundings,
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
            assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
            said.append(done.stdout)
            told += done.stderr
        else:
            assert language == "text", f"a block is sh, python or text, not {language!r}"
            assert said[-1] == text
    assert "--bundle lamps --spectrum FILE" in told
    whole = "".join(said)
    assert re.search(r"^spectrum +0\.1\.0 +mmagent-spectrum +ok +modality spectrum", whole, re.MULTILINE)
    assert "spectrum: 17 passed, 0 failed, 4 skipped" in whole
    assert said[-1] == "mercury\n"
    assert (here / "lamps-eval" / "report.html").is_file()
