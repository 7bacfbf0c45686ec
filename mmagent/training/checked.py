"""The check before training: the one that `mmagent data check` makes, and a refusal in one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mmagent.errors import UserError

if TYPE_CHECKING:
    from mmagent.data import CheckReport, LabelledSet
    from mmagent.plugins import Plugins

__all__ = ["demand_checked"]

TOLD = 5  # problems named in the line


def demand_checked(
    data: LabelledSet, plugins: Plugins, *, progress: Callable[[int, int], None] | None = None
) -> CheckReport:
    """Open every medium and hold the splits against each other. Raises `UserError` for what is broken.

    progress(done, total) counts media. The report's warnings are the caller's to tell.
    """
    from mmagent.data import check
    from mmagent.data.labelled import told

    report = check(data, plugins, progress=progress)
    if not report.clean:
        count = len(report.problems)
        raise UserError(
            f"{data.source} cannot be trained on: {' '.join(told(report.problems, TOLD))} "
            f"({count:,} {'problem' if count == 1 else 'problems'}; mmagent data check shows all there is.)"
        )
    return report
