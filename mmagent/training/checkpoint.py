"""States to go on from after a crash: whole or not at all, and never pickled.

A state is a directory `step-000120`: tensors as safetensors, all else as JSON with the checksums of the
tensors. It is written beside, synced, then renamed; so whatever moment the process dies at, the last whole
state is there. All randomness of a run is drawn from its seed and the step, so weights, optimiser moments and
the step are the whole state.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmagent.errors import UserError
from mmagent.files import sha256_of
from mmagent.tensors import read_tensors, write_tensors

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["State", "facts", "latest", "save"]

NAME = re.compile(r"step-(\d{6,})")
FACTS = "state.json"
KEPT = 2  # states that are kept, the newest first


@dataclass(frozen=True)
class State:
    """One state of a run.

    step     steps taken
    tensors  by group and name: `adapter`, `best` (the best adapter so far), `optimiser`
    facts    everything else, as plain data
    """

    step: int
    tensors: Mapping[str, Mapping[str, Tensor]]
    facts: Mapping[str, Any]


def save(folder: Path, state: State) -> None:
    """Write a state; older ones than the newest two go. Raises `UserError` where the disk refuses."""
    target = folder / f"step-{state.step:06d}"
    aside = folder / f".{target.name}.{os.getpid()}"
    try:
        aside.mkdir(parents=True, exist_ok=True)
        sums = {}
        for group, tensors in state.tensors.items():
            write_tensors(aside / f"{group}.safetensors", tensors)
            _sync(aside / f"{group}.safetensors")
            sums[group] = sha256_of(aside / f"{group}.safetensors")
        text = json.dumps({"step": state.step, "groups": sums, "facts": dict(state.facts)})
        (aside / FACTS).write_text(text, encoding="utf-8")
        _sync(aside / FACTS)
        if target.exists():
            shutil.rmtree(target)
        aside.rename(target)
        _sync(folder)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise UserError(
            f"the state of step {state.step} could not be written to {folder} ({error.strerror or error}). "
            "The last one is kept: free some space and go on with --resume."
        ) from error
    for old in _states(folder)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
    for left in folder.glob(".step-*"):
        shutil.rmtree(left, ignore_errors=True)


def latest(folder: Path) -> State | None:
    """The newest whole state, None where there is none; a damaged one is passed over."""
    for place in _states(folder):
        found = _read(place)
        if found is not None:
            return found
    return None


def facts(folder: Path) -> dict[str, Any] | None:
    """What the newest state tells beside its tensors, None where there is none; cheap."""
    for place in _states(folder):
        try:
            return dict(json.loads((place / FACTS).read_text(encoding="utf-8"))["facts"])
        except (OSError, ValueError, KeyError):
            continue
    return None


def _states(folder: Path) -> list[Path]:
    """Directories of states, newest first."""
    if not folder.is_dir():
        return []
    named = [(int(match[1]), path) for path in folder.iterdir() if (match := NAME.fullmatch(path.name))]
    return [path for _, path in sorted(named, reverse=True)]


def _read(place: Path) -> State | None:
    try:
        told = json.loads((place / FACTS).read_text(encoding="utf-8"))
        files = {group: place / f"{group}.safetensors" for group in told["groups"]}
        if any(sha256_of(file) != told["groups"][group] for group, file in files.items()):
            return None
        tensors = {group: read_tensors(file) for group, file in files.items()}
        return State(int(told["step"]), tensors, told["facts"])
    except (OSError, ValueError, KeyError, UserError):
        return None


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
