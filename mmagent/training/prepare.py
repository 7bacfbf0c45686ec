"""Before the first step: data split and checked, media encoded once, rows tokenised, the adapter begun."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from mmagent.asked import asked_through
from mmagent.errors import UserError
from mmagent.training.augmenting import Varied
from mmagent.training.loop import Task
from mmagent.training.processes import encode_shared
from mmagent.training.rows import fingerprint, learn_rows
from mmagent.training.settings import TrainSettings
from mmagent.training.start import Ground, Start, begin, labelled

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import nn

    from mmagent.adapter import Labelled
    from mmagent.agent import Agent
    from mmagent.data import Example, LabelledSet
    from mmagent.feature_cache import CachedFeatures, FeatureCache

__all__ = ["Prepared", "prepare"]


@dataclass(frozen=True, eq=False)
class Prepared:
    """All that a run needs, before its first step.

    task        rows and features
    start       the adapter, its families, and how it begins
    split       row numbers of training and validation examples, as the bundle keeps them
    everything  gives the labelled features of both together
    """

    agent: Agent
    sense: str
    encoder: str
    task: Task
    start: Start
    train: Sequence[Example]
    validation: Sequence[Example]
    split: Mapping[str, list[int]]
    made_split: bool
    everything: Callable[[], Labelled]

    @property
    def adapter(self) -> nn.Module:
        """What trains: a `Combined` where the core bends."""
        return self.start.adapter

    def parameters(self) -> list[tuple[str, tuple[int, ...], int]]:
        """Name, shape and count of every tensor that trains; names begin with the sense, or with `core.`."""
        parts = {self.sense: self.start.sense_adapter, "core": self.start.core_adapter}
        return [
            (f"{place}.{name}", tuple(tensor.shape), tensor.numel())
            for place, part in parts.items()
            if part is not None
            for name, tensor in part.named_parameters()
            if tensor.requires_grad
        ]

    @property
    def share(self) -> float:
        """What trains, of all weights of core and adapter, 0 to 1."""
        own = sum(count for *_, count in self.parameters())
        core = int(self.agent.core.model.num_parameters())  # a quantised weight counts as one, too
        return own / (core + sum(int(one.numel()) for one in self.start.sense_adapter.parameters()))


def prepare(
    data: LabelledSet,
    agent: Agent,
    settings: TrainSettings,
    *,
    encoder: str | None = None,
    cache: FeatureCache | None = None,
    progress: Callable[[int, int], None] | None = None,
    accelerator: Accelerator | None = None,
) -> Prepared:
    """Split the data, encode its media once, and make rows and adapter.

    encoder: a vision or other encoder of the same modality, by directory or hub id, in the place of the
    bundle's own. cache: where features are kept; the user's own unless given. progress(done, total) counts
    encoded inputs. accelerator: where several processes prepare together, each encodes its part. Raises
    `UserError` for data that cannot be learned from.
    """
    from mmagent.core_adapter import settle
    from mmagent.data import stratified_split
    from mmagent.feature_cache import FeatureCache

    data.demand_sound()
    sense = _one_sense(data, agent)
    made_split = not data.part("validation")
    if made_split:
        data = data.with_split(stratified_split(data, settings.validation_share, settings.seed))
    train, validation = data.part("train"), data.part("validation")
    if not train or not validation:
        missing = "train" if not train else "validation"
        raise UserError(
            f"{data.source} leaves the {missing} split empty. Add rows, or name no splits at all."
        )
    ground = Ground(agent, sense, train, own_encoder=encoder is None)
    chosen, why = ground.choose(settings)
    settle(agent.bundle, agent.core, agent.plugins)
    place = encoder or agent.bundle.senses[sense].encoder
    reader, model = agent.encoder(sense, encoder)
    examples = (*train, *validation)
    sources, media, questions = _numbered(examples, sense)
    reader, model, sources = asked_through(reader, model, sources, questions)
    seen: Varied | CachedFeatures
    if settings.augment:
        seen = Varied(reader, model, sources, sum(len(media[at]) for at in range(len(train))))
    else:
        kept = cache or FeatureCache()
        seen = encode_shared(reader, model, sources, kept, accelerator=accelerator, progress=progress)
    n_features = int(seen[0].values.shape[1]) if sources else 0
    known = labelled(agent.core, seen, train, media)
    start = begin(ground, chosen, settings, model.d_encoder, n_features, known, why)
    rows = learn_rows(agent, sense, examples, media, int(cast("Any", start.adapter).n_tokens))
    keys = [str(key) for key in seen.keys]
    task = Task(agent.core, rows[: len(train)], rows[len(train) :], seen, fingerprint(rows, keys))
    split = {"train": [one.row for one in train], "validation": [one.row for one in validation]}

    def everything() -> Labelled:
        return labelled(agent.core, seen, examples, media)

    return Prepared(agent, sense, place, task, start, train, validation, split, made_split, everything)


def _one_sense(data: LabelledSet, agent: Agent) -> str:
    if len(data.modalities) != 1:
        there = ", ".join(data.modalities) or "none"
        raise UserError(f"one adapter is trained at a time, for one modality; {data.source} has: {there}.")
    sense = data.modalities[0]
    if sense not in agent.modalities:
        raise UserError(
            f"bundle {agent.bundle.name!r} has no sense for {sense!r}. It has: {', '.join(agent.modalities)}."
        )
    return sense


def _numbered(
    examples: Sequence[Example], sense: str
) -> tuple[list[object], dict[int, list[int]], list[str | None]]:
    """All media in order, for each example the numbers of its own, and for each medium what is asked."""
    sources: list[object] = []
    questions: list[str | None] = []
    media: dict[int, list[int]] = {}
    for at, example in enumerate(examples):
        own = list(example.media.get(sense, ()))
        media[at] = list(range(len(sources), len(sources) + len(own)))
        sources += own
        questions += [example.question] * len(own)
    return sources, media, questions
