"""A run from its first step to its bundle: train, write, and at the end fit what has a closed form again."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmagent.training.loop import Outcome, fine_tune
from mmagent.training.prepare import Prepared, prepare
from mmagent.training.processes import meet
from mmagent.training.settings import TrainSettings
from mmagent.training.start import fit_again
from mmagent.training.start_together import fit_together_again

if TYPE_CHECKING:
    from accelerate import Accelerator

    from mmagent.bundle import Bundle
    from mmagent.data import LabelledSet

__all__ = ["Prepared", "Trained", "finish", "prepare", "train"]


@dataclass(frozen=True, eq=False)
class Trained:
    """The bundle that was written, and how the run went.

    told   what the bundle says of its training
    """

    bundle: Bundle
    outcome: Outcome
    told: Mapping[str, Any]


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

    Those of an earlier run that never came to its end are put by as ``.<name>.training-before`` until this
    one does, unless `resume` goes on with them. Of several processes the first alone writes; the others
    return None. `say` is given lines for people: what the run takes, and what was chosen for it.

    Raises `UserError` where `out` is there already or the run does not fit into memory, and what `fine_tune`
    raises.
    """
    from mmagent.data.identity import identity
    from mmagent.training.budget import settled

    work = out.with_name(f".{out.name}.training")
    first = accelerator is None or accelerator.is_main_process
    if first and not resume and work.exists():
        _put_by(work)
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
        "core_numbers": core.numbers,
        "data_sha256": prepared.task.fingerprint,
        "command": list(command) or sys.argv,
    }
    bundle = _write(prepared, outcome, told, out)
    for left in (work, _before(work)):
        shutil.rmtree(left, ignore_errors=True)
    meet(accelerator)
    return Trained(bundle, outcome, told)


def finish(prepared: Prepared, trained: Trained, settings: TrainSettings) -> Trained:
    """Fit what of the adapter has a closed form once more, to training and validation rows together.

    The validation rows have done their work by then: the state is chosen and the report is written. Rows that
    would have taught nothing teach, too, as after any cross-validation; the bundle and its card say so. Gives
    back `trained` itself where the family has nothing of the kind, or `settings.refit` is off.
    """
    if not settings.refit:
        return trained
    how = _fitted_again(prepared, settings)
    if how is None:
        return trained
    told = {**trained.told, "refit": how}
    return Trained(
        _write(prepared, trained.outcome, told, trained.bundle.path, replace=True), trained.outcome, told
    )


def _fitted_again(prepared: Prepared, settings: TrainSettings) -> str | None:
    rows = prepared.everything()
    if len(rows) > 1:
        return fit_together_again(prepared.agent, prepared.start, rows, settings.seed)
    (alone,) = rows.values()
    return fit_again(prepared.agent, prepared.start, alone, settings.seed)


def _write(
    prepared: Prepared, outcome: Outcome, told: Mapping[str, Any], out: Path, *, replace: bool = False
) -> Bundle:
    from mmagent.training.bundle import LearntSense, write_trained
    from mmagent.training.card import card_of

    modalities, families = prepared.agent.plugins.modalities, prepared.families
    return write_trained(
        out,
        prepared.agent.bundle,
        {
            name: LearntSense(prepared.encoders[name], modalities[name].encoder, families[name], adapter)
            for name, adapter in prepared.sense_adapters.items()
        },
        core_family=prepared.start.chosen.core,
        core_adapter=prepared.start.core_adapter,
        training=told,
        scores={
            "validation": round(outcome.best.score, 4),
            **(
                {"missing_senses": round(missing, 4)} if (missing := outcome.best.missing) is not None else {}
            ),
            "validation_examples": len(prepared.validation),
        },
        card=card_of(out.name, prepared, outcome, told),
        replace=replace,
    )


def _put_by(work: Path) -> None:
    """Move the states of a run that is not gone on with out of the way, so that a slip loses nothing."""
    if _before(work).exists():
        shutil.rmtree(_before(work))
    work.rename(_before(work))


def _before(work: Path) -> Path:
    return work.with_name(f"{work.name}-before")
