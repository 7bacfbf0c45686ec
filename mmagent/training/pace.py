"""What a run would take: a few rows are encoded, learned from and judged on this machine, and timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from mmagent.errors import UserError

if TYPE_CHECKING:
    from mmagent.adapter import AdapterFamily
    from mmagent.agent import Agent
    from mmagent.data import Example, LabelledSet
    from mmagent.modality import Features
    from mmagent.training.budget import Budget
    from mmagent.training.settings import TrainSettings

__all__ = ["Pace", "measured_pace", "run_estimate"]

T = TypeVar("T")

ROWS = 8  # measured; a batch is made of them by repetition
LOOKED_AT = 64  # rows among which so many readable ones are looked for


@dataclass(frozen=True)
class Pace:
    """Seconds, each of the second of two measurements.

    encode  to read and encode one medium;  learn  one example, forward and back, in a batch of the settings;
    judge  one example, its loss and its generated answer;  rows  how many were measured
    budget  what the run takes in memory
    """

    encode: float
    learn: float
    judge: float
    rows: int
    budget: Budget


def run_estimate(labelled: LabelledSet, agent: Agent, settings: TrainSettings) -> dict[str, str]:
    """What `mmagent train` would take with these settings, in words by what takes it; empty for no estimate.

    The rows are split as that run would split them; why they cannot be is told instead. Every medium is taken
    to be new to the feature cache, and the run to go to its end.
    """
    from mmagent.core.room import free_bytes
    from mmagent.training.prepare import parts

    try:
        train, judged = parts(labelled, settings)
    except UserError as error:
        return {"none": str(error)}
    pace = measured_pace(labelled.modalities, train, judged, agent, settings)
    if pace is None:
        return {}
    media = sum(len(sources) for one in (*train, *judged) for sources in one.media.values())
    learn = round(settings.epochs * len(train)) * pace.learn
    judge = settings.validations * len(judged) * pace.judge
    return {
        "time to encode": f"{_told(media * pace.encode)} for {media:,} media; later runs read the cache",
        "time to train": f"{_told(learn + judge)} for {settings.epochs:g} epochs of {len(train):,} rows and "
        f"{settings.validations} validations of {len(judged):,}; less if it stops early",
        "memory": pace.budget.told(free_bytes(agent.core.device)),
        "measured on": f"{pace.rows} rows with --adapter {settings.adapter} --batch-size "
        f"{settings.batch_size}, {agent.core.device.type}",
    }


def measured_pace(
    modalities: Sequence[str],
    train: Sequence[Example],
    validation: Sequence[Example],
    agent: Agent,
    settings: TrainSettings,
) -> Pace | None:
    """Time a few rows to learn from; None where none can be read, or where no adapter is trained on such."""
    if len(modalities) != 1:
        return None
    try:
        examples, raws, loading = _readable(train, agent, modalities[0])
        if not examples:
            return None
        return _measured(agent, modalities[0], settings, train, validation, examples, raws, loading)
    except UserError:  # the check says what is wrong with the data; an estimate is not the place
        return None


def _measured(
    agent: Agent,
    modality: str,
    settings: TrainSettings,
    train: Sequence[Example],
    validation: Sequence[Example],
    examples: Sequence[Example],
    raws: Sequence[Any],
    loading: float,
) -> Pace:
    """Time `examples`, a few of those to learn from, and weigh the longest rows of all."""
    import torch

    from mmagent.core.score import target_losses
    from mmagent.feature_cache.encode import encode_evenly
    from mmagent.training.rows import learn_rows

    _, encoder = agent.encoder(modality)
    batch = raws[:ROWS]
    encoding, features = _second_time(lambda: encode_evenly(encoder, batch, ROWS))
    n_features = int(features.values.shape[1])
    adapter, trained = _built(agent, modality, settings, train, encoder.d_encoder, n_features)

    def rows_of(of: Sequence[Example]) -> list[Any]:
        media = {at: [0] * len(one.media[modality]) for at, one in enumerate(of)}
        return learn_rows(agent, modality, of, media, int(adapter.n_tokens))

    rows = rows_of(examples)
    many = [rows[at % len(rows)] for at in range(settings.batch_size)]

    def filled(learned: Sequence[Any]) -> list[Any]:
        prefix = _through(adapter, features, agent)
        return [row.filled([prefix] * len(row.media)) for row in learned]

    def learn() -> None:
        loss = target_losses(agent.core, filled(many), [row.target for row in many]).sum()
        torch.autograd.backward(loss)

    @torch.no_grad()
    def judge() -> None:
        target_losses(agent.core, filled(rows), [row.target for row in rows])
        longest = max(len(row.target) for row in rows)
        agent.core.generate(filled(rows), max_tokens=longest, stop=rows[0].stop)

    learning, _ = _second_time(learn)
    judging, _ = _second_time(judge)
    return Pace(
        encode=loading / len(raws) + encoding / ROWS,
        learn=learning / len(many),
        judge=judging / len(rows),
        rows=len(rows),
        budget=_budget(agent, settings, adapter, trained, rows_of(train), rows_of(validation), features),
    )


def _budget(
    agent: Agent,
    settings: TrainSettings,
    adapter: Any,
    trained: Any,
    train: Sequence[Any],
    validation: Sequence[Any],
    features: Features,
) -> Budget:
    """What these rows take in memory, the first of the measured media standing for all of them."""
    import torch

    from mmagent.training.budget import estimate, optimiser_bytes
    from mmagent.training.loop import Task

    task = Task(agent.core, train, validation, _Alone(features), "", contrast=settings.contrast)
    with torch.random.fork_rng(devices=[]):
        found = estimate(task, adapter, settings)
    return replace(found, optimiser=optimiser_bytes(trained))


class _Alone:
    """The features of one medium in the place of any."""

    def __init__(self, features: Features) -> None:
        self._features = features

    def batch(self, indices: Sequence[int]) -> Features:
        """As many copies as media are asked for."""
        some = [0] * len(indices)
        one = self._features
        return replace(one, values=one.values[some], mask=one.mask[some], pooled=one.pooled[some])


def _built(
    agent: Agent,
    modality: str,
    settings: TrainSettings,
    train: Sequence[Example],
    d_encoder: int,
    n_features: int,
) -> tuple[Any, Any]:
    """An adapter that makes the soft tokens of the one that would be trained, and that one itself.

    One that has to be fitted first is timed as a prefix of so many tokens: the passes through the core are
    what takes time, and they are the same. Raises `UserError` where nothing of the sense would be trained.
    """
    import torch

    family, config = _family(agent, modality, settings, train, n_features)

    def made(family: AdapterFamily, config: dict[str, Any]) -> Any:
        with torch.random.fork_rng(devices=[]):
            adapter = agent.plugins.resolve(family.build)(config, d_encoder, agent.core.d_core)
        return adapter.to(agent.core.device)

    trained = made(family, config)
    if not family.per_answer:
        return trained, trained
    return made(agent.plugins.adapters["prefix"], {"n_tokens": config["n_tokens"]}), trained


def _family(
    agent: Agent, modality: str, settings: TrainSettings, train: Sequence[Example], n_features: int
) -> tuple[AdapterFamily, dict[str, Any]]:
    """The family of the sense that would be trained, and its settings. Raises `UserError` for none."""
    from mmagent.training.start import Ground, for_answers

    known = modality in agent.bundle.senses
    family = Ground(agent, modality, train, own_encoder=known).choose(settings)[0].sense
    if family is None:
        raise UserError(f"{settings.adapter} trains nothing of the sense.")
    if family.per_answer:
        return family, for_answers(
            agent.core, [example.answer for example in train], {example.question for example in train}
        )
    return family, {"n_features": n_features} if family.per_feature else {}


def _through(adapter: Any, features: Features, agent: Agent) -> Any:
    device = agent.core.device
    one = (part[:1].to(device) for part in (features.values, features.mask, features.pooled))
    return adapter(*one)[0]  # (k, d_core)


def _readable(
    train: Sequence[Example], agent: Agent, modality: str
) -> tuple[list[Example], list[Any], float]:
    """The first few examples whose media can be read, all their media, and the seconds that this took."""
    reader, _ = agent.encoder(modality)
    examples: list[Example] = []
    raws: list[Any] = []
    began = time.perf_counter()
    for example in train[:LOOKED_AT]:
        try:
            raws += [reader.load(source) for source in example.media.get(modality, ())]
        except UserError:
            continue
        examples.append(example)
        if len(examples) == ROWS:
            break
    return (examples if raws else []), raws, time.perf_counter() - began


def _second_time(work: Callable[[], T]) -> tuple[float, T]:
    """Seconds of the second of two runs, and what it gave: the first one warms up."""
    work()
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def _told(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    minutes = seconds / 60
    return f"about {round(minutes)} min" if minutes < 90 else f"about {minutes / 60:.1f} h"
