"""Throw-away plugin distributions, and the command run in a process of its own that sees them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Install = Callable[..., None]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder that stands for a user's site-packages."""
    place = tmp_path / "site"
    place.mkdir()
    return place


@pytest.fixture
def install(site: Path) -> Install:
    """Install a module as a distribution with one entry point, as pip would leave it."""

    def installed(source: str, *, name: str = "thermal", distribution: str = "mmagent-thermal") -> None:
        module = distribution.replace("-", "_") + "_module"
        (site / f"{module}.py").write_text(source, encoding="utf-8")
        info = site / f"{distribution.replace('-', '_')}-0.3.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 0.3\n")
        (info / "entry_points.txt").write_text(
            f"[console_scripts]\nx = y:z\n\n[mmagent]\n{name} = {module}\n"
        )

    return installed


@pytest.fixture
def run(site: Path, tmp_path: Path) -> Run:
    """Run ``mmagent`` with these arguments in a fresh process that sees the throw-away plugins."""

    def ran(*arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(site), "COLUMNS": "100", **more}
        command = [sys.executable, "-m", "mmagent_cli", *map(str, arguments)]
        return subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=240
        )

    return ran
