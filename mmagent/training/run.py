"""A run from its first step to its bundle: train, fit what has a closed form again, write, and look at it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmagent.training.beside import clear, put_by, states_of, waits_for_its_end
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

__all__ = ["Prepared", "Trained", "prepare", "train"]

CHOSEN = "chosen"  # in the folder of states: the bundle as it was chosen, while another one follows from it


@dataclass(frozen=True, eq=False)
class Trained:
    """The bundle that was written, and how the run went.

    told    what the bundle says of its training
    chosen  the same before it was fitted to the validation rows, too, where it was; gone when `train` is done
    """

    bundle: Bundle
    outcome: Outcome
    told: Mapping[str, Any]
    chosen: Trained | None = None


def train(
    prepared: Prepared,
    settings: TrainSettings,
    out: Path,
    *,
    data: LabelledSet,
    command: Sequence[str] = (),
    resume: bool = False,
    on_step: Callable[[int, int, float, float | None], None] | None = None,
    stop: Callable[[], int] = lambda: 0,
    accelerator: Accelerator | None = None,
    say: Callable[[str], object] = lambda text: None,
    look: Callable[[Trained], object] = lambda trained: None,
) -> Trained | None:
    """Train, and write the bundle `out`. States are kept beside it in ``.<name>.training`` while it runs.

    Those of an earlier run that never came to its end are put by as ``.<name>.training-before`` until this
    one does, unless `resume` goes on with them. Of several processes the first alone writes; the others
    return None. `say` is given lines for people: what the run takes, and what was chosen for it.

    What of the adapter has a closed form is fitted once more, to training and validation rows together,
    unless `settings.refit` is off. The validation rows have done their work by then, and rows that would have
    taught nothing teach, too, as after any cross-validation; the bundle and its card say so.

    look: is given the bundle as the validation rows chose it, before it was fitted again, to report on. By
    then `out` is there, and as it will stay; only when `look` is done do the states go, so that a run which
    ends in it can be resumed, too.

    Raises `UserError` where `out` is there already (unless a `resume` finds its states beside it) or the run
    does not fit into memory, and what `fine_tune` raises.
    """
    from mmagent.data.identity import identity
    from mmagent.training.budget import settled

    work, replace = states_of(out), resume and waits_for_its_end(out)
    first = accelerator is None or accelerator.is_main_process
    if first and not resume:
        put_by(out)
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
        begun_with={
            "question": data.asked,
            "columns": dict(data.columns),
            "names": data.names,
            "encoder": dict(prepared.encoders),
        },
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
        "question": data.asked,
        "names": data.names,
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
    trained = _written(prepared, outcome, told, out, settings, replace=replace)
    meet(accelerator)
    look(trained.chosen or trained)
    clear(out)
    return trained


def _written(
    prepared: Prepared,
    outcome: Outcome,
    told: Mapping[str, Any],
    out: Path,
    settings: TrainSettings,
    *,
    replace: bool,
) -> Trained:
    """The bundle `out`, fitted again where it can be; what it was before is then written aside."""
    fits = any(family is not None and family.fit for family in prepared.families.values())
    if not (settings.refit and fits):
        return Trained(_write(prepared, outcome, told, out, replace=replace), outcome, told)
    aside = _write(prepared, outcome, told, states_of(out) / CHOSEN / out.name, replace=True)
    chosen = Trained(aside, outcome, told)
    told = {**told, "refit": _fitted_again(prepared, settings)}
    return Trained(_write(prepared, outcome, told, out, replace=replace), outcome, told, chosen)


def _fitted_again(prepared: Prepared, settings: TrainSettings) -> str | None:
    rows = prepared.everything()
    if len(rows) > 1:
        return fit_together_again(prepared.agent, prepared.start, rows, settings.seed)
    (alone,) = rows.values()
    return fit_again(prepared.agent, prepared.start, alone, settings.seed)


def _write(
    prepared: Prepared, outcome: Outcome, told: Mapping[str, Any], out: Path, *, replace: bool
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
