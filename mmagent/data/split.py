"""A validation split where the data bring none: seeded, stratified by answer, the same in any row order."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from mmagent.data.identity import content_of
from mmagent.data.labelled import Example, LabelledSet
from mmagent.errors import UserError

__all__ = ["stratified_split"]


def stratified_split(
    labelled: LabelledSet, fraction: float = 0.2, seed: int = 0
) -> dict[str, tuple[int, ...]]:
    """Row numbers for ``train`` and ``validation``, in order; `LabelledSet.with_split` puts them into effect.

    Every answer gives about `fraction` of its rows to validation, at least one and never all; an answer that
    occurs once stays in train. Free text (captions, and answers of which most occur once) is one stratum.
    Rows with the same media and question go together, and for captions all rows of a medium, so that none is
    on both sides. Which rows are drawn hangs on their content and the seed alone; files count by their path
    below the data's folder.

    Rows of train and rows without a split take part; others are left as they are. Raises UserError for an
    impossible fraction, and where nothing can be drawn.
    """
    if not 0 < fraction < 1:
        raise UserError(f"a validation split of {fraction:g} is impossible. Give a fraction such as 0.2.")
    examples = [example for example in labelled.examples if example.split in (None, "train")]
    keys = {example.row: _key(example, seed, labelled) for example in examples}  # media in the file's order
    drawn: set[int] = set()
    for stratum in _strata(labelled, examples):
        drawn |= _drawn(stratum, fraction, keys)
    if not drawn:
        raise UserError(
            f"no validation split can be drawn from {labelled.source}: no answer occurs twice in its "
            f"{len(examples):,} rows. Give more rows, or a split of your own in a column called split."
        )
    rows = sorted(example.row for example in examples)
    return {
        "train": tuple(row for row in rows if row not in drawn),
        "validation": tuple(row for row in rows if row in drawn),
    }


def _strata(labelled: LabelledSet, examples: list[Example]) -> Iterable[list[Example]]:
    if _is_free_text(labelled, examples):
        return [examples]
    of: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        of[example.answer].append(example)
    return [of[answer] for answer in sorted(of)]


def _is_free_text(labelled: LabelledSet, examples: list[Example]) -> bool:
    if labelled.kind != "answer":
        return labelled.kind == "caption"
    counts = Counter(example.answer for example in examples)
    return sum(count == 1 for count in counts.values()) > len(examples) / 2


def _drawn(stratum: list[Example], fraction: float, keys: Mapping[int, str]) -> set[int]:
    """The rows of one stratum that go to validation: groups in the order of their seeded hashes."""
    groups: dict[str, list[int]] = defaultdict(list)
    for example in stratum:
        groups[keys[example.row]].append(example.row)
    wanted = max(1, round(fraction * len(stratum)))
    drawn: set[int] = set()
    for key in sorted(groups)[:-1]:  # the last one stays, so that train has something of it
        if len(drawn) >= wanted:
            break
        drawn |= set(groups[key])
    return drawn


def _key(example: Example, seed: int, labelled: LabelledSet) -> str:
    digest = hashlib.sha256(f"{seed}\n".encode())
    for modality, sources in example.media.items():
        for source in sources:
            digest.update(f"\n{modality}:".encode())
            digest.update(content_of(source, example.row, labelled.base))
    if labelled.kind != "caption":
        digest.update(f"\n?{example.question}".encode())
    return digest.hexdigest()
