"""A plugin as `mmagent plugins new` writes it, installed for the tests of this room."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmagent.scaffold import write_plugin


def register(site: Path, name: str) -> None:
    """What pip leaves of a plugin: its name, and what it brings."""
    info = site / f"mmagent_{name}-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: mmagent-{name}\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(f"[mmagent]\n{name} = mmagent_{name}\n")


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a new plugin `thermal`, with what makes it found beside its package."""
    place = tmp_path_factory.mktemp("kit") / "mmagent-thermal"
    write_plugin("thermal", place, description="heat seen by a camera: .npy or .csv of Kelvin")
    register(place, "thermal")
    return place


@pytest.fixture
def thermal(written: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The plugin `thermal`, found by this process and those it starts."""
    monkeypatch.syspath_prepend(str(written))
    yield written
    for name in [name for name in sys.modules if name.partition(".")[0] == "mmagent_thermal"]:
        del sys.modules[name]
