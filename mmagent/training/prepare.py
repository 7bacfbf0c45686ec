"""Before the first step: data split and checked, media encoded once, rows tokenised, the adapter begun."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from mmagent.asked import asked_of
from mmagent.errors import UserError, did_you_mean
from mmagent.training.augmenting import Varied
from mmagent.training.loop import Task
from mmagent.training.processes import encode_shared
from mmagent.training.rows import demand_room, fingerprint, learn_rows, rows_of_several
from mmagent.training.settings import TrainSettings
from mmagent.training.several import Several, SeveralSeen, numbered
from mmagent.training.start import Ground, Start, begin, labelled
from mmagent.training.start_together import begin_together

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import nn

    from mmagent.adapter import AdapterFamily, Labelled
    from mmagent.agent import Agent
    from mmagent.data import Example, LabelledSet
    from mmagent.feature_cache import CachedFeatures, FeatureCache
    from mmagent.modality import Encoder

__all__ = ["Prepared", "encoders_by_sense", "prepare"]


@dataclass(frozen=True, eq=False)
class Prepared:
    """All that a run needs, before its first step.

    encoders    where the encoder of each sense that learns comes from
    task        rows and features
    start       the adapters, their families, and how they begin
    split       row numbers of training and validation examples, as the bundle keeps them
    everything  gives the labelled features of both together, by sense
    """

    agent: Agent
    encoders: Mapping[str, str]
    task: Task
    start: Start
    train: Sequence[Example]
    validation: Sequence[Example]
    split: Mapping[str, list[int]]
    made_split: bool
    everything: Callable[[], dict[str, Labelled]]

    @property
    def senses(self) -> tuple[str, ...]:
        """The senses that learn."""
        return tuple(self.encoders)

    @property
    def encoder(self) -> str:
        """Where the encoder of the first sense comes from."""
        return next(iter(self.encoders.values()))

    @property
    def adapter(self) -> nn.Module:
        """What trains: a `Several` of several senses, a `Combined` where the core bends."""
        return self.start.adapter

    @property
    def sense_adapters(self) -> dict[str, nn.Module]:
        """The adapter of each sense."""
        whole = self.start.sense_adapter
        if isinstance(whole, Several):
            return {name: whole.of(name) for name in whole.names}
        return {self.senses[0]: whole}

    @property
    def families(self) -> dict[str, AdapterFamily | None]:
        """The family that trains for each sense; None: the bundle's own adapter stays."""
        return {name: self.start.each.get(name, self.start.chosen).sense for name in self.senses}

    def parameters(self) -> list[tuple[str, tuple[int, ...], int]]:
        """Name, shape and count of every tensor that trains; names begin with the sense, or with `core.`."""
        parts: dict[str, nn.Module | None] = {**self.sense_adapters, "core": self.start.core_adapter}
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
    encoder: str | Mapping[str, str] | None = None,
    cache: FeatureCache | None = None,
    progress: Callable[[int, int], None] | None = None,
    accelerator: Accelerator | None = None,
) -> Prepared:
    """Split the data, encode its media once, and make rows and adapter. Encoders are let go after it.

    encoder: an encoder of the modality, by directory or hub id, in the place of the bundle's own, or of the
    one that the modality names where the bundle has no sense for it; of several modalities, by their names.
    cache: where features are kept; the user's own unless given. progress(done, total) counts encoded inputs.
    accelerator: where several processes prepare together, each encodes its part. Raises `UserError` for data
    that cannot be learned from.
    """
    from mmagent.core_adapter import settle
    from mmagent.feature_cache import FeatureCache

    data.demand_sound()
    _demand_choices(data, settings)
    given = encoders_by_sense(encoder, data.modalities)
    places = {name: agent.encoder_location(name, given.get(name)) for name in sorted(data.modalities)}
    made_split = not data.part("validation")
    train, validation = parts(data, settings)
    _demand_met(data, train, places)
    grounds = {
        name: Ground(agent, name, train, own_encoder=name not in given and name in agent.bundle.senses)
        for name in places
    }
    for ground in grounds.values():
        ground.choose(settings)  # an unknown family is told before anything is encoded
    settle(agent.bundle, agent.core, agent.plugins)
    examples = (*train, *validation)
    demand_room(agent, examples)
    modalities = agent.plugins.modalities
    looked_at = [asked_of(one.media, one.question, modalities) for one in examples]
    sources, media = numbered(looked_at, list(places))
    seen: dict[str, Varied | CachedFeatures] = {}
    shapes: dict[str, tuple[int, int]] = {}
    for name in places:
        reader, model = agent.encoder(name, given.get(name))
        if settings.augment:
            varied = sum(len(media[name][at]) for at in range(len(train)))
            seen[name] = Varied(reader, model, sources[name], varied)
        else:
            kept = cache or FeatureCache()
            seen[name] = encode_shared(
                reader,
                model,
                sources[name],
                kept,
                accelerator=accelerator,
                progress=progress,
                again=partial(_encoder, agent, name, given.get(name)),
            )
        shapes[name] = model.d_encoder, int(seen[name][0].values.shape[1])
        del model
    agent.rest()

    def known(of: Sequence[Example]) -> dict[str, Labelled]:
        return {name: labelled(agent.core, seen[name], of, media[name]) for name in places}

    start = _begun(grounds, settings, shapes, known(train))
    task = _task(agent, settings, examples, len(train), seen, media, start.sense_adapter)
    split = {"train": [one.row for one in train], "validation": [one.row for one in validation]}
    return Prepared(agent, places, task, start, train, validation, split, made_split, lambda: known(examples))


def _encoder(agent: Agent, name: str, location: str | None) -> Encoder:
    return agent.encoder(name, location)[1]


def parts(data: LabelledSet, settings: TrainSettings) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """The rows to learn from and those to judge by, drawn where the data name none. Raises `UserError`."""
    from mmagent.data import stratified_split

    if not data.part("validation"):
        data = data.with_split(stratified_split(data, settings.validation_share, settings.seed))
    train, validation = data.part("train"), data.part("validation")
    if not train or not validation:
        missing = "train" if not train else "validation"
        raise UserError(
            f"{data.source} leaves the {missing} split empty. Add rows, or name no splits at all."
        )
    return train, validation


def encoders_by_sense(encoder: str | Mapping[str, str] | None, senses: Sequence[str]) -> dict[str, str]:
    """Encoders by sense, of those that were given. Raises `UserError` for one that is nobody's."""
    if encoder is None:
        return {}
    if isinstance(encoder, str):
        if len(senses) > 1:
            raise UserError(
                f"whose encoder is {encoder!r}? The data have {' and '.join(senses)}: write "
                f"{senses[0]}={encoder}."
            )
        return dict.fromkeys(senses, encoder)
    for name in encoder:
        if name not in senses:
            raise UserError(
                f"an encoder is given for {name!r}, and the data have {' and '.join(senses) or 'no media'}."
                f"{did_you_mean(name, senses)}"
            )
    return dict(encoder)


def _begun(
    grounds: Mapping[str, Ground],
    settings: TrainSettings,
    shapes: Mapping[str, tuple[int, int]],
    rows: Mapping[str, Labelled],
) -> Start:
    """The adapter of one sense, or the adapters of several, as the run begins."""
    if len(grounds) > 1:
        return begin_together(grounds, settings, shapes, rows)
    [(name, ground)] = grounds.items()
    chosen, why = ground.choose(settings)
    return begin(ground, chosen, settings, *shapes[name], rows[name], why)


def _task(
    agent: Agent,
    settings: TrainSettings,
    examples: Sequence[Example],
    n_train: int,
    seen: Mapping[str, Varied | CachedFeatures],
    media: Mapping[str, Mapping[int, Sequence[int]]],
    adapter: nn.Module,
) -> Task:
    """Rows and features, of one sense or several."""
    if len(seen) == 1:
        [(name, features)] = seen.items()
        rows = learn_rows(agent, name, examples, media[name], int(cast("Any", adapter).n_tokens))
        keys = [str(key) for key in features.keys]
        of = fingerprint(rows, keys)
        return Task(agent.core, rows[:n_train], rows[n_train:], features, of, contrast=settings.contrast)
    every = SeveralSeen(cast("Any", seen))
    numbers = {
        at: [every.first(name) + number for name in sorted(seen) for number in media[name][at]]
        for at in range(len(examples))
    }
    n_tokens = cast("Several", adapter).n_tokens
    rows = rows_of_several(agent, n_tokens, examples, numbers, views=settings.modality_dropout > 0)
    keys = [str(key) for key in every.keys]
    of = fingerprint(rows, keys)
    return Task(agent.core, rows[:n_train], rows[n_train:], every, of, contrast=settings.contrast)


def _demand_met(data: LabelledSet, train: Sequence[Example], senses: Iterable[str]) -> None:
    """Raise `UserError` for a sense that no row to learn from has, and for data without media."""
    lacking = [name for name in senses if not any(one.media.get(name) for one in train)]
    if lacking or not data.modalities:
        what = lacking[0] if lacking else "media of any kind"
        raise UserError(
            f"no row of {data.source} to learn from has {what}. Add some, or leave the column out."
        )


def _demand_choices(data: LabelledSet, settings: TrainSettings) -> None:
    """Raise `UserError` for a choice loss where there is nothing to choose."""
    if settings.contrast and not any(example.choices for example in data):
        raise UserError(
            f"--contrast weighs the right choice against the others, and no row of {data.source} has any. "
            "Say which column has them, --column choices=NAME, or leave --contrast away."
        )
