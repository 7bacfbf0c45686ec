"""Training by remembering: the labelled examples become the shot memory of a bundle (Tip-Adapter).

Nothing goes through the core to learn. Features come from the cache; the validation rows choose in which
space keys are compared, how sharply they vote, and how loudly they speak against the core; what is written is
an ordinary bundle with shots of its own. It is added to a bundle that is there, be it the one that was
started from or one that has just been trained, so it joins any family.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mmagent.adapter import AdapterFamily
from mmagent.asked import sources_asked
from mmagent.errors import UserError
from mmagent.memory import MemorySettings
from mmagent.shotset import ranked
from mmagent.stored import StoredShots
from mmagent.training.keys import Keys, Material, Tuned, best_space, nearest, tuned
from mmagent.training.loudness import Loudness, Question, choose, ladder
from mmagent.training.settings import TrainSettings

if TYPE_CHECKING:
    from mmagent.agent import Agent
    from mmagent.bundle import Bundle
    from mmagent.core import Soft
    from mmagent.data import Example, LabelledSet
    from mmagent.feature_cache import CachedFeatures

__all__ = ["Gathered", "Remembered", "gather", "remember"]

ASKED = 256  # validation rows that are taken through the core
READ = 256  # features read from the cache at a time
OWN_SPACE = "the bundle's own settings"

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Gathered:
    """Labelled examples of one sense, encoded and split.

    encoder     its place;  own  whether it is the bundle's
    made_split  whether the validation rows were drawn here
    """

    agent: Agent
    sense: str
    encoder: str
    own: bool
    data: LabelledSet
    material: Material
    seen: CachedFeatures
    made_split: bool

    @property
    def split(self) -> dict[str, list[int]]:
        """Row numbers, as a bundle keeps them."""
        parts = {"train": self.material.train, "validation": self.material.validation}
        return {name: [one.row for one in rows] for name, rows in parts.items()}


@dataclass(frozen=True, eq=False)
class Remembered:
    """The bundle that was written, and what it came from.

    keys     their space and sharpness;  tuned  how they were fine-tuned, if they were
    loudness how it speaks against the core;  tried  settings of the keys;  seconds  without encoding
    joined   whether it was added to an adapter that was trained by the same command
    """

    bundle: Bundle
    shots: StoredShots
    keys: Keys
    tuned: Tuned | None
    loudness: Loudness
    tried: int
    seconds: float
    joined: bool = False


def gather(
    data: LabelledSet,
    agent: Agent,
    settings: TrainSettings,
    *,
    encoder: str | None = None,
    split: Mapping[str, Sequence[int]] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Gathered:
    """Check labelled data, split them, and encode their media through the feature cache.

    encoder: another one of the same modality, by directory or hub id; where the bundle has no sense for it,
    the one that the modality names unless given. split: row numbers of a split that was
    made before, in the place of a new one. progress(done, total) counts encoded inputs. Raises `UserError`
    for data that cannot be remembered, naming the row.
    """
    from mmagent.data import stratified_split
    from mmagent.feature_cache import FeatureCache, encode_cached

    data.demand_sound()
    sense = _one_sense(data)
    place = agent.encoder_location(sense, encoder)
    made = not data.part("validation")
    if made:
        data = data.with_split(split or stratified_split(data, settings.validation_share, settings.seed))
    train, validation = data.part("train"), data.part("validation")
    if not train or not validation:
        missing = "train" if not train else "validation"
        raise UserError(
            f"{data.source} leaves the {missing} split empty. Add rows, or name no splits at all."
        )
    examples = (*train, *validation)
    n_media = _same_media(examples, sense)
    reader, model = agent.encoder(sense, encoder)
    looks = agent.plugins.modalities.get(sense)
    media = (sources_asked(one.media[sense], one.question, looks) for one in examples)
    sources = [source for own in media for source in own]
    seen = encode_cached(reader, model, sources, FeatureCache(), progress=progress)
    pooled = torch.cat(
        [seen.batch(range(at, min(at + READ, len(seen)))).pooled for at in range(0, len(seen), READ)]
    )
    pooled = torch.unflatten(pooled.float().cpu(), 0, (len(examples), n_media))  # (N, n, d)
    if not bool(pooled.isfinite().all()):
        at = int((~pooled.isfinite().flatten(1).all(dim=1)).nonzero()[0])
        raise UserError(
            f"row {examples[at].row}: the encoder's features of {sense!r} are no finite numbers. Take the "
            "row out, or use another encoder."
        )
    material = Material(train, validation, pooled[: len(train)], pooled[len(train) :])
    own = encoder is None and sense in agent.bundle.senses
    return Gathered(agent, sense, place, own, data, material, seen, made)


def remember(
    gathered: Gathered,
    family: AdapterFamily,
    settings: TrainSettings,
    out: Path,
    *,
    joined: bool = False,
    command: Sequence[str] = (),
    on_step: Callable[[int, int, float, float | None], None] | None = None,
    progress: Progress | None = None,
) -> Remembered:
    """Choose how the shots vote, and write the bundle `out`: the agent's bundle, and the shots.

    family: one that `remembers`. joined: the agent's bundle was trained on these data just now, and its card
    and its account of the training go on here. on_step(step, steps, loss, score) is called after every epoch
    of tuning; progress(what, done, total) while validation rows go through the core. Raises `UserError`, also
    where `out` is there already.
    """
    from mmagent.training.remembered import write_remembered

    began = time.perf_counter()
    before = gathered.agent.core.fingerprint()
    keys, tried = best_space(gathered.material, _spaces(gathered, family))
    tuning = None
    if settings.tune_keys:
        tuning = tuned(
            gathered.material, keys, epochs=settings.key_epochs, seed=settings.seed, on_step=on_step
        )
        keys = tuning.keys
    train = gathered.material.train
    shots = StoredShots(
        keys.shots,
        tuple(one.question for one in train),
        tuple(one.answer for one in train),
        tuple(one.source for one in train),
    )
    advance = None if progress is None else lambda done, total: progress("asking the core", done, total)
    steps = ladder(keys.settings, nearest(keys, gathered.material))
    loudness = choose(
        gathered.agent, gathered.sense, shots, _questions(gathered, keys, settings), steps, progress=advance
    )
    if gathered.agent.core.fingerprint() != before:
        raise RuntimeError("the core's weights changed while the shots were remembered")
    seconds = time.perf_counter() - began
    found = Remembered(gathered.agent.bundle, shots, keys, tuning, loudness, tried, seconds, joined)
    bundle = write_remembered(out, gathered, found, settings, command=list(command) or sys.argv)
    return replace(found, bundle=bundle)


def _spaces(gathered: Gathered, family: AdapterFamily) -> dict[str, MemorySettings]:
    """The key spaces to choose from: the family's, and the sense's own where its encoder is kept."""
    agent, sense = gathered.agent, gathered.sense
    build = agent.plugins.resolve(family.build)
    found: dict[str, MemorySettings] = {}
    if gathered.own:
        own = MemorySettings.from_bundle(agent.bundle.load_memory(sense))
        if own.mean is not None or own.projection is not None:
            found[OWN_SPACE] = MemorySettings(mean=own.mean, projection=own.projection)
    found.update(build(gathered.material.pooled.flatten(0, 1)))
    if not found:
        raise UserError(f"the family {family.name!r} knows no way to make keys of {sense!r}.")
    return found


def _questions(gathered: Gathered, keys: Keys, settings: TrainSettings) -> list[Question]:
    """The validation rows that are asked, every answer in turn, with the prefixes that they have."""
    rows = gathered.material.validation
    order = ranked([one.answer for one in rows], None, settings.seed)[:ASKED]
    joint = keys.queries.flatten(1) / keys.queries.shape[1] ** 0.5
    prefixes = _prefixes(gathered, order)
    return [Question(rows[at], joint[at], prefixes.get(at, ())) for at in order]


@torch.no_grad()
def _prefixes(gathered: Gathered, order: Sequence[int]) -> dict[int, list[Soft]]:
    """The prefixes of validation rows, by row; none where the sense has no adapter for this encoder."""
    from mmagent.core import Soft

    agent, sense = gathered.agent, gathered.sense
    if not gathered.own or agent.bundle.senses[sense].adapter is None:
        return {}
    entry = agent.bundle.senses[sense].adapter
    if entry is not None and agent.bundle.family(entry, agent.plugins).of_words:
        rows, looks = gathered.material.validation, agent.plugins.modalities.get(sense)
        media = {at: sources_asked(rows[at].media[sense], rows[at].question, looks) for at in order}
        return {at: [agent.prefix(sense, one) for one in of] for at, of in media.items()}
    device, d = agent.core.device, int(gathered.material.pooled.shape[-1])
    adapter = agent.bundle.load_adapter(sense, agent.plugins, d, agent.core.d_core).to(device)
    n = int(gathered.material.pooled.shape[1])
    first = n * len(gathered.material.train)
    found: dict[int, list[Soft]] = {}
    for at in order:
        features = gathered.seen.batch(range(first + n * at, first + n * (at + 1)))
        made: Tensor = adapter(
            features.values.to(device), features.mask.to(device), features.pooled.to(device)
        )  # (n, k, d_core)
        found[at] = [Soft.of(one) for one in made]
    return found


def _one_sense(data: LabelledSet) -> str:
    if len(data.modalities) != 1:
        there = ", ".join(data.modalities) or "none"
        raise UserError(f"one modality is remembered at a time; {data.source} has: {there}.")
    return data.modalities[0]


def _same_media(examples: Sequence[Example], sense: str) -> int:
    """How many media each example has. Raises `UserError` for one with others, or another number."""
    n = len(examples[0].media.get(sense, ()))
    for one in examples:
        other = [name for name, sources in one.media.items() if name != sense and sources]
        if other:
            raise UserError(f"row {one.row} has {other[0]!r} media; this memory is of {sense!r} alone.")
        count = len(one.media.get(sense, ()))
        if count == 0:
            raise UserError(
                f"row {one.row} has no {sense}, so there is nothing to remember it by. Take it out, or train "
                "without memory."
            )
        if count != n:
            raise UserError(
                f"row {one.row} has {count} {sense} inputs and row {examples[0].row} has {n}; shots are "
                "compared medium by medium, so all rows must have as many."
            )
    return n
