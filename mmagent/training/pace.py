"""How long a run would take: a few rows are encoded, learned from and judged on this machine, and timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from mmagent.errors import UserError

if TYPE_CHECKING:
    from mmagent.adapter import AdapterFamily
    from mmagent.agent import Agent
    from mmagent.data import Example, LabelledSet
    from mmagent.modality import Features
    from mmagent.training.settings import TrainSettings

__all__ = ["Pace", "measured_pace", "time_estimate"]

T = TypeVar("T")

ROWS = 8  # measured; a batch is made of them by repetition
LOOKED_AT = 64  # rows among which so many readable ones are looked for


@dataclass(frozen=True)
class Pace:
    """Seconds, each of the second of two measurements.

    encode  to read and encode one medium;  learn  one example, forward and back, in a batch of the settings;
    judge  one example, its loss and its generated answer;  rows  how many were measured
    """

    encode: float
    learn: float
    judge: float
    rows: int


def time_estimate(labelled: LabelledSet, agent: Agent, settings: TrainSettings) -> dict[str, str]:
    """What `mmagent train` would take with these settings, in words by what takes it; empty for no estimate.

    Every medium is taken to be new to the feature cache, and the run to go to its end.
    """
    pace = measured_pace(labelled, agent, settings)
    if pace is None:
        return {}
    counts = labelled.counts()
    free = counts.get("train", 0) + counts.get("", 0)
    judged = counts.get("validation", 0) or round(free * settings.validation_share)
    learned = free if counts.get("validation") else free - judged
    media = sum(len(sources) for one in labelled for sources in one.media.values())
    examples = round(settings.epochs * learned)
    learn, judge = examples * pace.learn, settings.validations * judged * pace.judge
    return {
        "time to encode": f"{_told(media * pace.encode)} for {media:,} media; later runs read the cache",
        "time to train": f"{_told(learn + judge)} for {settings.epochs:g} epochs of {learned:,} rows and "
        f"{settings.validations} validations of {judged:,}; less if it stops early",
        "measured on": f"{pace.rows} rows with --adapter {settings.adapter} --batch-size "
        f"{settings.batch_size}, {agent.core.device.type}",
    }


def measured_pace(labelled: LabelledSet, agent: Agent, settings: TrainSettings) -> Pace | None:
    """Time a few rows; None where no row can be read, or where no adapter is trained on such rows."""
    if len(labelled.modalities) != 1:
        return None
    modality = labelled.modalities[0]
    try:
        examples, raws, loading = _readable(labelled, agent, modality)
        if not examples:
            return None
        return _measured(agent, modality, settings, labelled.examples, examples, raws, loading)
    except UserError:  # the check says what is wrong with the data; an estimate is not the place
        return None


def _measured(
    agent: Agent,
    modality: str,
    settings: TrainSettings,
    wanted: Sequence[Example],
    examples: Sequence[Example],
    raws: Sequence[Any],
    loading: float,
) -> Pace:
    """Time `examples`, a few of all that are `wanted`."""
    import torch

    from mmagent.core.score import target_losses
    from mmagent.feature_cache.encode import encode_evenly
    from mmagent.training.rows import learn_rows

    _, encoder = agent.encoder(modality)
    batch = raws[:ROWS]
    encoding, features = _second_time(lambda: encode_evenly(encoder, batch, ROWS))
    family, config = _family(agent, modality, settings, wanted, int(features.values.shape[1]))
    with torch.random.fork_rng(devices=[]):
        build = agent.plugins.resolve(family.build)
        adapter = build(config, encoder.d_encoder, agent.core.d_core).to(agent.core.device)
    media = {at: [0] * len(one.media[modality]) for at, one in enumerate(examples)}
    rows = learn_rows(agent, modality, examples, media, int(cast("Any", adapter).n_tokens))
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
    )


def _family(
    agent: Agent, modality: str, settings: TrainSettings, wanted: Sequence[Example], n_features: int
) -> tuple[AdapterFamily, dict[str, Any]]:
    """The family of the sense that would be trained, and its settings.

    One that has to be fitted first is timed as a prefix of so many tokens: the passes through the core are
    what takes time, and they are the same. Raises `UserError` where nothing of the sense would be trained.
    """
    from mmagent.training.start import Ground, for_answers

    known = modality in agent.bundle.senses
    family = Ground(agent, modality, wanted, own_encoder=known).choose(settings)[0].sense
    if family is None:
        raise UserError(f"{settings.adapter} trains nothing of the sense.")
    if family.per_answer:
        n_tokens = for_answers(agent.core, [example.answer for example in wanted])["n_tokens"]
        return agent.plugins.adapters["prefix"], {"n_tokens": n_tokens}
    return family, {"n_features": n_features} if family.per_feature else {}


def _through(adapter: Any, features: Features, agent: Agent) -> Any:
    device = agent.core.device
    one = (part[:1].to(device) for part in (features.values, features.mask, features.pooled))
    return adapter(*one)[0]  # (k, d_core)


def _readable(labelled: LabelledSet, agent: Agent, modality: str) -> tuple[list[Example], list[Any], float]:
    """The first few examples whose media can be read, all their media, and the seconds that this took."""
    reader, _ = agent.encoder(modality)
    examples: list[Example] = []
    raws: list[Any] = []
    began = time.perf_counter()
    for example in labelled.examples[:LOOKED_AT]:
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
