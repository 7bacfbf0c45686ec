"""Labelled data, looked at before anything is trained on it: understood how, readable, fair, short enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mmagent.data.labelled import SPLITS, Example, LabelledSet, Problem
from mmagent.data.media import Seen, look
from mmagent.data.report import CheckReport, PromptReport
from mmagent.errors import did_you_mean

if TYPE_CHECKING:
    from mmagent.agent import Agent
    from mmagent.plugins import Plugins

__all__ = ["Estimate", "check"]

IMBALANCE = 10  # times as many rows of one class as of another are worth a word
KEPT_LABELS = 1000  # of a set of free text not every answer is worth keeping

Estimate = Callable[[LabelledSet], Mapping[str, Any]]
"""What the trainer says of memory and time: figures by name, with their units in the name or the text."""


def check(
    labelled: LabelledSet,
    plugins: Plugins,
    *,
    agent: Agent | None = None,
    quick: bool = False,
    progress: Callable[[int, int], None] | None = None,
    estimate: Estimate | None = None,
) -> CheckReport:
    """Look at labelled data as training would, and tell everything at once instead of the first fault.

    Args:
        labelled: as `read_labelled` returned it.
        agent: whose prompts are made and counted. Its adapter's prefixes count as they are.
        quick: open no file. Copies are then told by path alone.
        progress: called with (done, total) media and prompts.
        estimate: the trainer's word on memory and time.

    Raises UserError where a plugin that should read the media is missing.
    """
    from mmagent.data.shown import Prompts

    prompts = Prompts(labelled, agent) if agent is not None else None
    seen = look(
        labelled, plugins, quick=quick, progress=_first_part(progress, len(prompts) if prompts else 0)
    )
    examples = tuple(example for example in labelled if example.row not in seen.unreadable)
    readable = replace(labelled, examples=examples)  # what every figure counts
    problems = [*labelled.problems, *seen.problems, *_split_problems(labelled), *_class_problems(labelled)]
    report: PromptReport | None = None
    notes = list(labelled.notes)
    if prompts is not None:
        report, long, note = prompts.look(examples, _second_part(progress, seen.count, len(prompts)))
        problems += long
        notes += [note] if note else []
    problems += _leaks(labelled, seen)
    problems.sort(key=lambda problem: problem.row or 0)  # what is about the whole comes first
    return CheckReport(
        source=labelled.source,
        format=labelled.format,
        rows=len(readable),
        left_out=len({problem.row for problem in labelled.problems} - {None} | seen.unreadable),
        kind=labelled.kind,
        columns=labelled.columns,
        unused=labelled.unused,
        modalities=labelled.modalities,
        splits=readable.counts(),
        labels=_labels(readable),
        classes=labelled.is_classes,
        opened=not quick,
        media=seen.count,
        broken=seen.broken,
        having=_having(readable),
        prompts=report,
        estimate=estimate(readable) if estimate is not None and examples else {},
        notes=tuple(notes),
        warnings=(
            *_split_warnings(labelled),
            *_group_warnings(labelled),
            *_imbalance(readable),
            *_conflicts(labelled, seen),
        ),
        problems=tuple(problems),
    )


def _having(labelled: LabelledSet) -> dict[str, int]:
    """Rows that have media of each modality, and of all of them where there are several."""
    names = sorted(labelled.modalities)
    found = {name: sum(bool(one.media.get(name)) for one in labelled) for name in names}
    if len(names) > 1:
        found["all of them"] = sum(all(one.media.get(name) for name in names) for one in labelled)
    return found


def _labels(labelled: LabelledSet) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {name: Counter() for name in labelled.counts()}
    for example in labelled:
        counts[example.split or ""][example.answer] += 1
    return {name: dict(found.most_common(KEPT_LABELS)) for name, found in counts.items()}


def _split_problems(labelled: LabelledSet) -> list[Problem]:
    counts = labelled.counts()
    found = [
        Problem(None, f"the split {name} is empty.") for name, count in counts.items() if name and not count
    ]
    if len(labelled.splits) > 1 and "train" not in labelled.splits:
        there = ", ".join(labelled.splits)
        found.append(
            Problem(None, f"there is no split train. There are: {there}.{did_you_mean('train', counts)}")
        )
    return found


def _class_problems(labelled: LabelledSet) -> list[Problem]:
    """One class is nothing to learn; a class that a split does not know makes its score a lie."""
    if not labelled.is_classes:
        return []
    classes = dict.fromkeys(example.answer for example in labelled)
    if len(classes) == 1:
        return [
            Problem(
                None, f"every row is {next(iter(classes))!r}: with one class there is nothing to tell apart."
            )
        ]
    found = []
    for name in (split for split in SPLITS if split in labelled.splits):
        there = {example.answer for example in labelled.part(name)}
        missing = sorted(classes.keys() - there)
        if there and missing:
            some = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
            number = f"{len(missing):,} of {len(classes):,} classes"
            found.append(Problem(None, f"the split {name} has no row of {number}: {some}."))
    return found


def _split_warnings(labelled: LabelledSet) -> list[str]:
    return [
        f"{name!r} is neither train, validation nor test, so no run uses it.{did_you_mean(name, SPLITS)}"
        for name in labelled.splits
        if name not in SPLITS
    ]


def _group_warnings(labelled: LabelledSet) -> list[str]:
    """A word where the groups that the data name are known to the split that judges."""
    of = {name: {one.group for one in labelled.part(name)} - {None} for name in SPLITS}
    column = labelled.columns.get("group")
    return [
        f"{len(both):,} of {len(of[name]):,} groups of the split {name} (column {column!r}) stand in train "
        "too: its score says nothing of new ones."
        for name in ("validation", "test")
        if (both := of[name] & of["train"])
    ]


def _imbalance(labelled: LabelledSet) -> list[str]:
    """A word about classes of very different sizes in what is trained on."""
    if not labelled.is_classes:
        return []
    counts = Counter(example.answer for example in labelled if example.split in (None, "train"))
    if len(counts) < 2:
        return []
    (most, n_most), (least, n_least) = counts.most_common()[0], counts.most_common()[-1]
    if n_most < IMBALANCE * n_least:
        return []
    return [
        f"{most!r} has {n_most:,} rows to train on and {least!r} {n_least:,}; "
        "an accuracy per class says more than one over all rows."
    ]


def _leaks(labelled: LabelledSet, seen: Seen) -> list[Problem]:
    """Rows whose media and question stand in another split too."""
    found = []
    for group in seen.groups(labelled):
        first: dict[str | None, Example] = {}
        for example in group:
            first.setdefault(example.split, example)
        if len(first) < 2:
            continue
        one, *others = first.values()
        for other in others:
            what = f"its media and question stand in {one.split} too ({labelled.where(one)})."
            found.append(Problem(other.row, what, f"{labelled.where(other)} in {other.split}"))
    return found


def _conflicts(labelled: LabelledSet, seen: Seen) -> list[str]:
    """Copies within a split: with other answers a contradiction, with the same one a row counted double."""
    told, copies = [], 0
    for group in seen.groups(labelled):
        if group[0].question is None:
            continue  # a picture may well have five captions
        of: dict[str | None, dict[str, str]] = {}
        for example in group:
            answers = of.setdefault(example.split, {})
            copies += example.answer in answers
            answers.setdefault(example.answer, labelled.where(example))
        for answers in of.values():
            if len(answers) > 1:
                rows = ", ".join(f"{answer!r} ({where})" for answer, where in list(answers.items())[:3])
                told.append(f"the same media and question have different answers: {rows}.")
    more = [f"and {len(told) - 5:,} more contradictions like these."] if len(told) > 5 else []
    double = f"{copies:,} rows are copies of another row in their split; they count double." if copies else ""
    return [*told[:5], *more, *([double] if double else [])]


def _first_part(progress: Callable[[int, int], None] | None, more: int) -> Callable[[int, int], None] | None:
    """Progress over media where `more` prompts follow."""
    return None if progress is None else lambda done, total: progress(done, total + more)


def _second_part(
    progress: Callable[[int, int], None] | None, before: int, total: int
) -> Callable[[int], None] | None:
    """Progress over prompts where so many media went before."""
    return None if progress is None else lambda done: progress(before + done, before + total)
