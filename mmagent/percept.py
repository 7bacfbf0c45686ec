"""What one input became in a sense, and how much of that is kept in memory."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmagent.asked import Asked

if TYPE_CHECKING:
    from torch import Tensor

    from mmagent.core import Soft
    from mmagent.supposing import Supposed
    from mmagent.telling import Told

__all__ = ["Kept", "Percept", "file_stamp"]

KEPT_BYTES = 256 * 2**20  # percepts kept in memory
NUMBER = 32  # bytes of a number in a tuple


@dataclass(frozen=True, eq=False)
class Percept:
    """What one input became.

    pooled  (d_encoder,) on the CPU, for the shot memory
    soft    its prefix in the prompt; None where the sense has no adapter
    told    the words behind the prefix, where an encoder tells some
    supposed  what it may be, where the adapter supposes (`supposing`); the prefix is the likeliest's
    evidence, joins  what it adds to that of other senses (e,), on the CPU, and which they are (`joining`)
    """

    modality: str
    fingerprint: str
    pooled: Tensor
    soft: Soft | None
    evidence: Tensor | None = None
    joins: tuple[str, ...] = ()
    told: Told | None = None
    supposed: Supposed | None = None

    @property
    def n_bytes(self) -> int:
        """Memory it takes."""
        tensors = [self.pooled] + ([self.soft.embeds] if self.soft is not None else [])
        shares = len(self.supposed.shares) if self.supposed is not None else 0
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors) + NUMBER * shares


class Kept:
    """Percepts by modality and content; those used longest ago go when there are too many."""

    def __init__(self) -> None:
        self._percepts: OrderedDict[tuple[str, str], Percept] = OrderedDict()
        self._bytes = 0

    def get(self, key: tuple[str, str]) -> Percept | None:
        found = self._percepts.get(key)
        if found is not None:
            self._percepts.move_to_end(key)
        return found

    def put(self, key: tuple[str, str], percept: Percept) -> None:
        self._percepts[key] = percept
        self._bytes += percept.n_bytes
        while self._bytes > KEPT_BYTES and len(self._percepts) > 1:
            self._bytes -= self._percepts.popitem(last=False)[1].n_bytes


def file_stamp(modality: str, source: object) -> tuple[str, str | None, str, int, int] | None:
    """What tells a file, and what is asked of it, from its later versions; None for what is no file."""
    question = None
    if isinstance(source, Asked):
        question, source = source.question, source.source
    if not isinstance(source, str | Path) or source == "-":
        return None
    try:
        found = Path(source).stat()
    except (OSError, ValueError):
        return None
    return modality, question, str(source), found.st_size, found.st_mtime_ns
