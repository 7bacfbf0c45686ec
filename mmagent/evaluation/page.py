"""A report on disk: one page for people, the same numbers as JSON, every answer, and the plots.

report.html     the page: verdict first; it needs no network and no script, and suits light and dark
report.json     the numbers of the page; the same evaluation gives the same bytes
answers.jsonl   what every system answered, row by row
*.png           the plots, where matplotlib is installed
"""

from __future__ import annotations

import json
import shlex
import time
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmagent.errors import UserError
from mmagent.evaluation.plots import MISSING, Plot, drawn
from mmagent.evaluation.summary import answers
from mmagent.files import staged

if TYPE_CHECKING:
    from jinja2 import Environment

    from mmagent.evaluation.run import Evaluation

__all__ = ["as_text", "demand_place", "render_page", "rendered", "write_folder", "write_report"]

PAGE, DATA, ANSWERS = "report.html", "report.json", "answers.jsonl"
OURS = {PAGE, DATA, ANSWERS, "scores.png", "reliability.png", "confusion.png", "missing.png"}
OURS |= {"episodes.png"}
SHARES = ("exact match", "choice accuracy", "VQA accuracy", "macro-F1")  # told in per cent
HERE = Path(__file__).parent


def write_report(evaluation: Evaluation, out_dir: str | Path) -> Path:
    """Write the report into a folder, whole or not at all; the page's path comes back.

    An earlier report there is replaced. Raises UserError for a folder that holds anything else.
    """
    plots = drawn(evaluation.report)
    page = render_page(evaluation, plots)
    return write_folder(out_dir, evaluation.report, answers(evaluation), plots, page)


def write_folder(
    out_dir: str | Path,
    report: Mapping[str, Any],
    answers: Iterable[Mapping[str, Any]],
    plots: Sequence[Plot] | None,
    page: str,
) -> Path:
    """Write a report of any kind, as `write_report` does: its numbers, answers, plots and page."""
    target = Path(out_dir)
    demand_place(target)
    with staged(target, marker=DATA, replace=True) as staging:
        (staging / DATA).write_text(as_text(report), encoding="utf-8")
        lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) for row in answers)
        (staging / ANSWERS).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        for plot in plots or ():
            (staging / f"{plot.name}.png").write_bytes(plot.light)
        (staging / PAGE).write_text(page, encoding="utf-8")
    return target / PAGE


def as_text(report: Mapping[str, Any]) -> str:
    """The report as JSON, as it stands in its file."""
    return json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def demand_place(target: Path) -> None:
    """Raise UserError unless a report can be written here: nothing there, an empty folder, or a report."""
    if not target.exists():
        return
    if not target.is_dir():
        raise UserError(f"{target} is a file, and a report is a folder. Choose another name.")
    others = sorted(entry.name for entry in target.iterdir() if entry.name not in OURS)
    if others:
        raise UserError(
            f"{target} holds {others[0]}, which is no part of a report, so it is left alone. "
            "Choose another name."
        )
    if any(target.iterdir()) and not (target / DATA).is_file():
        raise UserError(
            f"{target} is not empty and holds no {DATA}, so it is left alone. Choose another name."
        )


def render_page(evaluation: Evaluation, plots: Sequence[Plot] | None = None) -> str:
    """The page as text; `plots` None: matplotlib is not installed."""
    report = evaluation.report
    return rendered(
        "report.html.jinja",
        report,
        "{bundle} on {data}",
        metrics=list(dict.fromkeys(name for system in report["systems"] for name in system["scores"])),
        plots=None if plots is None else {plot.name: plot for plot in plots},
        shown=evaluation.shown,
    )


def rendered(template: str, report: Mapping[str, Any], title: str, **more: Any) -> str:
    """A report through its template; `title` has places for the names of bundle and data."""
    settings = report["settings"]
    data = settings["data"]
    part = f", split {data['split']}" if data["split"] else ""
    return (
        environment()
        .get_template(template)
        .render(
            title=title.format(bundle=settings["bundle"]["name"], data=f"{data['source']}{part}"),
            css=(HERE / "report.css").read_text(encoding="utf-8"),
            report=report,
            missing=MISSING,
            settings=list(flat(settings)),
            written=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            **more,
        )
    )


def environment() -> Environment:
    """Jinja with everything escaped, misspelt names refused, and numbers as people read them."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "chance": lambda p: "" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}",
        "embedded": lambda png: Markup(f"data:image/png;base64,{b64encode(png).decode()}"),
        "exact": lambda value: "" if value is None else repr(value),
        "heading": lambda name: f"{name}, %" if name in SHARES else name,
        "percent": lambda value: "" if value is None else f"{100 * value:.1f}",
        "points": lambda value: f"{100 * value + 0.0:+.1f}",
        "shown": _shown,
        "typed": shlex.join,
    }
    return environment


def _shown(value: float | None, metric: str) -> str:
    """A number as its metric is told."""
    if value is None:
        return "infinite"  # JSON has no word for it
    if metric in SHARES:
        return f"{100 * value:.1f}"
    if metric == "perplexity":
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return f"{value:.3f}"


def flat(settings: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as lines: ``core, dtype`` and ``float32``."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{before}{name}, ")
        elif isinstance(value, list | tuple):
            yield f"{before}{name}", ", ".join(map(str, value)) or "none"
        else:
            yield f"{before}{name}", "none" if value is None else str(value)
