"""From labelled data to a bundle: read, check, encode once, train, write."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mmagent.errors import UserError, did_you_mean
from mmagent.training.augmenting import Varied
from mmagent.training.loop import Outcome, Task, fine_tune
from mmagent.training.processes import encode_shared, meet
from mmagent.training.rows import fingerprint, learn_rows
from mmagent.training.settings import TrainSettings

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import nn

    from mmagent.agent import Agent
    from mmagent.bundle import Bundle
    from mmagent.data import Example, LabelledSet
    from mmagent.feature_cache import CachedFeatures
    from mmagent.modality import Encoder

__all__ = ["Prepared", "Trained", "prepare", "train"]


@dataclass(frozen=True, eq=False)
class Prepared:
    """All that a run needs, before its first step.

    task       rows and features
    adapter    where it starts: the bundle's own, or fresh
    began_as   "the bundle's own adapter" or "fresh weights"
    split      row numbers of the validation examples, as the bundle keeps them
    """

    agent: Agent
    sense: str
    encoder: str
    task: Task
    adapter: nn.Module
    family: str
    began_as: str
    train: Sequence[Example]
    validation: Sequence[Example]
    split: Mapping[str, list[int]]
    made_split: bool

    def parameters(self) -> list[tuple[str, tuple[int, ...], int]]:
        """Name, shape and count of every tensor that trains."""
        return [(n, tuple(p.shape), p.numel()) for n, p in self.adapter.named_parameters() if p.requires_grad]

    @property
    def share(self) -> float:
        """What trains, of all weights of core and adapter, 0 to 1."""
        own = sum(count for *_, count in self.parameters())
        frozen = int(self.agent.core.model.num_parameters())  # a quantised weight counts as one, too
        return own / (own + frozen)


@dataclass(frozen=True, eq=False)
class Trained:
    """The bundle that was written, and how the run went."""

    bundle: Bundle
    outcome: Outcome


def prepare(
    data: LabelledSet,
    agent: Agent,
    settings: TrainSettings,
    *,
    encoder: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    accelerator: Accelerator | None = None,
) -> Prepared:
    """Split the data, encode its media once, and make rows and adapter.

    encoder: a vision or other encoder of the same modality, by directory or hub id, in the place of the
    bundle's own. progress(done, total) counts encoded inputs. Raises `UserError` for data that cannot be
    learned from.
    """
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
    place = encoder or agent.bundle.senses[sense].encoder
    reader, model = agent.encoder(sense, encoder)
    examples = (*train, *validation)
    sources, media = _numbered(examples, sense)
    if settings.augment:
        n_varied = sum(len(media[at]) for at in range(len(train)))
        seen: Varied | CachedFeatures = Varied(reader, model, sources, n_varied)
    else:
        cache = FeatureCache()
        seen = encode_shared(reader, model, sources, cache, accelerator=accelerator, progress=progress)
    adapter, began_as = _start(agent, sense, settings, model, seen, own_encoder=encoder is None)
    rows = learn_rows(agent, sense, examples, media, int(cast("Any", adapter).n_tokens))
    keys = [str(key) for key in seen.keys]
    task = Task(agent.core, rows[: len(train)], rows[len(train) :], seen, fingerprint(rows, keys))
    split = {"train": [one.row for one in train], "validation": [one.row for one in validation]}
    return Prepared(
        agent, sense, place, task, adapter, settings.adapter, began_as, train, validation, split, made_split
    )


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
    accelerator: Accelerator | None = None,
    say: Callable[[str], object] = lambda text: None,
) -> Trained | None:
    """Train, and write the bundle `out`. States are kept beside it in ``.<name>.training`` while it runs.

    Of several processes the first alone writes; the others return None. Raises `UserError` where `out` is
    there already or the run does not fit into memory, and what `fine_tune` raises. `say` is given lines for
    people: what the run takes, and what was chosen for it.
    """
    from mmagent.data.identity import identity
    from mmagent.training.budget import settled
    from mmagent.training.bundle import write_trained
    from mmagent.training.card import card_of

    work = out.with_name(f".{out.name}.training")
    first = accelerator is None or accelerator.is_main_process
    if first and not resume and work.exists():
        shutil.rmtree(work)
    meet(accelerator)
    settings = settled(
        prepared.task, prepared.adapter, settings, work, accelerator=accelerator, resume=resume, say=say
    )
    core = prepared.agent.core
    before = core.fingerprint()
    outcome = fine_tune(
        prepared.task,
        prepared.adapter,
        settings,
        work,
        accelerator=accelerator,
        resume=resume,
        on_step=on_step,
        stop=stop,
    )
    if core.fingerprint() != before:
        raise RuntimeError("the core's weights changed while the adapter was trained")
    if not first:
        meet(accelerator)
        return None
    best = outcome.best
    told = {
        "data": data.source,
        "format": data.format,
        "columns": dict(data.columns),
        "rows_sha256": identity(data),
        "settings": settings.as_json(),
        "split": {"made_here": prepared.made_split, **prepared.split},
        "began_as": prepared.began_as,
        "steps": outcome.steps,
        "seconds": round(outcome.seconds, 1),
        "history": [asdict(one) for one in outcome.history],
        "core_sha256": before,
        "core_numbers": core.numbers,
        "data_sha256": prepared.task.fingerprint,
        "command": list(command) or sys.argv,
    }
    scores = {"validation": round(best.score, 4), "validation_examples": len(prepared.validation)}
    bundle = write_trained(
        out,
        prepared.agent.bundle,
        prepared.sense,
        encoder=prepared.encoder,
        family=prepared.family,
        adapter=prepared.adapter,
        training=told,
        scores=scores,
        card=card_of(out.name, prepared, outcome, told),
    )
    shutil.rmtree(work, ignore_errors=True)
    meet(accelerator)
    return Trained(bundle, outcome)


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


def _start(
    agent: Agent,
    sense: str,
    settings: TrainSettings,
    encoder: Encoder,
    seen: Varied | CachedFeatures,
    *,
    own_encoder: bool,
) -> tuple[nn.Module, str]:
    """The adapter as the run begins."""
    import torch

    families = agent.plugins.adapters
    if settings.adapter not in families:
        raise UserError(
            f"no adapter family called {settings.adapter!r}. There are: {', '.join(families)}."
            f"{did_you_mean(settings.adapter, families)}"
        )
    entry = agent.bundle.senses[sense].adapter
    if settings.keep and own_encoder and entry is not None and entry.family == settings.adapter:
        own = agent.bundle.load_adapter(
            sense, agent.plugins, encoder.d_encoder, agent.core.d_core, trainable=True
        )
        return own, "the bundle's own adapter"
    family = families[settings.adapter]
    config = {"n_features": int(seen[0].values.shape[1])} if family.per_feature else {}
    torch.manual_seed(settings.seed)
    build = agent.plugins.resolve(family.build)
    return cast("nn.Module", build(config, encoder.d_encoder, agent.core.d_core)), "fresh weights"
