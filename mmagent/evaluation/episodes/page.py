"""A report on episodes, on disk: a page for people, the numbers as JSON, every answer, and the plot."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mmagent.evaluation.episodes.plot import drawn
from mmagent.evaluation.episodes.summary import answers
from mmagent.evaluation.page import ANSWERS, DATA, HERE, PAGE, as_text, demand_place, environment, flat
from mmagent.evaluation.plots import MISSING, Plot
from mmagent.files import staged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmagent.evaluation.episodes.run import EpisodesEvaluation

__all__ = ["write_episodes"]

TEMPLATE = "episodes/episodes.html.jinja"


def write_episodes(evaluation: EpisodesEvaluation, out_dir: str | Path) -> Path:
    """Write the report into a folder, whole or not at all; the page's path comes back.

    An earlier report there is replaced. Raises UserError for a folder that holds anything else.
    """
    target = Path(out_dir)
    demand_place(target)
    report = evaluation.report
    plots = drawn(report)
    with staged(target, marker=DATA, replace=True) as staging:
        (staging / DATA).write_text(as_text(report), encoding="utf-8")
        lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) for row in answers(evaluation))
        (staging / ANSWERS).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        for plot in plots or ():
            (staging / f"{plot.name}.png").write_bytes(plot.light)
        (staging / PAGE).write_text(_page(evaluation, plots), encoding="utf-8")
    return target / PAGE


def _page(evaluation: EpisodesEvaluation, plots: Sequence[Plot] | None) -> str:
    report = evaluation.report
    settings = report["settings"]
    data = settings["data"]
    part = f", split {data['split']}" if data["split"] else ""
    return (
        environment()
        .get_template(TEMPLATE)
        .render(
            title=f"{settings['bundle']['name']}: few-shot episodes of {data['source']}{part}",
            css=(HERE / "report.css").read_text(encoding="utf-8"),
            report=report,
            plots=plots,
            missing=MISSING,
            shown=evaluation.shown,
            settings=list(flat(settings)),
            written=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        )
    )
