"""What a bundle is worth when some of its senses are missing: the same rows, with fewer of their media."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

from mmagent.errors import UserError, did_you_mean
from mmagent.evaluation.intervals import RESAMPLES, paired
from mmagent.evaluation.part import Part
from mmagent.evaluation.results import Result

if TYPE_CHECKING:
    from mmagent.data import Example

__all__ = ["against_missing", "curve", "name_of", "only", "restricted", "subsets"]

MOST = 3  # senses of which every choice is asked about; of more, each alone and each missing
SHARES = tuple(at / 10 for at in range(11))


def subsets(senses: Sequence[str]) -> list[tuple[str, ...]]:
    """Choices of some of several senses, the fewest first; none of one sense."""
    names, n = sorted(senses), len(senses)
    sizes = range(1, n) if n <= MOST else (1, n - 1)
    return [kept for size in sizes for kept in combinations(names, size)]


def name_of(kept: Sequence[str]) -> str:
    """How a system with these senses is called in a report."""
    return f"{' and '.join(kept)} alone"


def only(examples: Sequence[Example], senses: Sequence[str]) -> list[Example]:
    """The same rows with the media of these senses; one that has none of them is left without any."""
    return [
        replace(one, media={name: sources for name, sources in one.media.items() if name in senses})
        for one in examples
    ]


def restricted(part: Part, senses: Sequence[str]) -> Part:
    """Rows to answer and to learn from, with the media of these senses. Raises UserError for one unknown."""
    there = part.labelled.modalities
    for name in senses:
        if name not in there:
            raise UserError(
                f"the data have no {name!r}. They have: {', '.join(there)}.{did_you_mean(name, there)}"
            )
    if not senses:
        raise UserError(f"name the senses to ask with, such as {there[0] if there else 'image'}.")
    kept = tuple(name for name in there if name in senses)
    examples = tuple(only(part.examples, kept))
    notes = [f"the media of {' and '.join(name for name in there if name not in kept)} are left out."]
    if bare := sum(not any(one.media.values()) for one in examples):
        notes.append(
            f"{bare:,} of {len(examples):,} rows have no {' and no '.join(kept)}: asked without media."
        )
    return replace(
        part,
        labelled=replace(part.labelled, modalities=kept),
        examples=examples,
        train=tuple(only(part.train, kept)),
        notes=(*part.notes, *(notes if kept != there else notes[1:])),
    )


def against_missing(
    whole: Result, missing: Mapping[tuple[str, ...], Result], *, resamples: int = RESAMPLES, seed: int = 0
) -> list[str]:
    """One sentence for each choice of senses: what is lost on the same rows, with its interval."""
    lines = []
    every = {name for kept in missing for name in kept}
    for kept, result in missing.items():
        lost = paired(whole.accuracy(), result.accuracy(), resamples=resamples, seed=seed)
        value, low, high = (100 * x + 0.0 for x in (lost.value, lost.low, lost.high))
        sure = {"better": "", "worse": ", more than with all", "tied": ", which may be chance"}[lost.verdict]
        gone, score = " and ".join(sorted(every - set(kept))), 100 * result.accuracy().value()
        lines.append(
            f"Without {gone} ({name_of(kept)}) {score:.1f} %: {value:.1f} points "
            f"({low:.1f} to {high:.1f}) lost{sure}."
        )
    return lines


def curve(
    senses: Sequence[str], scores: Mapping[tuple[str, ...], float], shares: Sequence[float] = SHARES
) -> list[dict[str, float]]:
    """The score to be expected when each sense of each row is missing with the same chance, by that chance.

    scores: of every choice of senses, () for none and all of them included; empty where one is not known.
    With chance q of each of S senses, sum over choices A of (1 - q)^|A| q^(S - |A|) score(A).
    """
    names, n = sorted(senses), len(senses)
    every = [kept for size in range(n + 1) for kept in combinations(names, size)]
    if n < 2 or any(kept not in scores for kept in every):
        return []
    return [
        {
            "missing": q,
            "score": sum((1 - q) ** len(kept) * q ** (n - len(kept)) * scores[kept] for kept in every),
        }
        for q in shares
    ]
