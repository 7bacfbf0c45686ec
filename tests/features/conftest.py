"""Where a test keeps its features."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# The helpers beside these tests can be imported by name.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "features"
