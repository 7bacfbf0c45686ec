"""A report on episodes, on disk: a page for people, the numbers as JSON, every answer, and the plot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmagent.evaluation.episodes.plot import drawn
from mmagent.evaluation.episodes.summary import answers
from mmagent.evaluation.page import rendered, write_folder

if TYPE_CHECKING:
    from mmagent.evaluation.episodes.run import EpisodesEvaluation

__all__ = ["write_episodes"]

TEMPLATE = "episodes/episodes.html.jinja"


def write_episodes(evaluation: EpisodesEvaluation, out_dir: str | Path) -> Path:
    """Write the report into a folder, whole or not at all; the page's path comes back.

    An earlier report there is replaced. Raises UserError for a folder that holds anything else.
    """
    report = evaluation.report
    plots = drawn(report)
    title = "{bundle}: few-shot episodes of {data}"
    page = rendered(TEMPLATE, report, title, plots=plots, shown=evaluation.shown)
    return write_folder(out_dir, report, answers(evaluation), plots, page)
