"""Where a run keeps what it is not done with: hidden, beside the bundle that it writes."""

from __future__ import annotations

import shutil
from pathlib import Path

from mmagent.manifest import MANIFEST

__all__ = ["before_of", "clear", "put_by", "states_of", "waits_for_its_end"]


def states_of(out: Path) -> Path:
    """The folder of the states of a run into the bundle `out`; it is there until the run is at its end."""
    return out.with_name(f".{out.name}.training")


def before_of(out: Path) -> Path:
    """The folder of the states of an earlier run that was not gone on with."""
    return out.with_name(f".{out.name}.training-before")


def waits_for_its_end(out: Path) -> bool:
    """Whether a run was ended after its bundle had appeared, with something left to do."""
    return (out / MANIFEST).is_file() and states_of(out).is_dir()


def put_by(out: Path) -> None:
    """Move the states of a run that is not gone on with out of the way, so that a slip loses nothing."""
    if states_of(out).exists():
        shutil.rmtree(before_of(out), ignore_errors=True)
        states_of(out).rename(before_of(out))


def clear(out: Path) -> None:
    """Take away all states: by a rename first, so that none is ever found that is half gone."""
    gone = out.with_name(f".{out.name}.training-done")
    shutil.rmtree(gone, ignore_errors=True)
    if states_of(out).exists():
        states_of(out).rename(gone)
    for left in (gone, before_of(out)):
        shutil.rmtree(left, ignore_errors=True)
