"""What a table is made of, for people: size, types, distributions, keys, copies, gaps, and a picture."""

from __future__ import annotations

import statistics
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmagent.profile import Profile
from mmagent_table.columns import Column
from mmagent_table.summary import Summary
from mmagent_table.table import Table, told

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["profile"]

LISTED = 24  # columns that are told one by one
HEAD_ROWS, HEAD_COLUMNS = 6, 8  # of the picture
CELL = 18  # characters of a cell in the picture
BINS = 20
BLUE, LIGHT = "#4477aa", "#a9c3dd"


def profile(table: Table) -> Profile:
    """One pass over the rows, in memory that does not grow with them."""
    summary = table.summary
    sections = {
        "elements": _elements(summary),
        "sampling": _sampling(table, summary),
        "structure": _structure(table, summary),
        "information": _information(summary),
        "noise": _noise(table, summary),
    }
    return Profile(told(table), sections, lambda figure: draw(summary, figure))


def _elements(summary: Summary) -> Mapping[str, Any]:
    told: dict[str, Any] = {}
    for kind in dict.fromkeys(column.kind for column in summary.columns):
        told[f"{kind} columns"] = sum(column.kind == kind for column in summary.columns)
    for column in summary.columns[:LISTED]:
        told[_name(column)] = _distribution(column)
    return told


def _distribution(column: Column) -> str:
    """A column in a few words."""
    many = f"{'about ' if column.estimated else ''}{column.distinct:,} different"
    if column.kind == "number" and column.low is not None and column.mean is not None:
        median = statistics.median(column.sample)
        ends = f"{_figure(column.low)} to {_figure(column.high)}"
        return f"{ends}, median {_figure(median)}, mean {_figure(column.mean)}"
    if column.kind == "date" and column.low is not None:
        return f"{_day(column.low)} to {_day(column.high)}, {many}"
    if column.kind == "empty":
        return "no values"
    top = ", ".join(
        f"{value[:30]!r} {count:,}" for value, count in column.top[:3] if count > 1 or len(column.top) < 4
    )
    return f"{many}{f': {top}' if top else ''}; {column.mean_length:.1f} characters a value"


def _sampling(table: Table, summary: Summary) -> Mapping[str, Any]:
    return {
        "rows": summary.n_rows,
        "columns": len(summary.columns),
        "cells": summary.n_rows * len(summary.columns),
        "format": table.format,
        "rows looked at for pairs of columns": len(summary.sample),
    }


def _structure(table: Table, summary: Summary) -> Mapping[str, Any]:
    keys = [column.name for column in summary.columns if column.is_key]
    depends = summary.dependencies()
    told: dict[str, Any] = {
        "candidate keys": ", ".join(keys[:6]) or "none",
        "functional dependencies (hint)": _arrows(depends),
    }
    for one, other, r in summary.correlations()[:3]:
        told[f"correlation of {one} and {other}"] = round(r, 3)
    for what, names in (
        ("numbers with a decimal comma", [one.name for one in summary.columns if one.comma]),
        ("dates with the day first", [one.name for one in summary.columns if one.day_first]),
    ):
        if names:
            told[what] = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    if table.notes:
        told["mended in reading"] = " ".join(table.notes)
    return told


def _arrows(pairs: Sequence[tuple[str, str]]) -> str:
    shown = ", ".join(f"{one} -> {other}" for one, other in pairs[:5])
    more = f" and {len(pairs) - 5} more" if len(pairs) > 5 else ""
    return f"{shown}{more}" if pairs else "none"


def _information(summary: Summary) -> Mapping[str, Any]:
    text = "\n".join("\t".join(row) for row in summary.sample).encode("utf-8", "surrogatepass")
    told: dict[str, Any] = {
        "entropy of a row, columns taken alone (bits)": round(sum(c.entropy for c in summary.columns), 2),
        "compressed to, of the sample's bytes (zlib)": round(
            len(zlib.compress(text, 6)) / max(len(text), 1), 3
        ),
    }
    for column in summary.columns[:LISTED]:
        told[f"entropy of {column.name} (bits)"] = round(column.entropy, 2)
    return told


def _noise(table: Table, summary: Summary) -> Mapping[str, Any]:
    cells = summary.n_rows * len(summary.columns)
    missing = sum(column.missing for column in summary.columns)
    told: dict[str, Any] = {
        "missing cells (%)": round(100 * missing / max(cells, 1), 2),
        "rows that equal an earlier one": summary.duplicates,
        "cells that are not of their column's type": sum(column.odd for column in summary.columns),
        "numbers beyond 4 standard deviations (sample)": sum(_outliers(column) for column in summary.columns),
    }
    for column in summary.columns[:LISTED]:
        if column.missing:
            told[f"missing in {column.name} (%)"] = round(100 * column.missing / column.n, 2)
        if column.units and (column.foreign or column.units[0][0]):
            told[f"units in {column.name}"] = _listed(column.units)
    return told


def _listed(units: Sequence[tuple[str, int]]) -> str:
    """Units and how often they came: "$ 12, € 1"."""
    shown = ", ".join(f"{unit or 'none'} {count:,}" for unit, count in units[:4])
    return f"{shown} and {len(units) - 4} more" if len(units) > 4 else shown


def _outliers(column: Column) -> int:
    if column.kind != "number" or not column.std or column.mean is None:
        return 0
    return sum(abs(value - column.mean) > 4 * column.std for value in column.sample)


def draw(summary: Summary, figure: Figure) -> None:
    """The head of the table with the types of its columns, and a small histogram of each below it."""
    from matplotlib.transforms import Bbox

    columns = summary.columns[:HEAD_COLUMNS]
    figure.set_size_inches(1.75 * max(len(columns), 3) + 0.4, 4.8)
    grid = figure.add_gridspec(2, len(columns), height_ratios=(1.25, 1.0))
    top = figure.add_subplot(grid[0, :])
    top.axis("off")
    labels = [
        f"{_cut(column.name)}\n{column.kind}{f' ({column.unit})' if column.unit else ''}"
        for column in columns
    ]
    cells = [[_cut(cell) for cell in row[: len(columns)]] for row in summary.head[:HEAD_ROWS]]
    shown = top.table(cellText=cells, colLabels=labels, loc="center", cellLoc="left", bbox=Bbox.unit())
    shown.auto_set_font_size(False)
    shown.set_fontsize(7)
    for (row, _), cell in shown.get_celld().items():
        cell.set_linewidth(0.4)
        cell.set_edgecolor("#999999")
        if row == 0:
            cell.set_facecolor("#e8eef5")
    more = (
        f", the first {len(columns)} of {len(summary.columns)} columns"
        if len(columns) < len(summary.columns)
        else ""
    )
    top.set_title(f"{summary.n_rows:,} rows{more}", fontsize=9)
    for at, column in enumerate(columns):
        _histogram(figure.add_subplot(grid[1, at]), column)


def _histogram(axes: Axes, column: Column) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.tick_params(labelsize=6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if column.is_ordered and column.sample:
        axes.hist(column.sample, bins=min(BINS, max(3, column.distinct)), color=BLUE)
        axes.set_ylabel("rows", fontsize=6)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        what, tick = ("", _tick) if column.kind == "number" else _calendar(column)
        axes.set_xlabel(what or column.unit or "value", fontsize=6)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))
    else:
        top = column.top[:6][::-1]
        axes.barh(range(len(top)), [count for _, count in top], color=LIGHT)
        axes.set_yticks([])
        for place, (value, _) in enumerate(top):
            axes.text(
                0.02, place, _cut(value, 20), fontsize=6, va="center", transform=axes.get_yaxis_transform()
            )
        axes.set_xlabel("rows", fontsize=6)
    axes.xaxis.set_major_locator(
        MaxNLocator(2 if column.kind == "date" else 3, integer=column.kind != "number")
    )
    axes.set_title(_cut(column.name), fontsize=7)


def _tick(value: float) -> str:
    """A number on an axis in a few characters: 1400, 16k, 2.4M."""
    for letter, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if size <= abs(value) < 1e12 and abs(value) >= 1e4:
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"


def _calendar(column: Column) -> tuple[str, Callable[[float], str]]:
    """What the axis of a column of dates counts, and how it is written there."""
    span = (column.high or 0.0) - (column.low or 0.0)
    what, length = ("year", 4) if span > 2200 else ("month", 7) if span > 90 else ("day", 10)
    return what, lambda days: _day(days)[:length]


def _cut(text: str, most: int = CELL) -> str:
    plain = text.replace("$", r"\$")
    return plain if len(plain) <= most else plain[: most - 1] + "…"


def _name(column: Column) -> str:
    return f"{column.name} ({column.unit})" if column.unit else column.name


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}"


def _day(value: float | None) -> str:
    import datetime as dt

    try:
        return dt.date.fromordinal(int(value or 0) + 719163).isoformat()
    except (ValueError, OverflowError):
        return "beyond the calendar"
