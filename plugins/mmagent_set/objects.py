"""Sets in JSON or in memory: lists of objects, of groups of objects, of points, of strokes of points."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mmagent.errors import UserError
from mmagent.reading import json_fault
from mmagent_set.elements import MAX_ATTRIBUTES, MAX_ELEMENTS, MAX_OBJECTS, Elements, check_count, of_columns

__all__ = ["FORMS", "of_object", "read_json"]

FORMS = (
    'A set is a list of objects like {"color": "black", "x": 3, "y": 5}, of lists of them, or of points like '
    '[3, 5]; or {"objects": [...], "statement": "..."}.'
)
HOLDS = ("objects", "elements", "points", "structured_rep", "groups")
SAYS = ("statement", "sentence", "claim")


def read_json(data: bytes, name: str) -> Elements:
    """The set in the content of a JSON file. Raises `UserError`."""
    try:
        found = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name} is not whole JSON: {json_fault(error)}. Copy it again.") from error
    return of_object(found, name)


def of_object(found: Any, name: str) -> Elements:
    """The set of a list, or of a dictionary that holds one and perhaps a statement. Raises `UserError`."""
    statement = ""
    if isinstance(found, Mapping):
        key = next((one for one in HOLDS if one in found), None)
        if key is None:
            there = ", ".join(map(str, list(found)[:6])) or "nothing"
            raise UserError(f"{name} holds no set; it has: {there}. {FORMS}")
        statement = " ".join(str(next((found[one] for one in SAYS if found.get(one)), "")).split())[:1000]
        found = found[key]
    if not isinstance(found, Sequence) or isinstance(found, str | bytes):
        raise UserError(f"{name} is a {type(found).__name__} and no set. {FORMS}")
    if not len(found):
        raise UserError(f"{name} is an empty list. {FORMS}")
    groups = _groups(found, name)
    everything = [one for group in groups for one in group]
    of = [at for at, group in enumerate(groups) for _ in group]
    points = [_is_point(one) for one in everything]
    if everything and all(points):
        check_count(len(everything), name, MAX_ELEMENTS)
        return _of_points(everything, of, len(groups), statement, name)
    check_count(len(everything), name, MAX_OBJECTS)
    wrong = next((at for at, one in enumerate(everything) if not isinstance(one, Mapping)), None)
    if wrong is not None:
        raise UserError(f"{name}: element {wrong + 1} is {everything[wrong]!r:.60} and no object. {FORMS}")
    columns = _columns(everything, name)
    return of_columns(
        columns,
        len(everything),
        name,
        "objects",
        groups=of,
        n_groups=len(groups),
        statement=statement,
        downward=True,
    )


def _groups(found: Sequence[Any], name: str) -> list[Sequence[Any]]:
    """The list as groups: a list of lists of things is several, anything else is one."""
    if all(isinstance(one, Sequence) and not isinstance(one, str) and not _is_point(one) for one in found):
        return list(found)
    mixed = next(
        (
            one
            for one in found
            if isinstance(one, Sequence) and not isinstance(one, str) and not _is_point(one)
        ),
        None,
    )
    if mixed is not None:
        raise UserError(f"{name} mixes groups and single elements. {FORMS}")
    return [found]


def _is_point(one: Any) -> bool:
    return (
        isinstance(one, Sequence)
        and not isinstance(one, str)
        and 0 < len(one) <= 64
        and all(
            value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in one
        )
    )


def _of_points(
    points: Sequence[Sequence[Any]], of: Sequence[int], n_groups: int, statement: str, name: str
) -> Elements:
    width = len(points[0])
    ragged = next((at for at, one in enumerate(points) if len(one) != width), None)
    if ragged is not None:
        raise UserError(
            f"{name}: point {ragged + 1} has {len(points[ragged])} numbers and others have {width}. "
            "Give every point the same."
        )
    names = list("xyz"[:width]) if 2 <= width <= 3 else [f"column {at}" for at in range(1, width + 1)]
    columns = {word: [one[at] for one in points] for at, word in enumerate(names)}
    return of_columns(
        columns,
        len(points),
        name,
        "points",
        groups=of,
        n_groups=n_groups,
        statement=statement,
        downward=n_groups > 1,
    )


def _columns(rows: Sequence[Mapping[Any, Any]], name: str) -> dict[str, list[Any]]:
    names = dict.fromkeys(str(key) for row in rows for key in row)
    if len(names) > MAX_ATTRIBUTES:
        raise UserError(
            f"{name} has objects of {len(names):,} attributes; at most {MAX_ATTRIBUTES} are read."
        )
    columns: dict[str, list[Any]] = {}
    for word in names:
        values = [row.get(word) for row in rows]
        deep = next((value for value in values if isinstance(value, Mapping | list)), None)
        if deep is not None:
            raise UserError(f"{name}: the attribute {word!r} is {deep!r:.60}; it must be a word or a number.")
        columns[word] = values
    return columns
