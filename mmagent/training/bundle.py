"""What a run leaves behind: a bundle like any other, with the hash of every part and how it was trained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmagent.bundle import CORE_ADAPTER, Bundle
from mmagent.errors import UserError
from mmagent.files import list_files
from mmagent.manifest import MANIFEST

if TYPE_CHECKING:
    from torch import nn

    from mmagent.training.chosen import Chosen

__all__ = ["taken", "what_trained", "write_trained"]

LARGE = 2 << 30  # bytes: a core or encoder from here on is named by its place instead of copied


def write_trained(
    out: Path,
    parent: Bundle,
    sense: str,
    *,
    encoder: str,
    by_name: str = "",
    chosen: Chosen,
    adapter: nn.Module,
    core_adapter: nn.Module | None,
    training: Mapping[str, Any],
    scores: Mapping[str, Any],
    card: str,
    calibration: Mapping[str, Any] | None = None,
    replace: bool = False,
) -> Bundle:
    """Write the bundle `out`: the parent's core and other senses, and the new adapter of sense, core or both.

    adapter: of the sense; where none was trained (`chosen.sense` is None) the parent's file is taken.
    core_adapter: what was trained inside of the core; without one, the parent's, if any, goes along.
    encoder: a directory or hub id. Where it is the parent's own, the parent's shot memory stays; it was made
    for those features. by_name: the word by which the modality names its own encoder, which is kept as it
    is. training: what the manifest keeps of the run (data, settings, split, command). Core
    and encoder are copied in, so that the bundle travels; one of 2 GiB or more, or a hub id, is named by its
    place. Raises `UserError`, also where `out` is there already, unless `replace`.
    """
    raw = json.loads((parent.path / MANIFEST).read_text(encoding="utf-8"))
    parts: dict[str, Any] = {}
    core: dict[str, Any] = {"path": taken(parent.core, "core", parts)}
    if chosen.core is not None and core_adapter is not None:
        core["adapter"] = _entry(chosen.core.name, core_adapter, CORE_ADAPTER, parts)
    elif parent.core_adapter is not None:
        core["adapter"] = raw["core"]["adapter"]
        parts[parent.core_adapter.weights] = parent.path / parent.core_adapter.weights
    senses: dict[str, Any] = {}
    for name, entry in raw.get("senses", {}).items():
        if name != sense:
            senses[name] = entry
            parts.update({file: parent.path / file for file in parent.files if file.startswith(f"{name}/")})
    own = sense in parent.senses and encoder == parent.senses[sense].encoder
    senses[sense] = {"encoder": taken(encoder, f"{sense}/encoder", parts, by_name)}
    kept = parent.senses[sense].adapter if sense in parent.senses else None
    if chosen.sense is not None:
        weights = f"{sense}/adapter.safetensors"
        senses[sense]["adapter"] = _entry(chosen.sense.name, adapter, weights, parts)
    elif kept is not None:
        senses[sense]["adapter"] = raw["senses"][sense]["adapter"]
        parts[kept.weights] = parent.path / kept.weights
    if own:
        memory = raw["senses"][sense].get("memory", {})
        senses[sense]["memory"] = memory
        entry = parent.senses[sense]
        if entry.tensor_names():
            parts[entry.memory_file] = parent.path / entry.memory_file
    manifest = {
        "name": out.name,
        "version": "0.1.0",
        "description": f"{parent.name} with {what_trained(chosen, sense)}, fine-tuned on {training['data']}",
        "core": core,
        "senses": senses,
        "prompts": raw.get("prompts", {}),
        "scores": dict(scores),
        "licence": "",
        "trained": dict(training),
    }
    if calibration:
        manifest["calibration"] = dict(calibration)
    return Bundle.write(out, manifest, parts, card=card, replace=replace)


def what_trained(chosen: Chosen, sense: str) -> str:
    """What a run trained, in words."""
    parts = [
        *([f"a `{chosen.sense.name}` adapter for {sense}"] if chosen.sense else []),
        *([f"a `{chosen.core.name}` adapter inside of the core"] if chosen.core else []),
    ]
    return " and ".join(parts)


def _entry(family: str, adapter: nn.Module, weights: str, parts: dict[str, Any]) -> dict[str, Any]:
    """An adapter as the manifest has it; its tensors go to the parts."""
    parts[weights] = adapter.state_dict()
    return {"family": family, "config": dict(adapter.config), "weights": weights}  # type: ignore[arg-type]


def taken(place: str, name: str, parts: dict[str, Any], by_name: str = "") -> str:
    """The directory at `place` as a part called `name`; too large a one, or a hub id, stays where it is.

    So does the word `by_name`, whatever lies under it.
    """
    directory = Path(place)
    if place == by_name or not directory.is_dir():
        return place
    total = sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
    if total >= LARGE:
        return str(directory.resolve())
    if not list_files(directory):
        raise UserError(f"{place} holds no files. Give a model directory or a hub id.")
    parts[name] = directory
    return name
