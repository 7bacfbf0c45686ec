"""What is in one input, told to people: its elements, sampling, structure, information and noise.

A reader that has a `profile` (see `mmagent.modality.ProfilingReader`) fills a `Profile`; `mmagent inspect`
prints it, draws its picture, and adds what the input costs in soft tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ASPECTS", "Profile", "many"]

Told = str | int | float | bool | None

ASPECTS = {
    "elements": "element type and distribution",
    "sampling": "sampling or granularity",
    "structure": "structure",
    "information": "information: entropy, redundancy",
    "noise": "noise and missing values",
}
"""What every profile tells, in this order: the key, and its heading."""


@dataclass(frozen=True)
class Profile:
    """What one input is made of.

    summary  one line: "speech-like sound, 8,000 Hz, mono, 0.52 s"
    aspects  by a key of `ASPECTS`: what is told, by its name with its unit ("duration (s)": 0.52); numbers
             stay numbers, so that `--json` can be read by programs; None where it cannot be known
    draw     draws the input onto a matplotlib figure where a picture helps; None where not
    """

    summary: str
    aspects: Mapping[str, Mapping[str, Told]]
    draw: Callable[[Figure], None] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        unknown = [name for name in self.aspects if name not in ASPECTS]
        if unknown:
            raise ValueError(f"a profile has no aspect {unknown[0]!r}; it has {', '.join(ASPECTS)}.")


def many(count: int, noun: str) -> str:
    """A number with its noun, as people say it: "1 node", "1,200 nodes"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
