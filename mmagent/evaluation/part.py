"""Which rows are answered, which may be learned from, and what the bundle has to do with them already."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmagent.errors import UserError, did_you_mean
from mmagent.manifest import MANIFEST

if TYPE_CHECKING:
    from mmagent.bundle import Bundle
    from mmagent.data import Example, LabelledSet

__all__ = ["Part", "TrainedOn", "choose", "trained_on"]


@dataclass(frozen=True)
class TrainedOn:
    """What a bundle says of its training.

    name      the bundle's
    source    the data it was trained on, as they were called
    sha256    their identity; "" where the bundle does not say
    learned   rows it was trained on;  judged  rows by which its best state was chosen
    refit     whether part of it was fitted to both in the end
    """

    name: str
    source: str
    sha256: str
    learned: frozenset[int] = field(repr=False)
    judged: frozenset[int] = field(repr=False)
    refit: bool = False


@dataclass(frozen=True)
class Part:
    """The rows of one evaluation.

    split     their name; None where the data have none
    examples  the rows that are answered
    train     the rows that shots and baselines may use; none of them is answered
    warnings  what makes the score worth less;  notes  what a reader should know besides
    """

    labelled: LabelledSet
    split: str | None
    examples: tuple[Example, ...]
    train: tuple[Example, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


def trained_on(bundle: Bundle) -> TrainedOn | None:
    """The rows that a bundle was trained and chosen on; None where it does not say."""
    raw = json.loads((bundle.path / MANIFEST).read_text(encoding="utf-8"))
    told = raw.get("trained")
    split = told.get("split") if isinstance(told, dict) else None
    if not isinstance(told, dict) or not isinstance(split, dict):
        return None
    learned, judged = (_numbers(split.get(name)) for name in ("train", "validation"))
    refit = bool(told.get("refit"))
    if refit:  # in the end the rows it was judged by taught it, too
        learned |= judged
    source, sha256 = (str(told.get(name) or "") for name in ("data", "rows_sha256"))
    return TrainedOn(bundle.name, source, sha256, learned, judged, refit)


def choose(labelled: LabelledSet, trained: TrainedOn | None, split: str | None = None) -> Part:
    """The rows to answer: those of `split`; unless named, test, else validation, else all there are.

    Where the data are those that the bundle was trained on and name no validation rows, the split that was
    made then is used. Raises UserError for a split that there is not or that is empty.
    """
    same = trained is not None and _same(labelled, trained)
    warnings: list[str] = []
    notes: list[str] = []
    if trained is not None and same:
        if not labelled.part("validation"):
            labelled = labelled.with_split(_made_then(trained, labelled))
            notes.append(
                f"the data name no validation rows; those by which {trained.name!r} was chosen count as such."
            )
    elif trained is not None and _place(trained.source) == _place(labelled.source):
        warnings.append(
            f"{labelled.source} is not what it was when {trained.name!r} was trained on it: which of these "
            "rows it has seen is not known."
        )
    elif trained is not None:
        notes.append(
            f"{trained.name!r} was trained on {trained.source}; whether any of these rows stood there is not "
            "known."
        )
    name = _named(labelled, split)
    examples = labelled.part(name) if name is not None else labelled.examples
    if trained is not None and same:
        warnings += _overlap(examples, trained)
    train = labelled.part("train") if name not in (None, "train") else ()
    if trained is not None and same and trained.refit and name == "test":
        train += labelled.part("validation")  # what the adapter learned from, the baselines may, too
    notes += _of_groups(examples, labelled)
    return Part(labelled, name, examples, train, tuple(warnings), tuple(notes))


def _same(labelled: LabelledSet, trained: TrainedOn) -> bool:
    """Whether these are the data of the training, by their rows; by their place where those are not kept."""
    from mmagent.data.identity import identity

    if trained.sha256:
        return identity(labelled) == trained.sha256
    return labelled.base is not None and _place(trained.source) == _place(labelled.source)


def _named(labelled: LabelledSet, split: str | None) -> str | None:
    """The name of the split to answer, which has rows; None: all rows, of data without splits."""
    from mmagent.data.labelled import split_name

    counts = labelled.counts()
    there = ", ".join(name for name in counts if name) or "none"
    if split is None:
        if not labelled.splits:
            return None
        found = next((name for name in ("test", "validation") if counts.get(name)), None)
        if found is None:
            raise UserError(
                f"{labelled.source} has no rows kept back for a test. Its splits: {there}. Name the one to "
                "answer: --split NAME."
            )
        return found
    name = split_name(split)
    if name not in counts:
        raise UserError(
            f"{labelled.source} has no split {split!r}. There are: {there}.{did_you_mean(name, counts)}"
        )
    if not counts[name]:
        raise UserError(f"the split {name} of {labelled.source} is empty. Give another --split.")
    return name


def _overlap(examples: Sequence[Example], trained: TrainedOn) -> list[str]:
    """What to say of rows that the bundle knows from its training."""
    rows = {example.row for example in examples}
    learned, judged = len(rows & trained.learned), len(rows & trained.judged)
    of = f"of these {len(rows):,} rows"
    lines = []
    if learned:
        lines.append(
            f"{trained.name!r} was trained on {learned:,} {of}: the score says how well it remembers, not "
            "how well it does."
        )
    if judged:
        lines.append(
            f"The best state of {trained.name!r} was chosen by {judged:,} {of}, so the score is a little too "
            "good."
        )
    return lines


def _of_groups(examples: Sequence[Example], labelled: LabelledSet) -> list[str]:
    """What the intervals do not say where many rows come from one speaker, patient or place."""
    groups = [example.group for example in examples if example.group is not None]
    n = len(set(groups))
    if n == len(groups):
        return []
    return [
        f"these {len(examples):,} rows come from {n:,} {'group' if n == 1 else 'groups'} (column "
        f"{labelled.columns.get('group')!r}); the intervals take rows for independent, and for new groups "
        "they are too narrow."
    ]


def _made_then(trained: TrainedOn, labelled: LabelledSet) -> dict[str, list[int]]:
    """The split that was made for the training, of the rows that the data leave to it."""
    free = {example.row for example in labelled if example.split in (None, "train")}
    judged = trained.judged & free
    return {"train": sorted((trained.learned & free) - judged), "validation": sorted(judged)}


def _numbers(rows: Any) -> frozenset[int]:
    return frozenset(row for row in rows if isinstance(row, int)) if isinstance(rows, list) else frozenset()


def _place(source: str) -> str:
    """A source by its place on this machine, where it has one."""
    path = Path(source)
    return str(path.resolve()) if source and path.exists() else source
