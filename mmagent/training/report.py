"""What a freshly trained bundle is worth: its validation rows, beside the blind control and the baselines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmagent.data import LabelledSet
    from mmagent.evaluation import Evaluation
    from mmagent.training.remember import Gathered, Remembered
    from mmagent.training.run import Prepared, Trained

__all__ = ["report_on"]

BEFORE_REFIT = (
    "these are the answers of the bundle as it was chosen. Its adapter has since been fitted once more, to "
    "these rows, too: the bundle that was written may answer otherwise, and only rows it has never seen "
    "measure it."
)


def report_on(
    trained: Trained | Remembered,
    prepared: Prepared | Gathered,
    data: LabelledSet,
    out: Path,
    *,
    seed: int = 0,
    command: Sequence[str] = (),
    before_refit: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> Evaluation:
    """Evaluate the bundle on the rows it was chosen by, and write the report to `out`.

    data: as `prepare` was given them. The report says at once that the best state was chosen by these rows.
    before_refit: whether `trained` is what was chosen, and what was written is fitted to these rows, too; a
    note says so.
    Raises `UserError`.
    """
    from mmagent.agent import Agent
    from mmagent.evaluation import evaluate, write_report

    agent = Agent(trained.bundle, prepared.agent.core, prepared.agent.plugins)
    evaluation = evaluate(
        agent,
        data,
        split="validation",
        controls=("blind",),
        seed=seed,
        command=command,
        progress=progress,
    )
    if before_refit:
        evaluation = replace(evaluation, notes=(*evaluation.notes, BEFORE_REFIT))
    write_report(evaluation, out)
    return evaluation
