"""Settings of training under a name: a TOML file that a plugin brings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mmagent.errors import UserError, did_you_mean

__all__ = ["Preset", "find_preset"]


@dataclass(frozen=True)
class Preset:
    """One preset, as a plugin announces it.

    name  the word `--preset` takes
    help  one line for people: what it is for
    file  a TOML file of `TrainSettings`; only what it names is changed
    """

    name: str
    help: str
    file: Path


def find_preset(name: str, presets: Mapping[str, Preset]) -> Path:
    """The file of a preset. Raises `UserError` that says which there are."""
    if name not in presets:
        there = ", ".join(presets) or "none"
        raise UserError(f"no preset called {name!r}. There are: {there}.{did_you_mean(name, presets)}")
    return presets[name].file
