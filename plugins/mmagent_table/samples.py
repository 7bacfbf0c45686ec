"""Small tables to check the sense with, and what must not change a feature of theirs."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from mmagent_table.table import AskedTable, Row, Table, apart

__all__ = ["columns_turned", "rows_turned", "samples"]

GOODS = ("bolt", "nut", "hinge", "lamp", "door")


def samples() -> Sequence[bytes]:
    """Files: prices with gaps, a table of one row separated by tabs, dates separated by semicolons."""
    rng = random.Random(0)
    prices = [f"{rng.choice(GOODS)},{rng.randrange(100)},{rng.choice(['', '1.5', '2'])}" for _ in range(40)]
    days = [f"2024-03-{at:02d};{rng.choice(GOODS)};{at * at}" for at in range(1, 25)]
    return [
        "\n".join(["good,pieces,price", *prices]).encode(),
        b"town\tpeople\nOslo\t709037\n",
        "\n".join(["day;good;sold", *days]).encode(),
    ]


def rows_turned(raw: Table | AskedTable, seed: int) -> Table:
    """The same rows in another order; for small tables."""
    table = apart(raw)[0]
    rows = list(table.rows())
    random.Random(seed).shuffle(rows)
    return _of(table.names, rows)


def columns_turned(raw: Table | AskedTable, seed: int) -> Table:
    """The same columns in another order; for small tables."""
    table = apart(raw)[0]
    order = list(range(len(table.names)))
    random.Random(seed).shuffle(order)
    return _of([table.names[at] for at in order], [tuple(row[at] for at in order) for row in table.rows()])


def _of(names: Sequence[str], rows: list[Row]) -> Table:
    def chunks() -> Iterator[list[Row]]:
        yield rows

    return Table(tuple(names), chunks, "a table in another order")
