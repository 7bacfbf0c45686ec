"""An inspection as text for people: the aspects of its profile under their headings, values in one column."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mmagent.profile import ASPECTS

if TYPE_CHECKING:
    from mmagent.inspection.look import Inspection

__all__ = ["number", "rows", "text"]

WIDEST = 50  # names longer than this stand on a line of their own
UNKNOWN = "–"  # also what does not apply

Row = tuple[str, str]


def text(found: Inspection) -> str:
    """All that was found, without a line break at the end."""
    sections = list(rows(found))
    names = [len(name) for _, told in sections for name, _ in told]
    width = max((length for length in names if length <= WIDEST), default=0)
    lines = [f"{clean(found.source)}: {_first(found)}"]
    for heading, told in sections:
        lines += ["", heading]
        for name, value in told:
            lines += [f"  {name}"] if len(name) > width else []
            lines.append(f"  {name if len(name) <= width else '':<{width}}  {value}")
    return "\n".join(lines)


def rows(found: Inspection) -> Iterator[tuple[str, Sequence[Row]]]:
    """Each heading with its names and values as words."""
    profile = found.profile
    for aspect, heading in ASPECTS.items():
        told = {} if profile is None else profile.aspects.get(aspect, {})
        if told:
            yield heading, [(clean(name), number(value)) for name, value in told.items()]
    if found.cost is not None:
        yield "soft tokens it will cost", [("soft tokens", found.cost.told())]
    size = "" if found.bytes is None else f"{found.bytes:,} bytes"
    content = [("modality", found.modality), ("size", size), ("fingerprint", f"sha256 {found.fingerprint}")]
    yield "the file", [row for row in content if row[1]]


def number(value: object) -> str:
    """A told value as words: four digits of a fraction, thousands set apart, yes and no for booleans."""
    value = value.item() if hasattr(value, "item") else value
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float):
        return clean(str(value))
    if not math.isfinite(value):
        return UNKNOWN if math.isnan(value) else str(value)
    if value == 0 or 1e-4 <= abs(value) < 1e4:
        return f"{value:,.4g}"
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e12 else f"{value:.3e}"


def clean(words: str) -> str:
    """Words from a file on one line, without what could steer a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in " ".join(words.split()))


def _first(found: Inspection) -> str:
    return clean(found.description if found.profile is None else found.profile.summary)
