"""KV states of prompt prefixes, kept by content, so that what was read once is not read again.

A radix tree (as in SGLang's RadixAttention, Zheng et al. 2024): each node holds the keys and values of a run
of tokens, and its children continue it. A token's key is its id, or for a soft token the hash of its content
and its
place: two prompts of equal token ids with different pictures share only what stands before the picture.

Positions are counted from a row's first token, so a state holds wherever the padding puts its row, and rows
with different cached lengths can be gathered into one left-padded batch.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from threading import Lock, get_ident

import torch

from mmagent.core.assemble import Key
from mmagent.core.forward import KV

__all__ = ["Match", "PrefixCache", "gather", "shared_length"]

Slice = Callable[[int, int], KV]
"""(start, stop) -> keys and values (H, stop - start, D) per layer, copied."""


@dataclass(eq=False)
class _Node:
    keys: list[Key]
    kv: KV  # per layer (H, len(keys), D)
    parent: _Node | None
    used: int = 0
    children: dict[Key, _Node] = field(default_factory=dict)

    @property
    def n_bytes(self) -> int:
        return sum(t.numel() * t.element_size() for pair in self.kv for t in pair)


@dataclass(eq=False)
class Layout:
    """States laid out as the first columns of a left-padded batch, by `gather`.

    kv    (B, H, columns + reserve, D) per layer; user  what reads and writes them, while it is there
    """

    matches: list[Match]
    place: tuple[int, int, tuple[int, ...]]  # columns, columns in reserve, each row's first one
    kv: KV
    user: weakref.ref[object] | None = None

    def rows(self, count: int) -> KV:
        """The first rows."""
        return [(keys[:count], values[:count]) for keys, values in self.kv]

    def serves(self, matches: Sequence[Match], place: tuple[int, int, tuple[int, ...]]) -> bool:
        """Whether its first rows are just what is wanted, and free."""
        taken = self.user is not None and self.user() is not None
        if taken or len(matches) > len(self.matches) or self.place[:2] != place[:2]:
            return False
        same = zip(self.matches, self.place[2], matches, place[2], strict=False)
        return all(own.is_same(other) and start == begin for own, start, other, begin in same)


@dataclass(frozen=True)
class Match:
    """The longest cached beginning of a row: `length` tokens, in `runs` of (states, tokens used of them)."""

    length: int
    runs: list[tuple[KV, int]]

    def first(self, length: int) -> Match:
        """The same, no longer than `length`."""
        runs, left = [], min(length, self.length)
        for kv, n in self.runs:
            if left > 0:
                runs.append((kv, min(n, left)))
            left -= n
        return Match(min(length, self.length), runs)

    def states(self) -> KV:
        """Keys and values (H, length, D) per layer; a copy only where they lie in several runs."""
        layers = zip(*([(k[:, :n], v[:, :n]) for k, v in kv] for kv, n in self.runs), strict=True)
        return [
            layer[0] if len(layer) == 1 else (torch.cat(keys, 1), torch.cat(values, 1))
            for layer in layers
            for keys, values in [zip(*layer, strict=True)]
        ]

    def is_same(self, other: Match) -> bool:
        """Whether both are of the very same states."""
        if len(self.runs) != len(other.runs):
            return False
        return all(a is b and n == m for (a, n), (b, m) in zip(self.runs, other.runs, strict=True))


class PrefixCache:
    """Keeps KV states between calls, up to `max_bytes`; what was used longest ago goes first.

    One cache may serve several cores; their states are kept apart. Not for use by two threads at once.
    """

    def __init__(self, max_bytes: int = 512 * 2**20) -> None:
        self.max_bytes = max_bytes
        self.n_bytes = 0
        self.reused = 0  # tokens whose states were taken from here, over all calls
        self.computed = 0  # tokens that were run through the core all the same
        self._roots: dict[str, _Node] = {}
        self._clock = 0
        self._lock = Lock()  # batches that are answered at once share what was read
        self._layouts: dict[int, Layout] | None = None  # by thread, while they are kept

    def match(self, owner: str, keys: Sequence[Key]) -> Match:
        """Return the longest beginning of `keys` whose states are held."""
        length, runs = 0, []
        with self._lock:
            for node, n in self._walk(owner, keys):
                length += n
                runs.append((node.kv, n))
        return Match(length, runs)

    def insert(self, owner: str, keys: Sequence[Key], states: Slice) -> None:
        """Keep the states of `keys`; only the part not yet held is copied."""
        with self._lock:
            self._insert(owner, keys, states)

    @contextmanager
    def keeping_layouts(self) -> Iterator[None]:
        """Within this block each thread keeps what it laid out last, for its next batch of the same shots.

        To lay out some hundred tokens for some dozens of rows is a seventh of the time of answering them.
        """
        self._layouts = {}
        try:
            yield
        finally:
            self._layouts = None

    def lay_out(self, matches: Sequence[Match], columns: int, starts: Sequence[int], reserve: int) -> Layout:
        """What `gather` gives; where this thread has kept just that, and its user is gone, that again.

        The first columns may be read and not be written. The caller says whose it is.
        """
        cut = [match.first(columns - start) for match, start in zip(matches, starts, strict=True)]
        place, layouts = (columns, reserve, tuple(starts)), self._layouts
        kept = layouts.get(get_ident()) if layouts is not None else None
        if kept is not None and kept.serves(cut, place):
            return kept
        kept = None
        if layouts is not None:
            layouts.pop(get_ident(), None)  # goes before the next one comes: both would take twice the memory
        made = Layout(cut, place, gather(matches, columns, starts, reserve))
        if layouts is not None:
            layouts[get_ident()] = made
        return made

    def count(self, reused: int, computed: int) -> None:
        """Add to `reused` and `computed`."""
        with self._lock:
            self.reused += reused
            self.computed += computed

    def _insert(self, owner: str, keys: Sequence[Key], states: Slice) -> None:
        node, at = self._roots.setdefault(owner, _Node([], [], None)), 0
        for step, n in self._walk(owner, keys):
            node, at = (step if n == len(step.keys) else self._split(step, n)), at + n
        if at == len(keys):
            return
        new = _Node(list(keys[at:]), states(at, len(keys)), node, self._tick())
        if new.n_bytes <= self.max_bytes:
            node.children[new.keys[0]] = new
            self.n_bytes += new.n_bytes
            self._evict()

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._roots.clear()
            self.n_bytes = 0

    def __len__(self) -> int:
        """Tokens held."""
        return sum(len(node.keys) for node in self._nodes())

    def _walk(self, owner: str, keys: Sequence[Key]) -> Iterator[tuple[_Node, int]]:
        """Nodes along `keys` and how many of each node's tokens agree; only the last may agree in part."""
        node, at = self._roots.get(owner), 0
        while node is not None and at < len(keys):
            node = node.children.get(keys[at])
            if node is None:
                return
            n = shared_length([node.keys, list(keys[at : at + len(node.keys)])])
            node.used = self._tick()
            yield node, n
            if n < len(node.keys):
                return
            at += n

    def _split(self, node: _Node, n: int) -> _Node:
        """Cut a node after n tokens; return the first half. Each half owns its memory, so it can go alone."""
        parent = node.parent
        assert parent is not None  # a root holds no tokens, so it is never cut
        head = _Node(
            node.keys[:n], [(k[:, :n].clone(), v[:, :n].clone()) for k, v in node.kv], parent, node.used
        )
        tail = _Node(
            node.keys[n:], [(k[:, n:].clone(), v[:, n:].clone()) for k, v in node.kv], head, node.used
        )
        tail.children = node.children
        for child in tail.children.values():
            child.parent = tail
        head.children[tail.keys[0]] = tail
        parent.children[head.keys[0]] = head
        return head

    def _evict(self) -> None:
        while self.n_bytes > self.max_bytes:
            leaves = sorted((node for node in self._nodes() if not node.children), key=lambda node: node.used)
            for leaf in leaves:
                if self.n_bytes <= self.max_bytes:
                    break
                assert leaf.parent is not None
                del leaf.parent.children[leaf.keys[0]]
                self.n_bytes -= leaf.n_bytes

    def _nodes(self) -> Iterator[_Node]:
        todo = [child for root in self._roots.values() for child in root.children.values()]
        while todo:
            node = todo.pop()
            yield node
            todo += node.children.values()

    def _tick(self) -> int:
        self._clock += 1
        return self._clock


def shared_length(rows: Sequence[Sequence[Key]]) -> int:
    """Length of the longest beginning that all rows share."""
    first, rest = rows[0], rows[1:]
    low, high = 0, min(len(row) for row in rows)
    while low < high:  # slices compare at C speed; the answer is found by halving
        middle = (low + high + 1) // 2
        if all(row[low:middle] == first[low:middle] for row in rest):
            low = middle
        else:
            high = middle - 1
    return low


def gather(matches: Sequence[Match], columns: int, starts: Sequence[int], reserve: int = 0) -> KV:
    """Lay cached states out as the first columns of a left-padded batch.

    starts: the column of each row's first token. A match must reach up to `columns`. Returns new tensors
    (B, H, columns + reserve, D) per layer; padding is zero (the attention mask hides it), and the last
    `reserve` columns are not set.
    """
    sample = next(kv for match in matches for kv, _ in match.runs)
    laid: KV = []
    for keys, values in sample:
        shape = (len(matches), keys.shape[0], columns + reserve, keys.shape[2])
        laid.append((keys.new_empty(shape), values.new_empty(*shape[:3], values.shape[2])))
    for rows, match, start in _alike(
        [match.first(columns - at) for match, at in zip(matches, starts, strict=True)], starts
    ):
        for keys, values in laid:
            keys[rows, :, :start] = 0
            values[rows, :, :start] = 0
        at = start
        for kv, n in match.runs:
            for (keys, values), (known_keys, known_values) in zip(laid, kv, strict=True):
                keys[rows, :, at : at + n] = known_keys[:, :n]
                values[rows, :, at : at + n] = known_values[:, :n]
            at += n
    return laid


def _alike(matches: Sequence[Match], starts: Sequence[int]) -> Iterator[tuple[slice, Match, int]]:
    """Neighbouring rows whose states are the very same, so that they are laid out in one go."""

    def held(row: int) -> tuple[object, ...]:
        return starts[row], *((id(kv), n) for kv, n in matches[row].runs)

    for _, rows in groupby(range(len(matches)), held):
        same = list(rows)
        yield slice(same[0], same[-1] + 1), matches[same[0]], starts[same[0]]
