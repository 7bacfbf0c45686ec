"""A validation split where the data bring none: seeded, stratified by answer, the same in any row order."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from mmagent.data.identity import content_of
from mmagent.data.labelled import Example, LabelledSet
from mmagent.errors import UserError

__all__ = ["stratified_split"]

OVER = 1.5  # times the wanted rows that a group may bring validation to


def stratified_split(
    labelled: LabelledSet, fraction: float = 0.2, seed: int = 0
) -> dict[str, tuple[int, ...]]:
    """Row numbers for ``train`` and ``validation``, in order; `LabelledSet.with_split` puts them into effect.

    Every answer gives about `fraction` of its rows to validation, at least one and never all; an answer that
    occurs once stays in train. Free text (captions, and answers of which most occur once) is one stratum.
    Rows with the same media and question go together, and for captions all rows of a medium, so that none is
    on both sides. Which rows are drawn hangs on their content and the seed alone; files count by their path
    below the data's folder.

    Where rows have groups (a speaker, a patient), two or more, whole groups are drawn instead, at least one,
    until about `fraction` of all rows are; an answer that only one group gives keeps that group in train.
    Where no group can go without taking an answer along, rows are drawn as if there were none.

    Rows of train and rows without a split take part; others are left as they are. Raises UserError for an
    impossible fraction, and where nothing can be drawn.
    """
    if not 0 < fraction < 1:
        raise UserError(f"a validation split of {fraction:g} is impossible. Give a fraction such as 0.2.")
    examples = [example for example in labelled.examples if example.split in (None, "train")]
    keys = {example.row: _key(example, seed, labelled) for example in examples}  # media in the file's order
    drawn: set[int] = set()
    if len({example.group for example in examples} - {None}) > 1:
        drawn = _whole_groups(labelled, examples, fraction, seed, keys)
    if not drawn:
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


def _whole_groups(
    labelled: LabelledSet, examples: list[Example], fraction: float, seed: int, keys: Mapping[int, str]
) -> set[int]:
    """The rows of the groups that go to validation: in the order of their seeded hashes, those that fit.

    Where all are larger than what is wanted, the smallest goes.
    """
    members = _together(examples, keys)
    order = sorted(members, key=lambda name: hashlib.sha256(f"{seed}\n{name}".encode()).hexdigest())
    wanted = max(1, round(fraction * len(examples)))
    left: Counter[str] = Counter()
    if not _is_free_text(labelled, examples):
        left.update(example.answer for example in examples)
    drawn: list[Example] = []

    def goes(name: str) -> bool:
        lost = Counter(one.answer for one in members[name])
        return not left or all(left[answer] > count for answer, count in lost.items())

    for name in order:
        if len(drawn) >= wanted:
            break
        if len(drawn) + len(members[name]) <= OVER * wanted and goes(name):
            drawn += members[name]
            left.subtract(one.answer for one in members[name])
    if not drawn:
        free = [name for name in order if goes(name) and len(members[name]) < len(examples)]
        drawn = members[min(free, key=lambda name: len(members[name]))] if free else []
    return {example.row for example in drawn}


def _together(examples: list[Example], keys: Mapping[int, str]) -> dict[str, list[Example]]:
    """Rows that stay together, by a name that hangs on no order: those of a group, and copies."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            name = parent[name]
        return name

    for example in examples:
        ends = sorted((root(f"={keys[example.row]}"), root(_unit(example, keys))))
        parent[ends[1]] = ends[0]
    members: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        members[root(_unit(example, keys))].append(example)
    return {min(_unit(one, keys) for one in rows): rows for rows in members.values()}


def _unit(example: Example, keys: Mapping[int, str]) -> str:
    return f"={keys[example.row]}" if example.group is None else f"+{example.group}"


def _key(example: Example, seed: int, labelled: LabelledSet) -> str:
    digest = hashlib.sha256(f"{seed}\n".encode())
    for modality, sources in example.media.items():
        for source in sources:
            digest.update(f"\n{modality}:".encode())
            digest.update(content_of(source, example.row, labelled.base))
    if labelled.kind != "caption":
        digest.update(f"\n?{example.question}".encode())
    return digest.hexdigest()
