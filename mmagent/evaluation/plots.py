"""The plots of a report, from its plain data: scores with their intervals, reliability, confusion.

Each is drawn twice, for light pages and for dark ones. The same numbers give the same bytes. matplotlib is
imported when a plot is drawn; without it there are none, and the report has tables in their place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np

from mmagent.evaluation.metrics import OTHER

__all__ = ["MISSING", "Ink", "Plot", "Report", "axes_of", "drawn", "plotted"]

MISSING = "The plots are left out, because matplotlib is not installed: pip install 'mmagent[train]'."
MOST_CLASSES = 30  # of a confusion matrix that can be read as a picture
NUMBERED = 12  # classes up to which the counts stand in the fields

Report = Mapping[str, Any]


@dataclass(frozen=True)
class Plot:
    """One plot as PNG files.

    name  of its file;  title  what it shows
    """

    name: str
    title: str
    light: bytes = field(repr=False)
    dark: bytes = field(repr=False)


@dataclass(frozen=True)
class Ink:
    """The colours of a page."""

    paper: str
    text: str
    faint: str
    accent: str


_LIGHT = Ink("#ffffff", "#1f2328", "#8b949e", "#1f6feb")
_DARK = Ink("#14181d", "#e6edf3", "#7d8590", "#6cb6ff")


def drawn(report: Report) -> list[Plot] | None:
    """The plots that the report's numbers allow; None where matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return None
    wanted: list[tuple[str, str, Callable[[Any, Report, Ink], None]]] = [
        ("scores", f"How good every system is ({report['judge']}), with 95 % intervals", _scores)
    ]
    if report["reliability"]:
        wanted.append(
            ("reliability", "How often an answer is right, by how sure the adapter is", _reliability)
        )
    confusion = report["confusion"]
    if confusion is not None and len(confusion["rows"]) <= MOST_CLASSES:
        title = f"What was answered (columns) for what was wanted (rows); {OTHER}: none of the classes"
        wanted.append(("confusion", title, _confusion))
    if report["missing"]:
        wanted.append(("missing", "What is left when senses are missing at random", _missing))
    return [plotted(name, title, report, draw) for name, title, draw in wanted]


def plotted(name: str, title: str, report: Report, draw: Callable[[Any, Report, Ink], None]) -> Plot:
    """One plot, drawn by `draw(figure, report, ink)` for light pages and for dark ones; needs matplotlib."""
    return Plot(name, title, _png(draw, report, _LIGHT), _png(draw, report, _DARK))


def _png(draw: Callable[[Any, Report, Ink], None], report: Report, ink: Ink) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(facecolor=ink.paper, layout="constrained")
    draw(figure, report, ink)
    out = BytesIO()
    figure.savefig(out, format="png", dpi=144, metadata={"Software": None})
    return out.getvalue()


def axes_of(figure: Any, ink: Ink, place: tuple[int, int, int] = (1, 1, 1)) -> Any:
    """Axes without a box, in the colours of the page; `place` is (rows, columns, number) of a panel."""
    axes = figure.add_subplot(*place)
    axes.set_facecolor(ink.paper)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(colors=ink.text, length=0, labelsize=9)
    axes.grid(color=ink.faint, alpha=0.25, linewidth=0.8)
    axes.set_axisbelow(True)
    return axes


def _scores(figure: Any, report: Report, ink: Ink) -> None:
    systems = report["systems"]
    figure.set_size_inches(6.4, 0.9 + 0.34 * len(systems))
    axes = axes_of(figure, ink)
    for at, system in enumerate(systems):
        score = system["scores"][report["judge"]]
        colour = ink.accent if system["kind"] == "adapter" else ink.faint
        low, value, high = (100 * score[name] for name in ("low", "value", "high"))
        axes.plot([low, high], [at, at], color=colour, linewidth=2.5, solid_capstyle="round")
        axes.plot([value], [at], "o", color=colour, markersize=7)
        axes.annotate(
            f"{value:.1f}",
            (high, at),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            color=ink.text,
            fontsize=9,
        )
    axes.set_yticks(range(len(systems)), [system["name"] for system in systems])
    axes.set_ylim(len(systems) - 0.5, -0.5)
    axes.set_xlim(-2, 110)
    axes.set_xticks(range(0, 101, 20))
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("per cent", color=ink.text, fontsize=9)


def _reliability(figure: Any, report: Report, ink: Ink) -> None:
    points = report["reliability"]
    figure.set_size_inches(4.6, 4.4)
    axes = axes_of(figure, ink)
    axes.plot([0, 100], [0, 100], color=ink.faint, linewidth=1.2, linestyle=(0, (4, 3)))
    sure = [100 * point["confidence"] for point in points]
    right = [100 * point["correct"] for point in points]
    most = max(point["n"] for point in points)
    sizes = [30 + 170 * point["n"] / most for point in points]
    axes.plot(sure, right, color=ink.accent, linewidth=1.5)
    axes.scatter(sure, right, s=sizes, color=ink.accent, edgecolors=ink.paper, linewidths=1.2, zorder=3)
    axes.set_xlim(-3, 103)
    axes.set_ylim(-3, 103)
    axes.set_aspect("equal")
    axes.set_xlabel("how sure (per cent)", color=ink.text, fontsize=9)
    axes.set_ylabel("how often right (per cent)", color=ink.text, fontsize=9)


def _missing(figure: Any, report: Report, ink: Ink) -> None:
    figure.set_size_inches(4.6, 3.4)
    axes = axes_of(figure, ink)
    chance = [100 * point["missing"] for point in report["missing"]]
    score = [100 * point["score"] for point in report["missing"]]
    axes.plot(chance, score, color=ink.accent, linewidth=2, marker="o", markersize=4)
    axes.set_xlim(-3, 103)
    axes.set_ylim(-3, 103)
    axes.set_xlabel("chance of each sense to be missing (per cent)", color=ink.text, fontsize=9)
    axes.set_ylabel(f"{report['judge']} (per cent)", color=ink.text, fontsize=9)


def _confusion(figure: Any, report: Report, ink: Ink) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    rows, columns = report["confusion"]["rows"], report["confusion"]["columns"]
    counts = np.array(report["confusion"]["counts"], dtype=float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(8.0, 1.8 + 0.42 * len(columns))
    figure.set_size_inches(side + 0.6, side)
    axes = axes_of(figure, ink)
    axes.grid(visible=False)
    shades = LinearSegmentedColormap.from_list("page", [ink.paper, ink.accent])
    axes.imshow(shares, cmap=shades, vmin=0, vmax=1)
    for edge in range(len(rows) + 1):
        axes.axhline(edge - 0.5, color=ink.faint, alpha=0.4, linewidth=0.8)
    for edge in range(len(columns) + 1):
        axes.axvline(edge - 0.5, color=ink.faint, alpha=0.4, linewidth=0.8)
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(rows)), rows)
    if len(rows) <= NUMBERED:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                strong = shares[row, column] > 0.55
                colour = ink.paper if strong else ink.text
                axes.text(column, row, f"{count:.0f}", ha="center", va="center", color=colour, fontsize=9)
    axes.set_ylabel("wanted", color=ink.text, fontsize=9)
    axes.set_xlabel("answered", color=ink.text, fontsize=9)
