"""How a column writes its numbers, units and dates is settled once, by all of its cells."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from mmagent_table.columns import Column, value_of
from mmagent_table.reader import TableReader
from mmagent_table.words import number_in


def column(cells: Sequence[str], separator: str = ",", others: Sequence[str] = ()) -> Column:
    """The column of some cells in a text beside a column of words, and one of other cells."""
    others = others or ["x"] * len(cells)
    lines = [f"name{separator}n{separator}other"]
    lines += [f'a{separator}"{one}"{separator}"{other}"' for one, other in zip(cells, others, strict=True)]
    return TableReader().table("\n".join(lines).encode()).summary.columns[1]


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1,5", "2,25", "0,125"], [1.5, 2.25, 0.125]),  # a zero before the comma, other lengths behind
        (["1.073.096", "331.885", "33.000"], [1073096, 331885, 33000]),  # a group that comes again
        (["1.234,56", "12.000", "99,9"], [1234.56, 12000, 99.9]),  # both signs
        (["1.234,56 €", "2.000,00 €", "99,90 €"], [1234.56, 2000, 99.9]),
        (["1 234,5", "2\u00a0000,0", "1,250"], [1234.5, 2000, 1.25]),
        (["1234,567", "8,123"], [1234.567, 8.123]),  # four digits before, so none set apart
        (["1,234.5", "1,250", "2,500"], [1234.5, 1250, 2500]),
        (["1,234,567", "1,250"], [1234567, 1250]),
        (["0.5", "1.250", "1,250"], [0.5, 1.25, 1250]),
        (["1,250", "2,500"], [1250, 2500]),  # nothing tells
        (["1.250", "2.500"], [1.25, 2.5]),
        (["09,380", "17,204"], [9380, 17204]),  # thousands with a zero before them
        ([*["17,204"] * 30, "12,34"], [*[17204] * 30, 12.34]),  # one slip among thirty
        (["2010,2011", "2011,2012"], [None, None]),  # two years
    ],
)
def test_the_decimal_sign_is_that_of_the_column(cells: list[str], values: list[float | None]) -> None:
    found = column(cells)
    assert [value_of(cell, found) for cell in cells] == values
    if None not in values:
        told = [value for value in values if value is not None]
        assert (found.kind, found.odd) == ("number", 0)
        assert (found.low, found.high) == (min(told), max(told))
        assert found.mean == pytest.approx(sum(told) / len(told))
        assert sorted(found.sample) == sorted(told)


def test_a_comma_between_semicolons_is_decimal_unless_a_column_tells_otherwise() -> None:
    assert column(["1,250", "2,500"], ";").high == 2.5
    assert column(["1,250", "2,500"], ";", others=["1,234.5", "2.5"]).high == 2500
    assert column(["33.000", "12.500"], ";", others=["405,02", "90,4"]).high == 33000
    assert column(["33.000", "12.500"], ";").high == 33


def test_the_decimal_sign_is_found_wherever_it_shows_in_a_long_table() -> None:
    cells = [f"{at % 9 + 1},{at % 900 + 100}" for at in range(9000)]
    assert column(cells).low == 1100
    found = column([*cells, "0,125"])
    assert (found.low, found.comma, found.odd) == (0.125, True, 0)


def test_a_table_read_in_another_way_is_another_table() -> None:
    reader = TableReader()
    thousands = reader.load(b'name,n\na,"1,250"\nb,"2,500"\n')
    decimals = reader.load(b"name;n\na;1,250\nb;2,500\n")
    assert reader.fingerprint(thousands) != reader.fingerprint(decimals)
    told = [reader.load(b'name,n\na,"1,25"\n'), reader.load(b"name;n\na;1,25\n")]
    assert reader.fingerprint(told[0]) == reader.fingerprint(told[1])


def test_a_date_is_read_as_the_others_of_its_column_must_be() -> None:
    reader = TableReader()
    table = reader.table(b"day,who\n03/04/2024,Ida\n13/04/2024,Ola\n05/04/2024,Eva\n")
    assert "2024-04-03 to 2024-04-13" in str(reader.profile(table).aspects["elements"]["day"])
    assert reader.profile(table).aspects["structure"]["dates with the day first"] == "day"
    american = reader.table(b"day,who\n03/04/2024,Ida\n03/14/2024,Ola\n")
    assert "2024-03-04 to 2024-03-14" in str(reader.profile(american).aspects["elements"]["day"])


@pytest.mark.parametrize(
    ("cells", "unit", "ends", "odd"),
    [
        (["$1,200.50", "$30.00", "€5"], "$", (30, 1200.5), 1),
        (["5 km", "500 m", "2 km"], "km", (2, 5), 1),
        (["5 km", "7", "2 km"], "km", (2, 7), 0),  # one without is taken to have the same
        (["1 goal", "2 goals", "3 goals"], "goals", (1, 3), 0),
        (["57.3", "57.1 TR", "57.9"], "", (57.1, 57.9), 1),  # a mark, not a unit of another size
        (["5 km", "500 m"], "", (5, 500), 0),
    ],
)
def test_other_units_are_counted_as_odd_and_not_compared(
    cells: list[str], unit: str, ends: tuple[float, float], odd: int
) -> None:
    found = column(cells)
    assert (found.kind, found.unit, (found.low, found.high), found.odd) == ("number", unit, ends, odd)
    assert len([cell for cell in cells if value_of(cell, found) is not None]) == len(cells) - odd * bool(unit)


def test_other_units_are_told() -> None:
    reader = TableReader()
    noise = reader.profile(reader.table({"price": ["$1,200.50", "$30.00", "€5"]})).aspects["noise"]
    assert noise["units in price"] == "$ 2, € 1"
    assert noise["cells that are not of their column's type"] == 1


def test_a_number_in_a_question_has_its_decimal_comma() -> None:
    assert [number_in(word) for word in ("1,5", "12,25", "1,250", "two")] == [1.5, 12.25, 1250, 2]
