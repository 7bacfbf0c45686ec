"""Several senses that learn together: their adapters as one module, their features under one numbering."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from torch import Tensor, nn

from mmagent.joining import joins_of

if TYPE_CHECKING:
    from mmagent.joining import Joining
    from mmagent.modality import Features
    from mmagent.training.rows import LearnRow

__all__ = ["Several", "SeveralSeen", "numbered"]


class Part(Protocol):
    """The features of one sense's media."""

    keys: Sequence[Any]

    def __len__(self) -> int:
        """How many there are."""

    def __getitem__(self, index: int) -> Features:
        """One of them, a batch of one."""

    def batch(self, indices: Sequence[int]) -> Features:
        """Several as one batch."""


class SeveralSeen:
    """The features of the media of several senses: the first sense has the first numbers, and so on."""

    def __init__(self, parts: Mapping[str, Part]) -> None:
        self.parts = dict(parts)
        self._names = list(parts)
        self._starts = [0, *accumulate(len(part) for part in parts.values())][:-1]
        self.keys = [key for part in parts.values() for key in part.keys]

    def __len__(self) -> int:
        return len(self.keys)

    def first(self, sense: str) -> int:
        """The number of a sense's first medium."""
        return self._starts[self._names.index(sense)]

    def __getitem__(self, index: int) -> Features:
        """The features of one medium, a batch of one."""
        sense = self._names[bisect_right(self._starts, index) - 1]
        return self.parts[sense][index - self.first(sense)]

    def batch(self, indices: Sequence[int]) -> Features:
        """The features of media of one sense as one batch."""
        sense = self._names[bisect_right(self._starts, indices[0]) - 1] if indices else self._names[0]
        return self.of(sense, indices)

    def of(self, sense: str, indices: Sequence[int]) -> Features:
        """The features of these media of a sense as one batch."""
        first = self.first(sense)
        return self.parts[sense].batch([index - first for index in indices])


class Several(nn.Module):
    """The adapters of several senses, by name; each turns its own features into soft tokens."""

    def __init__(self, adapters: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.names = tuple(adapters)
        self.adapters = nn.ModuleList(adapters.values())

    def of(self, sense: str) -> nn.Module:
        """The adapter of a sense."""
        return self.adapters[self.names.index(sense)]

    @property
    def n_tokens(self) -> dict[str, int]:
        """Soft tokens per input, by sense."""
        return {name: int(cast("Any", self.of(name)).n_tokens) for name in self.names}

    def prefixes(
        self, seen: SeveralSeen, rows: Sequence[LearnRow], device: torch.device
    ) -> Iterator[list[Tensor]]:
        """For each row, the prefixes (k, d_core) of its media, in the order of its open places.

        Where the adapters of a row's media join, each is given the evidence of all of them (`joining`).
        """
        found: dict[tuple[int, int], Tensor] = {}
        spots = self._spots(rows)
        evidence: dict[str, Tensor] = {}
        for name, places in spots.items():
            features = seen.of(name, [rows[row].media[place] for row, place in places])
            whole = [part.to(device) for part in (features.values, features.mask, features.pooled)]
            if joins_of(self.of(name)):
                evidence[name] = cast("Any", self.of(name)).evidence(*whole)  # (N, e)
            else:
                found.update(zip(places, self.of(name)(*whole), strict=True))
        found.update(self._spoken(rows, spots, evidence))
        for at, one in enumerate(rows):
            yield [found[at, place] for place in range(len(one.media))]

    def _spots(self, rows: Sequence[LearnRow]) -> dict[str, list[tuple[int, int]]]:
        """Row and place of all media, by sense; senses without any are left out."""
        spots: dict[str, list[tuple[int, int]]] = {}
        for at, row in enumerate(rows):
            for place, name in enumerate(row.senses):
                spots.setdefault(name, []).append((at, place))
        return spots

    def _spoken(
        self,
        rows: Sequence[LearnRow],
        spots: Mapping[str, Sequence[tuple[int, int]]],
        evidence: Mapping[str, Tensor],
    ) -> Iterator[tuple[tuple[int, int], Tensor]]:
        """Soft tokens of all places whose senses join, each of all the evidence of its row."""
        if not evidence:
            return
        like = next(iter(evidence.values()))
        total = torch.zeros(len(rows), like.shape[1], dtype=like.dtype, device=like.device)
        for name, given in evidence.items():
            of_row = torch.tensor([row for row, _ in spots[name]], device=like.device)
            total = total.index_add(0, of_row, given)
        for name, given in evidence.items():
            alone = [_several_of_one(rows[row]) for row, _ in spots[name]]
            of_row = torch.tensor([row for row, _ in spots[name]], device=like.device)
            heard = torch.where(torch.tensor(alone, device=like.device)[:, None], given, total[of_row])
            adapter = cast("Joining", self.of(name))
            yield from zip(spots[name], adapter.said(adapter.shares(heard).argmax(dim=-1)), strict=True)


def _several_of_one(row: LearnRow) -> bool:
    """Whether a row has several media of one sense: these may show different things."""
    return len(set(row.senses)) < len(row.senses)


def numbered(
    media: Sequence[Mapping[str, Sequence[object]]], senses: Sequence[str]
) -> tuple[dict[str, list[object]], dict[str, dict[int, list[int]]]]:
    """The media of all rows by sense, in order, and for each row the numbers of its own within its sense."""
    sources: dict[str, list[object]] = {name: [] for name in senses}
    own: dict[str, dict[int, list[int]]] = {name: {} for name in senses}
    for at, given in enumerate(media):
        for name in senses:
            first = len(sources[name])
            sources[name] += given.get(name, ())
            own[name][at] = list(range(first, len(sources[name])))
    return sources, own
