"""From labelled data to a bundle: read, check, encode once, train, write."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mmagent.errors import UserError
from mmagent.training.loop import Outcome, Task, fine_tune
from mmagent.training.rows import fingerprint, learn_rows
from mmagent.training.settings import TrainSettings
from mmagent.training.start import Start, begin, fit_again, labelled

if TYPE_CHECKING:
    from torch import nn

    from mmagent.adapter import Labelled
    from mmagent.agent import Agent
    from mmagent.bundle import Bundle
    from mmagent.data import Example, LabelledSet

__all__ = ["Prepared", "Trained", "finish", "prepare", "train"]


@dataclass(frozen=True, eq=False)
class Prepared:
    """All that a run needs, before its first step.

    task        rows and features
    start       the adapter, its family, and how it begins
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
        """What trains."""
        return self.start.adapter

    def parameters(self) -> list[tuple[str, tuple[int, ...], int]]:
        """Name, shape and count of every tensor that trains."""
        return [(n, tuple(p.shape), p.numel()) for n, p in self.adapter.named_parameters() if p.requires_grad]

    @property
    def share(self) -> float:
        """What trains, of all weights of core and adapter, 0 to 1."""
        own = sum(count for *_, count in self.parameters())
        frozen = sum(int(p.numel()) for p in self.agent.core.model.parameters())
        return own / (own + frozen)


@dataclass(frozen=True, eq=False)
class Trained:
    """The bundle that was written, and how the run went."""

    bundle: Bundle
    outcome: Outcome
    told: Mapping[str, Any]
    """What the bundle says of its training."""


def prepare(
    data: LabelledSet,
    agent: Agent,
    settings: TrainSettings,
    *,
    encoder: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Prepared:
    """Split the data, encode its media once, and make rows and adapter.

    encoder: a vision or other encoder of the same modality, by directory or hub id, in the place of the
    bundle's own. progress(done, total) counts encoded inputs. Raises `UserError` for data that cannot be
    learned from.
    """
    from mmagent.data import stratified_split
    from mmagent.feature_cache import FeatureCache, encode_cached

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
    place = encoder or agent.bundle.senses[sense].encoder
    reader, model = agent.encoder(sense, encoder)
    examples = (*train, *validation)
    sources, media = _numbered(examples, sense)
    seen = encode_cached(reader, model, sources, FeatureCache(), progress=progress)
    start = begin(
        agent,
        sense,
        settings,
        model,
        train,
        labelled(agent.core, seen, train, media),
        int(seen[0].values.shape[1]) if sources else 0,
        own_encoder=encoder is None,
    )
    rows = learn_rows(agent, sense, examples, media, int(cast("Any", start.adapter).n_tokens))
    keys = [str(key) for key in seen.keys]
    task = Task(agent.core, rows[: len(train)], rows[len(train) :], seen, fingerprint(rows, keys))
    split = {"train": [one.row for one in train], "validation": [one.row for one in validation]}

    def everything() -> Labelled:
        return labelled(agent.core, seen, examples, media)

    return Prepared(agent, sense, place, task, start, train, validation, split, made_split, everything)


def train(
    prepared: Prepared,
    settings: TrainSettings,
    out: Path,
    *,
    data: LabelledSet,
    command: Sequence[str] = (),
    resume: bool = False,
    on_step: Callable[[int, int, float, float | None], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Trained:
    """Train, and write the bundle `out`. States are kept beside it in ``.<name>.training`` while it runs.

    Raises `UserError` where `out` is there already, and what `fine_tune` raises.
    """
    from mmagent.data.identity import identity

    work = out.with_name(f".{out.name}.training")
    if not resume and work.exists():
        shutil.rmtree(work)
    core = prepared.agent.core
    before = core.fingerprint()
    outcome = fine_tune(
        prepared.task, prepared.adapter, settings, work, resume=resume, on_step=on_step, stop=stop
    )
    if core.fingerprint() != before:
        raise RuntimeError("the core's weights changed while the adapter was trained")
    told = {
        "data": data.source,
        "format": data.format,
        "columns": dict(data.columns),
        "rows_sha256": identity(data),
        "settings": settings.as_json(),
        "split": {"made_here": prepared.made_split, **prepared.split},
        "began_as": prepared.start.began_as,
        "steps": outcome.steps,
        "seconds": round(outcome.seconds, 1),
        "history": [asdict(one) for one in outcome.history],
        "core_sha256": before,
        "data_sha256": prepared.task.fingerprint,
        "command": list(command) or sys.argv,
    }
    bundle = _write(prepared, outcome, told, out)
    shutil.rmtree(work, ignore_errors=True)
    return Trained(bundle, outcome, told)


def finish(prepared: Prepared, trained: Trained, settings: TrainSettings) -> Trained:
    """Fit what of the adapter has a closed form once more, to training and validation rows together.

    The validation rows have done their work by then: the state is chosen and the report is written. Rows that
    would have taught nothing teach, too, as after any cross-validation; the bundle and its card say so. Gives
    back `trained` itself where the family has nothing of the kind, or `settings.refit` is off.
    """
    if not settings.refit:
        return trained
    start = prepared.start
    how = fit_again(prepared.agent, start.family, start.adapter.cpu(), prepared.everything(), settings.seed)
    if how is None:
        return trained
    told = {**trained.told, "refit": how}
    return Trained(
        _write(prepared, trained.outcome, told, trained.bundle.path, replace=True), trained.outcome, told
    )


def _write(
    prepared: Prepared, outcome: Outcome, told: Mapping[str, Any], out: Path, *, replace: bool = False
) -> Bundle:
    from mmagent.training.bundle import write_trained
    from mmagent.training.card import card_of

    return write_trained(
        out,
        prepared.agent.bundle,
        prepared.sense,
        encoder=prepared.encoder,
        family=prepared.start.family,
        adapter=prepared.adapter,
        training=told,
        scores={
            "validation": round(outcome.best.score, 4),
            "validation_examples": len(prepared.validation),
        },
        card=card_of(out.name, prepared, outcome, told),
        replace=replace,
    )


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


def _numbered(examples: Sequence[Example], sense: str) -> tuple[list[object], dict[int, list[int]]]:
    """All media in order, and for each example the numbers of its own."""
    sources: list[object] = []
    media: dict[int, list[int]] = {}
    for at, example in enumerate(examples):
        own = list(example.media.get(sense, ()))
        media[at] = list(range(len(sources), len(sources) + len(own)))
        sources += own
    return sources, media
