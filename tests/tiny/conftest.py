"""The recipe of the embedded bundle is a folder of scripts; its modules are imported from there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

RECIPE = Path(__file__).resolve().parents[2] / "examples" / "tiny"


@pytest.fixture(autouse=True)
def recipe_on_path() -> Iterator[None]:
    """The recipe's folder first on the path, as when one of its scripts runs."""
    sys.path.insert(0, str(RECIPE))
    yield
    sys.path.remove(str(RECIPE))
