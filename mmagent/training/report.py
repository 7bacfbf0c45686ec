"""What a freshly trained bundle is worth: its validation rows, beside the blind control and the baselines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmagent.data import LabelledSet
    from mmagent.evaluation import Evaluation
    from mmagent.training.remember import Gathered, Remembered
    from mmagent.training.run import Prepared, Trained

__all__ = ["report_on"]


def report_on(
    trained: Trained | Remembered,
    prepared: Prepared | Gathered,
    data: LabelledSet,
    out: Path,
    *,
    seed: int = 0,
    command: Sequence[str] = (),
    progress: Callable[[str, int, int], None] | None = None,
) -> Evaluation:
    """Evaluate the bundle that was written on the rows it was chosen by, and write the report to `out`.

    data: as `prepare` was given them. The report says at once that the best state was chosen by these rows.
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
    write_report(evaluation, out)
    return evaluation
