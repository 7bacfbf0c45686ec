"""The embedded bundle `tiny`: a small core and an image sense trained by this project, ready offline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mmagent.hookspecs import hookimpl
from mmagent.source import BundleSource


@hookimpl
def register_bundles(register: Callable[[BundleSource], None]) -> None:
    """Add `tiny`."""
    register(BundleSource(name="tiny", path=Path(__file__).parent / "tiny", origin="embedded"))
