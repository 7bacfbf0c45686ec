"""Runs that should fail: blind (no media), shuffled (another row's media), oracle (the media told in words).

A score says something about a sense only beside these. Blind shows what the question alone gives away;
shuffled, whether it matters which input was there; oracle, what the core could answer if the sense lost
nothing.
"""

from __future__ import annotations

import copy
import dataclasses
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from mmagent.errors import UserError

__all__ = ["Example", "blind", "derangement", "oracle", "shuffled"]

ORACLE_FORM = "{told}\n{question}"
_ROUNDS = 20  # every row is offered so many exchanges
_PARTNERS = 2000  # rows that are looked at for one swap
_SELF, _SAME_MEDIA, _SAME_ANSWER = 1000, 3, 1  # how bad it is to be given these


class Example(Protocol):
    """A row of a data set, as far as controls need it; a `split` is honoured where there is one."""

    @property
    def media(self) -> Mapping[str, Sequence[object]]:
        """Sources by modality."""

    @property
    def question(self) -> str | None:
        """What is asked, or None: describe it."""

    @property
    def answer(self) -> str:
        """The wanted answer."""


E = TypeVar("E", bound=Example)


def blind(examples: Sequence[E]) -> list[E]:
    """The same rows without their media."""
    return [_changed(one, media={}) for one in examples]


def oracle(
    examples: Sequence[E],
    told: Callable[[E], str] | None = None,
    *,
    form: str = ORACLE_FORM,
    default_question: str = "What is this?",
) -> list[E]:
    """The same rows with their media replaced by text in the question.

    told  what stands for an example's media, such as its caption; its answer unless given
    form  how both become the question; {told} and {question} are filled in
    """
    out = []
    for one in examples:
        text = (told(one) if told is not None else one.answer).strip()
        asked = form.format(told=text, question=one.question or default_question)
        out.append(_changed(one, media={}, question=asked))
    return out


def shuffled(examples: Sequence[E], seed: int = 0) -> list[E]:
    """The same rows, each with the media of another row of its split that has the same kinds of media.

    No row gets its own media back. Media that are shared by several rows, and media of a row with the same
    answer, are given only where nothing else is left. Rows without media stay as they are. Raises UserError
    for a row that has nothing to change with.
    """
    groups: dict[tuple[object, tuple[str, ...]], list[int]] = defaultdict(list)
    for at, one in enumerate(examples):
        if any(one.media.values()):
            kinds = tuple(sorted(name for name, sources in one.media.items() if sources))
            groups[getattr(one, "split", None), kinds].append(at)
    out = list(examples)
    for (split, kinds), rows in groups.items():
        if len(rows) < 2:
            where = f"in the split {split!r}" if split else "here"
            raise UserError(
                f"one row {where} has {' and '.join(map(str, kinds))}, so it cannot be given another's. "
                "Shuffling needs at least two."
            )
        members = [examples[at] for at in rows]
        donors = derangement(
            [one.answer.strip() for one in members], [_identity(one) for one in members], seed
        )
        for at, donor in zip(rows, donors, strict=True):
            out[at] = _changed(examples[at], media=members[donor].media)
    return out


def derangement(answers: Sequence[Hashable], media: Sequence[Hashable], seed: int = 0) -> list[int]:
    """For each of n rows another one's number, each used once: other media, and another answer if possible.

    Rows sorted by answer and moved on by the size of the largest class meet another answer wherever any
    arrangement could (only an answer that more than half of the rows share must meet itself). Random
    exchanges that make nothing worse then mix it.
    """
    n = len(answers)
    if n < 2:
        raise UserError(f"{n} rows cannot be given each other's media; there must be at least two.")
    rng = np.random.Generator(np.random.PCG64(seed))
    answer, medium = _numbered(answers), _numbered(media)
    place = rng.permutation(int(answer.max()) + 1)  # classes in a random order
    mixed = rng.permutation(n)
    order = mixed[np.argsort(place[answer[mixed]], kind="stable")]
    step = int(np.bincount(answer).max())
    donor = np.empty(n, dtype=np.intp)
    donor[order] = np.roll(order, -(step if step < n else 1))

    def cost(rows: Any, donors: Any) -> Any:
        return (
            _SELF * (rows == donors)
            + _SAME_MEDIA * (medium[rows] == medium[donors])
            + _SAME_ANSWER * (answer[rows] == answer[donors])
        )

    def gain(rows: Any, partners: Any) -> Any:
        """How much better it gets when rows exchange what they were given with their partners."""
        before = cost(rows, donor[rows]) + cost(partners, donor[partners])
        return before - cost(rows, donor[partners]) - cost(partners, donor[rows])

    for _ in range(_ROUNDS):
        pairs = rng.permutation(n)[: n // 2 * 2].reshape(2, -1)
        left, right = pairs[:, gain(*pairs) >= 0]
        donor[left], donor[right] = donor[right], donor[left]
    everyone = np.arange(n)
    for row in np.flatnonzero(cost(everyone, donor)).tolist():
        others = rng.permutation(n)[:_PARTNERS]
        others = others[others != row]
        gains = gain(np.full_like(others, row), others)
        best = int(gains.argmax())
        if gains[best] > 0:
            donor[[row, others[best]]] = donor[[others[best], row]]
    return [int(at) for at in donor]


def _numbered(values: Sequence[Hashable]) -> np.ndarray[Any, np.dtype[np.intp]]:
    at = {value: index for index, value in enumerate(dict.fromkeys(values))}
    return np.array([at[value] for value in values], dtype=np.intp)


def _identity(example: Example) -> Hashable:
    """What tells media apart: the text of a path, and the very object of anything else."""
    return tuple(
        (name, tuple(str(one) if isinstance(one, str | Path) else id(one) for one in sources))
        for name, sources in sorted(example.media.items())
    )


def _changed(example: E, **changes: object) -> E:
    """A copy with other values; the example itself is left alone."""
    if dataclasses.is_dataclass(example) and not isinstance(example, type):
        return dataclasses.replace(example, **changes)  # type: ignore[type-var, unused-ignore]
    other = copy.copy(example)
    for name, value in changes.items():
        setattr(other, name, value)
    return other
