"""A statement held against the set it came with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmagent_set.claims import read
from mmagent_set.reader import SetReader
from mmagent_set.truth import READINGS, held

KINDS = [{"black", "blue", "yellow"}, {"square", "circle", "triangle"}]


def thing(color: str, kind: str, x: int, y: int, size: int = 20) -> dict[str, Any]:
    return {"type": kind, "color": color, "x_loc": x, "y_loc": y, "size": size}


TOWERS = [
    [thing("Black", "square", 40, 80), thing("#0099ff", "square", 40, 59)],
    [thing("Yellow", "square", 40, 80)],
    [thing("Yellow", "square", 40, 80), thing("Black", "square", 40, 59), thing("Black", "square", 40, 38)],
]
SCATTER = [
    [thing("Black", "circle", 0, 40), thing("Yellow", "triangle", 50, 50)],
    [thing("Yellow", "triangle", 30, 30), thing("Yellow", "triangle", 70, 10)],
    [thing("#0099ff", "square", 80, 80), thing("Black", "circle", 30, 40, 10)],
]


def says(objects: object, statement: str) -> bool:
    """The first reading of a statement."""
    row = held(SetReader().load({"objects": objects, "statement": statement}))
    assert row.any(), f"{statement!r} was not read"
    return bool(row[0] > 0)


@pytest.mark.parametrize(
    ("objects", "statement", "true"),
    [
        (TOWERS, "There is a tower with a blue block at the top.", True),
        (TOWERS, "There is a tower with three blocks and a yellow block at the top", False),
        (TOWERS, "There are exactly two towers with a yellow block at the base", True),
        (TOWERS, "There are exactly two towers with a black block at the base", False),
        (TOWERS, "there is at least one tower with exactly three blocks", True),
        (TOWERS, "there is at least one tower with exactly four blocks", False),
        (TOWERS, "There is a blue block on a black block.", True),
        (TOWERS, "There is a black block on a blue block.", False),
        (TOWERS, "There is a black block over a yellow block", True),
        (TOWERS, "There is 1 tower with only yellow blocks", True),
        (TOWERS, "There is a tower with only blue blocks", False),
        (SCATTER, "There is a black circle touching the wall.", True),
        (SCATTER, "There is a yellow triangle touching the wall.", False),
        (SCATTER, "There is a blue square closely touching a corner of a box.", True),
        (SCATTER, "There are exactly three yellow triangles", True),
        (SCATTER, "There are exactly 2 yellow triangles", False),
        (SCATTER, "There is a box with items of only yellow color.", True),
        (SCATTER, "There is a box with at least three items", False),
        (SCATTER, "ther is a blak cirlce", True),
        (SCATTER, "There is no red item", True),
    ],
)
def test_a_statement_is_counted_in_the_scene(objects: object, statement: str, true: bool) -> None:
    assert says(objects, statement) is true


def test_misspelt_words_and_colours_in_hexadecimal_are_understood() -> None:
    claim = read("There are atleast two blue squeres", KINDS)
    assert claim is not None
    assert (claim.head.quantity.how, claim.head.quantity.many) == ("least", 2)
    assert claim.head.kinds == (frozenset({"blue"}), frozenset({"square"}))


def test_a_set_without_a_statement_or_with_one_about_something_else_has_no_claim() -> None:
    assert not held(SetReader().load({"objects": TOWERS})).any()
    assert not held(SetReader().load({"objects": TOWERS, "statement": "Ideas sleep furiously"})).any()


def test_other_kinds_of_things_are_read_by_their_own_words() -> None:
    fruit = [{"fruit": "apple", "colour": "red"}, {"fruit": "apple", "colour": "green"}, {"fruit": "pear"}]
    assert says(fruit, "there are exactly two apples")
    assert not says(fruit, "there are exactly two pears")
    assert says(fruit, "there is a green apple")


def test_readings_differ_where_english_is_loose() -> None:
    row = held(SetReader().load({"objects": SCATTER, "statement": "There are two yellow triangles"}))
    said = dict(zip(READINGS, row, strict=False))
    assert said["said", "least", False] > 0 > said["said", "exactly", False]


def test_no_reading_hangs_on_the_order_of_things_or_boxes() -> None:
    statement = "There is a box with a black circle and a triangle touching the wall"
    one = SetReader().load({"objects": SCATTER, "statement": statement})
    other = SetReader().load({"objects": [box[::-1] for box in SCATTER[::-1]], "statement": statement})
    np.testing.assert_array_equal(held(one), held(other))
