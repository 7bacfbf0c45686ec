"""Several senses on one thing: what each has to say for every answer is added up before any of them speaks.

An adapter that joins gives evidence before soft tokens: a number for each answer, its log-likelihood up to a
constant, and whatever else of it may be added up. If the senses err independently of each other once the
answer is given, the evidence of all that are there adds up (naive Bayes; a product of experts: Hinton 2002,
"Training Products of Experts by Minimizing Contrastive Divergence", eq. 1), and a sense that is missing adds
nothing: no value has to be made up for it. Every sense that is there then speaks of the sum, so the core
reads the same thing in each of their places.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from mmagent.supposing import Supposing

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from mmagent.senses import Percept

__all__ = ["Joining", "joined", "joins_of"]


class Joining(Supposing, Protocol):
    """An adapter that supposes, whose evidence may be added to that of the senses it was trained with."""

    joins: tuple[str, ...]
    """The senses that were trained together, its own among them; empty where it speaks for itself alone."""


def joins_of(adapter: object) -> tuple[str, ...]:
    """The senses that an adapter was trained together with; empty for one that does not join."""
    found: tuple[str, ...] = getattr(adapter, "joins", ())
    return found


def joined(
    percepts: Sequence[Percept], speak: Callable[[Sequence[Percept], Tensor], Sequence[Percept]]
) -> Sequence[Percept]:
    """Percepts of one question, each of them speaking of all that were trained with it.

    speak: percepts that join, as they speak by their evidence (1, e) together. Where a question has several
    inputs of one modality, these may show different things, so nothing is added up.
    """
    out = list(percepts)
    groups: dict[tuple[str, ...], list[int]] = {}
    for at, percept in enumerate(out):
        if percept.evidence is not None:
            groups.setdefault(percept.joins, []).append(at)
    for places in groups.values():
        if len({out[at].modality for at in places}) < max(2, len(places)):
            continue
        together: Any = sum(out[at].evidence for at in places)  # (e,)
        for at, one in zip(places, speak([out[at] for at in places], together[None]), strict=True):
            out[at] = one
    return out
