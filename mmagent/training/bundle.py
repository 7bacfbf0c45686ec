"""What a run leaves behind: a bundle like any other, with the hash of every part and how it was trained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmagent.bundle import CORE_ADAPTER, Bundle
from mmagent.errors import UserError
from mmagent.files import list_files
from mmagent.manifest import MANIFEST

if TYPE_CHECKING:
    from torch import nn

    from mmagent.adapter import AdapterFamily

__all__ = ["LearntSense", "taken", "what_trained", "write_trained"]

LARGE = 2 << 30  # bytes: a core or encoder from here on is named by its place instead of copied


@dataclass(frozen=True, eq=False)
class LearntSense:
    """One sense of a run, as it goes into the bundle.

    encoder  a directory or hub id;  by_name  the word by which the modality names its own encoder, which is
             kept as it is
    family   of what was trained; None: the parent's own adapter stays
    """

    encoder: str
    by_name: str
    family: AdapterFamily | None
    adapter: nn.Module


def write_trained(
    out: Path,
    parent: Bundle,
    learnt: Mapping[str, LearntSense],
    *,
    core_family: AdapterFamily | None,
    core_adapter: nn.Module | None,
    training: Mapping[str, Any],
    scores: Mapping[str, Any],
    card: str,
    calibration: Mapping[str, Any] | None = None,
    replace: bool = False,
) -> Bundle:
    """Write the bundle `out`: the parent's core and other senses, and the new adapters of senses and core.

    learnt: by sense; where nothing was trained for one (its family is None) the parent's file is taken. Where
    its encoder is the parent's own, the parent's shot memory stays; it was made for those features.
    core_adapter: what was trained inside of the core; without one, the parent's, if any, goes along.
    training: what the manifest keeps of the run (data, settings, split, command). Core and encoders are
    copied in, so that the bundle travels; one of 2 GiB or more, or a hub id, is named by its place. Raises
    `UserError`, also where `out` is there already, unless `replace`.
    """
    raw = json.loads((parent.path / MANIFEST).read_text(encoding="utf-8"))
    parts: dict[str, Any] = {}
    core: dict[str, Any] = {"path": taken(parent.core, "core", parts)}
    if core_family is not None and core_adapter is not None:
        core["adapter"] = _entry(core_family.name, core_adapter, CORE_ADAPTER, parts)
    elif parent.core_adapter is not None:
        core["adapter"] = raw["core"]["adapter"]
        parts[parent.core_adapter.weights] = parent.path / parent.core_adapter.weights
    senses: dict[str, Any] = {}
    for name, entry in raw.get("senses", {}).items():
        if name not in learnt:
            senses[name] = entry
            parts.update({file: parent.path / file for file in parent.files if file.startswith(f"{name}/")})
    for name, one in learnt.items():
        senses[name] = _sense(parent, raw, name, one, parts)
    what = what_trained({name: one.family for name, one in learnt.items()}, core_family)
    manifest = {
        "name": out.name,
        "version": "0.1.0",
        "description": f"{parent.name} with {what}, fine-tuned on {training['data']}",
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


def what_trained(families: Mapping[str, AdapterFamily | None], core_family: AdapterFamily | None) -> str:
    """What a run trained, in words."""
    parts = [f"a `{family.name}` adapter for {name}" for name, family in families.items() if family]
    parts += [f"a `{core_family.name}` adapter inside of the core"] if core_family else []
    return " and ".join(parts)


def _sense(
    parent: Bundle, raw: Mapping[str, Any], name: str, learnt: LearntSense, parts: dict[str, Any]
) -> dict[str, Any]:
    """The entry of a sense that learned; what it names goes to the parts."""
    before = parent.senses.get(name)
    entry: dict[str, Any] = {"encoder": taken(learnt.encoder, f"{name}/encoder", parts, learnt.by_name)}
    if learnt.family is not None:
        weights = f"{name}/adapter.safetensors"
        entry["adapter"] = _entry(learnt.family.name, learnt.adapter, weights, parts)
    elif before is not None and before.adapter is not None:
        entry["adapter"] = raw["senses"][name]["adapter"]
        parts[before.adapter.weights] = parent.path / before.adapter.weights
    if before is not None and learnt.encoder == before.encoder:
        entry["memory"] = raw["senses"][name].get("memory", {})
        if before.tensor_names():
            parts[before.memory_file] = parent.path / before.memory_file
    return entry


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
