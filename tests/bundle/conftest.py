"""A whole bundle, and a cache directory for each test."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mmagent.bundle import Bundle

# The helpers beside these tests can be imported by name.
sys.path.insert(0, str(Path(__file__).parent))

from kitchen_parts import MANIFEST, parts


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache directory of the test's own."""
    place = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(place))
    monkeypatch.setenv("LOCALAPPDATA", str(place))
    return place


@pytest.fixture
def kitchen(tmp_path: Path) -> Path:
    """A whole bundle."""
    return Bundle.write(tmp_path / "kitchen", MANIFEST, parts(tmp_path), card="# Kitchen\n").path
