"""What a profile tells of a table is true of it, and its picture is drawn."""

from __future__ import annotations

import io
import random
import re

import numpy as np
import pytest

from mmagent.profile import ASPECTS
from mmagent_table.reader import TableReader

TOWNS = ("Oslo", "Bergen", "Tromsø", "Bodø")


@pytest.fixture(scope="module")
def made() -> bytes:
    """400 rows: a key, a town with its county, two correlated numbers, gaps, one copy."""
    rng = random.Random(0)
    lines = ["id,town,county,height,weight,note"]
    for at in range(399):
        town = rng.randrange(4)
        height = rng.gauss(170, 10)
        weight = "" if at % 10 == 0 else f"{0.9 * height - 80 + rng.gauss(0, 2):.1f}"
        lines.append(f"p{at},{TOWNS[town]},county {town},{height:.1f},{weight},")
    return "\n".join([*lines, lines[-1]]).encode()


def test_figures_are_those_of_the_rows(made: bytes) -> None:
    reader = TableReader()
    table = reader.load(made)
    found = reader.profile(table)
    assert set(found.aspects) == set(ASPECTS)
    assert found.aspects["sampling"]["rows"] == 400
    noise, structure = found.aspects["noise"], found.aspects["structure"]
    assert noise["rows that equal an earlier one"] == 1
    assert noise["missing in weight (%)"] == pytest.approx(10.0)
    assert noise["missing cells (%)"] == pytest.approx(100 * (40 + 400) / 2400, abs=0.01)
    assert structure["candidate keys"] == "none"  # the copy's id comes twice
    assert "town -> county" in str(structure["functional dependencies (hint)"])
    assert float(structure["correlation of height and weight"]) > 0.95  # type: ignore[arg-type]
    assert float(found.aspects["information"]["entropy of town (bits)"]) == pytest.approx(2.0, abs=0.05)  # type: ignore[arg-type]
    assert found.aspects["elements"]["note"] == "no values"


def test_a_column_that_tells_rows_apart_is_a_key(made: bytes) -> None:
    reader = TableReader()
    table = reader.load(made.rsplit(b"\n", 1)[0])
    assert reader.profile(table).aspects["structure"]["candidate keys"] == "id"


def test_many_distinct_values_are_estimated_closely() -> None:
    lines = "\n".join(f"v{at},{at % 7}" for at in range(420_000))
    table = TableReader().load(f"name,n\n{lines}\n".encode())
    column = table.summary.columns[0]
    assert column.estimated
    assert column.distinct == pytest.approx(420_000, rel=0.02)
    assert column.entropy == pytest.approx(np.log2(420_000), rel=0.02)
    assert table.summary.columns[1].mean == pytest.approx(3.0, abs=0.001)


def test_moments_of_chunks_are_moments_of_all() -> None:
    values = np.random.default_rng(0).normal(50, 9, 9000).round(3)
    table = TableReader().load({"x": values.tolist()})
    column = table.summary.columns[0]
    assert column.mean == pytest.approx(values.mean())
    assert column.std == pytest.approx(values.std())
    assert (column.low, column.high) == (values.min(), values.max())
    assert np.quantile(column.sample, 0.25) == pytest.approx(np.quantile(values, 0.25), abs=0.5)


def test_the_picture_has_the_head_and_a_histogram_of_each_column(made: bytes) -> None:
    figures = pytest.importorskip("matplotlib.figure")
    figure = figures.Figure()
    found = TableReader().profile(TableReader().load(made))
    assert found.draw is not None
    found.draw(figure)
    figure.savefig(io.BytesIO(), format="png")
    assert len(figure.axes) == 1 + 6
    texts = {cell.get_text().get_text() for cell in figure.axes[0].tables[0].get_celld().values()}
    assert {"p0", "height\nnumber", "town\ncategory"} <= texts


def test_axes_of_the_picture_count_whole_rows_and_write_dates_and_large_numbers_out() -> None:
    figures = pytest.importorskip("matplotlib.figure")
    figure = figures.Figure()
    reader = TableReader()
    content = b"n,day\n28434095,2023-01-14\n16405027,2023-08-15\n7429721,2022-05-12\n"
    found = reader.profile(reader.load(content))
    assert found.draw is not None
    found.draw(figure)
    figure.savefig(io.BytesIO(), format="png")
    numbers, days = figure.axes[1:]
    for axes in (numbers, days):
        assert {label.get_text() for label in axes.get_yticklabels()} <= {"0", "1", "2", "3"}
        assert not axes.xaxis.get_offset_text().get_text()
    assert "16M" in {label.get_text() for label in numbers.get_xticklabels()}
    assert all(re.fullmatch(r"202[1-4]-\d\d", label.get_text()) for label in days.get_xticklabels())
