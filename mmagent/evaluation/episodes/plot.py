"""The plot of a report on episodes: how often the name is right, by the number of shots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmagent.evaluation.plots import Ink, Plot, Report, axes_of, plotted

__all__ = ["drawn"]

NAME, TITLE = "episodes", "How often the name is right, by the number of shots, with 95 % intervals"
SIDE = 3.4  # inches of one panel


def drawn(report: Report) -> list[Plot] | None:
    """The plot as PNG files; None where matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return None
    return [plotted(NAME, TITLE, report, _panels)]


def _panels(figure: Any, report: Report, ink: Ink) -> None:
    """A panel for each number of ways and repeats, side by side."""
    kinds = list(dict.fromkeys((row["ways"], row["repeats"]) for row in report["rows"]))
    figure.set_size_inches(max(5.2, SIDE * len(kinds)), 3.9)
    named: dict[str, Any] = {}
    for at, (ways, repeats) in enumerate(kinds):
        rows = [row for row in report["rows"] if (row["ways"], row["repeats"]) == (ways, repeats)]
        axes = axes_of(figure, ink, (1, len(kinds), at + 1))
        again = f", {repeats} repeat{'' if repeats == 1 else 's'}" if repeats else ""
        axes.set_title(f"{ways}-way{again}", color=ink.text, fontsize=10)
        _lines(axes, rows, ink)
        axes.set_ylim(-3, 103)
        axes.set_xlabel("shots of each", color=ink.text, fontsize=9)
        if at == 0:
            axes.set_ylabel("right (per cent)", color=ink.text, fontsize=9)
        handles, labels = axes.get_legend_handles_labels()
        named |= dict(zip(labels, handles, strict=True))
    legend = figure.legend(
        list(named.values()), list(named), loc="outside lower center", ncols=3, frameon=False, fontsize=9
    )
    for text in legend.get_texts():
        text.set_color(ink.text)


def _lines(axes: Any, rows: list[Mapping[str, Any]], ink: Ink) -> None:
    for memory, label, marker, line, aside in (
        (True, "context and memory", "s", "--", -0.06),
        (False, "context alone", "o", "-", 0.0),
    ):
        of = sorted((row for row in rows if row["memory"] is memory), key=lambda row: row["shots"])
        if of:
            style = {"color": ink.accent, "marker": marker, "linestyle": line}
            own = [row["score"] for row in of]
            _with_interval(axes, of, own, label, aside, linewidth=2, markersize=6, **style)
    some = sorted({row["shots"]: row for row in rows}.values(), key=lambda row: row["shots"])
    nearest = [row["nearest"] for row in some]
    _with_interval(axes, some, nearest, "nearest shot mean", 0.06, color=ink.text, marker="^", linewidth=1.2)
    if "blind" in some[0]["controls"]:
        blind = [row["controls"]["blind"] for row in some]
        _with_interval(axes, some, blind, "blind", color=ink.faint, marker="x", linewidth=1.2)
    shots = [row["shots"] for row in some]
    axes.axhline(100 * some[0]["chance"], color=ink.faint, linewidth=1, linestyle=":", label="chance")
    axes.set_xticks(shots)
    axes.set_xlim(min(shots) - 0.5, max(shots) + 0.5)


def _with_interval(
    axes: Any, rows: Any, scores: list[Mapping[str, float]], label: str, aside: float = 0.0, **style: Any
) -> None:
    """A line with its intervals, moved a little aside so that equal ones do not hide each other."""
    x = [row["shots"] + aside for row in rows]
    y = [100 * score["value"] for score in scores]
    below = [100 * (score["value"] - score["low"]) for score in scores]
    above = [100 * (score["high"] - score["value"]) for score in scores]
    axes.errorbar(x, y, yerr=[below, above], label=label, elinewidth=1, **style)
