"""What a run that remembers leaves behind: the bundle it was added to, the shots, and a card."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmagent.bundle import CARD, Bundle
from mmagent.manifest import MANIFEST
from mmagent.training.bundle import taken

if TYPE_CHECKING:
    from mmagent.training.remember import Gathered, Remembered
    from mmagent.training.settings import TrainSettings

__all__ = ["write_remembered"]

OWNERS = "- **Licence of the data**"  # the first line of a card that its owner fills in


def write_remembered(
    out: Path, gathered: Gathered, found: Remembered, settings: TrainSettings, *, command: Sequence[str]
) -> Bundle:
    """Write the bundle `out`: every part of the agent's, the sense with its shots and how they vote.

    Of another encoder than the bundle's, the sense has no adapter: one was made for the features of the old.
    Core and encoder go along where they lie in directories of less than 2 GiB. Raises `UserError`.
    """
    parent, sense = gathered.agent.bundle, gathered.sense
    raw: dict[str, Any] = json.loads((parent.path / MANIFEST).read_text(encoding="utf-8"))
    trained_now = raw.get("trained") if found.joined else None
    parts: dict[str, Any] = {name: parent.path / name for name in parent.files}
    modalities = gathered.agent.plugins.modalities
    named = {name: one.encoder for name, one in modalities.items()}
    raw["core"]["path"] = _placed(parent, raw["core"]["path"], parent.core, "core", parts)
    senses = raw.setdefault("senses", {})
    for name, entry in senses.items():
        place = parent.senses[name].encoder
        by_name = named.get(name, "")
        entry["encoder"] = _placed(parent, entry["encoder"], place, f"{name}/encoder", parts, by_name)
    entry = senses.setdefault(sense, {})
    for name in _replaced(parent, sense, with_adapter=not gathered.own):
        parts.pop(name, None)
    if not gathered.own:
        entry.pop("adapter", None)
        for name in [name for name in parts if name.startswith(f"{sense}/encoder/")]:
            del parts[name]
        entry["encoder"] = taken(gathered.encoder, f"{sense}/encoder", parts, named[sense])
    entry["memory"], tensors = _memory(found)
    if tensors:
        parts[f"{sense}/memory.safetensors"] = tensors
    entry["shots"], more = found.shots.as_parts(sense)
    parts |= more
    told = _told(gathered, found, settings, list(command), trained_now)
    shots, data = f"{len(found.shots):,} shots of {sense}", gathered.data.source
    before = raw.get("description", "") if found.joined else parent.name
    manifest = {key: value for key, value in raw.items() if key not in ("format", "files", "calibration")}
    manifest |= {
        "name": out.name,
        "version": "0.1.0",
        "description": f"{before} with {shots} from {data}",
        "scores": {
            "validation": round(found.loudness.score, 4),
            "validation_examples": found.loudness.rows,
        },
        "licence": "",
        "trained": told,
    }
    return Bundle.write(out, manifest, parts, card=_card(out.name, gathered, found, told))


def _replaced(parent: Bundle, sense: str, *, with_adapter: bool) -> list[str]:
    """Files of the sense that new ones take the place of, or that no longer serve."""
    entry = parent.senses.get(sense)
    if entry is None:
        return []
    names = [entry.memory_file] if entry.tensor_names() else []
    names += [entry.shots.keys, entry.shots.texts] if entry.shots else []
    return names + ([entry.adapter.weights] if entry.adapter and with_adapter else [])


def _placed(
    parent: Bundle, word: str, place: str, name: str, parts: dict[str, Any], by_name: str = ""
) -> str:
    """A core or encoder that the parent names: inside it as it stands there, else added."""
    if any(file.startswith(f"{word}/") for file in parent.files):
        return word
    return taken(place, name, parts, by_name)


def _memory(found: Remembered) -> tuple[dict[str, Any], dict[str, Any]]:
    """The entry "memory" of the sense, and the tensors it names."""
    settings = found.loudness.settings
    entry: dict[str, Any] = {
        name: getattr(settings, name) for name in ("beta", "slope", "threshold", "power", "means")
    }
    tensors = {
        name: tensor for name in ("mean", "projection") if (tensor := getattr(settings, name)) is not None
    }
    return entry | {name: name for name in tensors}, tensors


def _told(
    gathered: Gathered,
    found: Remembered,
    settings: TrainSettings,
    command: list[str],
    before: dict[str, Any] | None,
) -> dict[str, Any]:
    """What the manifest keeps of the run; `before` is what the training of an adapter told."""
    from mmagent.data.identity import identity

    loudness, keys = found.loudness, found.keys
    memory: dict[str, Any] = {
        "shots": len(found.shots),
        "answers": len(set(found.shots.answers)),
        "questions": len(set(found.shots.questions)),
        "space": keys.space,
        "settings_tried": found.tried + loudness.tried,
        "votes_alone": round(keys.score, 4),
        "with_memory": round(loudness.score, 4),
        "without_memory": round(loudness.alone, 4),
        "rows": loudness.rows,
        "seconds": round(found.seconds, 1),
    }
    if found.tuned is not None:
        memory["tuning"] = {"best_epoch": found.tuned.best, "history": _plain(found.tuned.history)}
    data = gathered.data
    told = before or {
        "data": data.source,
        "format": data.format,
        "columns": dict(data.columns),
        "question": data.asked,
        "names": data.names,
        "rows_sha256": identity(data),
        "split": {"made_here": gathered.made_split, **gathered.split},
        "began_as": "nothing",
        "seconds": round(found.seconds, 1),
        "core_sha256": gathered.agent.core.fingerprint(),
    }
    return {**told, "settings": settings.as_json(), "memory": memory, "command": command}


def _plain(history: Sequence[tuple[float, float, float]]) -> list[dict[str, Any]]:
    """Per epoch: training loss (none before the first), score and likelihood of the votes."""
    return [
        {"epoch": at, "loss": None if at == 0 else loss, "score": score, "likelihood": likelihood}
        for at, (loss, score, likelihood) in enumerate(history)
    ]


def _card(name: str, gathered: Gathered, found: Remembered, told: dict[str, Any]) -> str:
    """The card as Markdown: that of the adapter that was trained with it, or a new one, and the memory."""
    lines = _memory_lines(gathered, found)
    if found.joined and (gathered.agent.bundle.path / CARD).is_file():
        before, owners, after = gathered.agent.bundle.card().partition(OWNERS)
        return "\n".join([before.rstrip("\n"), "", *lines, "", owners + after])
    material = gathered.material
    split = "a split made here, stratified, seeded" if gathered.made_split else "the split of the data"
    kept = (
        f"the `{gathered.agent.bundle.senses[gathered.sense].adapter.family}` adapter of the bundle as it was"  # type: ignore[union-attr]
        if gathered.own and gathered.agent.bundle.senses[gathered.sense].adapter
        else "no adapter: the memory alone carries the input"
    )
    return "\n".join(
        [
            f"# {name}",
            "",
            f"`{gathered.agent.bundle.name}` with {len(found.shots):,} shots of {gathered.sense}, remembered "
            f"from `{told['data']}`; {kept}.",
            "",
            f"- **Data**: {len(material.train):,} examples to remember, {len(material.validation):,} to "
            f"judge by ({split}; the rows are in `bundle.json`).",
            *lines,
            f"- **Command**: `{shlex.join(map(str, told['command']))}`",
            "",
            "- **Licence of the data**: to be filled in.",
            "- **Licence of this bundle**: to be filled in.",
            "- **What it is for, and what not**: to be filled in.",
            "",
        ]
    )


def _memory_lines(gathered: Gathered, found: Remembered) -> list[str]:
    """What the card says of the memory."""
    loudness, keys, tuning = found.loudness, found.keys, found.tuned
    settings = loudness.settings
    trained = "nothing was trained"
    if tuning is not None:
        epochs = len(tuning.history) - 1
        trained = f"keys fine-tuned for {epochs} epochs, the best kept ({tuning.best}; 0: untuned)"
    numbers = ", ".join(
        f"{name} {getattr(settings, name):.4g}" for name in ("beta", "power", "slope", "threshold")
    )
    return [
        f"- **Shot memory**: {len(found.shots):,} shots, {len(set(found.shots.answers)):,} answers; "
        f"{trained}. Keys: {keys.space}; {numbers}.",
        f"- **Chosen by the validation rows**: the keys and how sharply they vote among {found.tried} "
        f"settings (the votes alone are right on {100 * keys.score:.1f} %), how loudly they speak among "
        f"{loudness.tried}, by {loudness.rows:,} rows through the core: {100 * loudness.score:.1f} % right "
        f"with the memory, {100 * loudness.alone:.1f} % without, {found.seconds:.1f} s in all. The best of "
        "several was kept, so these figures are a little too good: measure on rows that were never looked "
        "at.",
    ]
