"""What inputs became, and where it is kept: by content, so that the same input is never encoded twice."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from mmagent.core import Soft

__all__ = ["Kept", "Percept", "Waiting"]

KEPT_BYTES = 256 * 2**20  # percepts kept in memory


@dataclass(frozen=True, eq=False)
class Percept:
    """What one input became.

    fingerprint  of its content; where the sense listens, of content and question
    pooled       (d_encoder,) on the CPU, for the shot memory
    soft         its prefix in the prompt; None where the sense has no adapter and tells nothing in words
    """

    modality: str
    fingerprint: str
    pooled: Tensor
    soft: Soft | None

    @property
    def n_bytes(self) -> int:
        """Memory it takes."""
        tensors = [self.pooled] + ([self.soft.embeds] if self.soft is not None else [])
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


class Waiting:
    """Inputs that wait to be encoded, each content once."""

    def __init__(self) -> None:
        self.places: list[tuple[int, str]] = []
        self.raws: dict[str, Any] = {}

    def add(self, at: int, fingerprint: str, raw: Any) -> None:
        """Put an input, for the place `at` among the sources, with the others."""
        self.places.append((at, fingerprint))
        self.raws.setdefault(fingerprint, raw)

    def clear(self) -> None:
        """Forget them."""
        self.places.clear()
        self.raws.clear()


class Kept:
    """Percepts by modality and content; those used longest ago go when there are too many."""

    def __init__(self) -> None:
        self._percepts: OrderedDict[tuple[str, str], Percept] = OrderedDict()
        self._bytes = 0

    def get(self, key: tuple[str, str]) -> Percept | None:
        """What a content became, if it is kept."""
        found = self._percepts.get(key)
        if found is not None:
            self._percepts.move_to_end(key)
        return found

    def put(self, key: tuple[str, str], percept: Percept) -> None:
        """Keep what a content became."""
        self._percepts[key] = percept
        self._bytes += percept.n_bytes
        while self._bytes > KEPT_BYTES and len(self._percepts) > 1:
            self._bytes -= self._percepts.popitem(last=False)[1].n_bytes
