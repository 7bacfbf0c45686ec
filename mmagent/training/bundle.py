"""What a run leaves behind: a bundle like any other, with the hash of every part and how it was trained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmagent.bundle import Bundle
from mmagent.errors import UserError
from mmagent.files import list_files
from mmagent.manifest import MANIFEST

if TYPE_CHECKING:
    from torch import nn

__all__ = ["write_trained"]

LARGE = 2 << 30  # bytes: a core or encoder from here on is named by its place instead of copied


def write_trained(
    out: Path,
    parent: Bundle,
    sense: str,
    *,
    encoder: str,
    family: str,
    adapter: nn.Module,
    training: Mapping[str, Any],
    scores: Mapping[str, Any],
    card: str,
    calibration: Mapping[str, Any] | None = None,
    replace: bool = False,
) -> Bundle:
    """Write the bundle `out`: the parent's core and other senses, and this sense with its new adapter.

    encoder: a directory or hub id. Where it is the parent's own, the parent's shot memory stays; it was made
    for those features. training: what the manifest keeps of the run (data, settings, split, command). Core
    and encoder are copied in, so that the bundle travels; one of 2 GiB or more, or a hub id, is named by its
    place. Raises `UserError`, also where `out` is there already, unless `replace`.
    """
    raw = json.loads((parent.path / MANIFEST).read_text(encoding="utf-8"))
    parts: dict[str, Any] = {}
    core = _taken(parent.core, "core", parts)
    senses: dict[str, Any] = {}
    for name, entry in raw.get("senses", {}).items():
        if name != sense:
            senses[name] = entry
            parts.update({file: parent.path / file for file in parent.files if file.startswith(f"{name}/")})
    own = sense in parent.senses and encoder == parent.senses[sense].encoder
    weights = f"{sense}/adapter.safetensors"
    senses[sense] = {
        "encoder": _taken(encoder, f"{sense}/encoder", parts),
        "adapter": {"family": family, "config": dict(adapter.config), "weights": weights},  # type: ignore[arg-type]
    }
    parts[weights] = adapter.state_dict()
    if own:
        memory = raw["senses"][sense].get("memory", {})
        senses[sense]["memory"] = memory
        entry = parent.senses[sense]
        if entry.tensor_names():
            parts[entry.memory_file] = parent.path / entry.memory_file
    manifest = {
        "name": out.name,
        "version": "0.1.0",
        "description": f"{parent.name} with a {family} adapter for {sense}, fine-tuned on {training['data']}",
        "core": {"path": core},
        "senses": senses,
        "prompts": raw.get("prompts", {}),
        "scores": dict(scores),
        "licence": "",
        "trained": dict(training),
    }
    if calibration:
        manifest["calibration"] = dict(calibration)
    return Bundle.write(out, manifest, parts, card=card, replace=replace)


def _taken(place: str, name: str, parts: dict[str, Any]) -> str:
    """The directory at `place` as a part called `name`; too large a one, or a hub id, stays where it is."""
    directory = Path(place)
    if not directory.is_dir():
        return place
    total = sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
    if total >= LARGE:
        return str(directory.resolve())
    if not list_files(directory):
        raise UserError(f"{place} holds no files. Give a model directory or a hub id.")
    parts[name] = directory
    return name
