"""What a check of labelled data found, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmagent.data.labelled import TOLD, Problem, told

__all__ = ["CheckReport", "PromptReport", "ShownPrompt"]

SHOWN_LABELS = 15
SHOWN_TEXT = 40  # characters of a label in a table


@dataclass(frozen=True)
class ShownPrompt:
    """A prompt as the core reads it, ``<image: 26 tokens>`` where a prefix stands, and what it should say.

    row    its number;  where  the same as problems name it
    """

    row: int
    where: str
    prompt: str
    answer: str


@dataclass(frozen=True)
class PromptReport:
    """What the core would read.

    bundle   whose prompts these are: another adapter may make more soft tokens, or fewer
    longest  tokens of the longest prompt with its answer and its end, prefixes included
    row      whose it is;  where  the same as problems name it
    room     tokens the core reads at most; None: no end
    shown    some examples
    """

    bundle: str
    longest: int
    row: int
    where: str
    room: int | None
    shown: tuple[ShownPrompt, ...]


@dataclass(frozen=True)
class CheckReport:
    """Labelled data, as they were understood, and what is wrong with them.

    rows      that can be learned from: all figures below count these;  left_out  those that cannot
    columns   which column stands for what
    splits    rows per split; "" where the data has none
    labels    rows per answer, per split; the most frequent first
    classes   whether the answers are classes
    opened    whether the media were opened, or only looked for
    media     how many different ones there are;  broken  those among them that cannot be read
    having    rows that have media of each modality, and "all of them" where there are several
    prompts   None: no agent was given, or it makes no prompt of these media (a note says why)
    estimate  what the trainer says of memory and time
    notes     how something was understood; warnings: what is odd; problems: what training refuses
    """

    source: str
    format: str
    rows: int
    left_out: int
    kind: str
    columns: Mapping[str, str]
    unused: tuple[str, ...]
    modalities: tuple[str, ...]
    splits: Mapping[str, int]
    labels: Mapping[str, Mapping[str, int]] = field(repr=False)
    classes: bool
    opened: bool
    media: int
    broken: int
    having: Mapping[str, int]
    prompts: PromptReport | None
    estimate: Mapping[str, Any]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    problems: tuple[Problem, ...]

    @property
    def clean(self) -> bool:
        """Whether training would take the data."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """Everything, as plain values."""
        prompts = self.prompts
        shown = prompts and [vars(one) for one in prompts.shown]
        return {
            **vars(self),
            "clean": self.clean,
            "columns": dict(self.columns),
            "having": dict(self.having),
            "splits": dict(self.splits),
            "labels": {split: dict(counts) for split, counts in self.labels.items()},
            "prompts": prompts and {**vars(prompts), "shown": shown},
            "estimate": dict(self.estimate),
            "problems": [problem.as_json() for problem in self.problems],
        }

    def text(self, *, problems: bool = True) -> str:
        """The report for a terminal, several lines; `problems` may be left for the caller to tell."""
        left_out = f", {self.left_out:,} left out" if self.left_out else ""
        parts = [f"{self.source}: {self.format}, {self.rows:,} rows to learn from{left_out}"]
        parts += [self._understood()]
        parts += [self._counted(), self._looked_at(), self._prompts(), *map(_bullets, self._remarks())]
        if problems and self.problems:
            parts.append(_bullets(("training would refuse this:", told(self.problems, TOLD))))
        return "\n\n".join(part for part in parts if part)

    def _understood(self) -> str:
        rows = [("stands for", "column"), *self.columns.items()]
        if self.kind != "answer":
            rows = [(f"{role} ({self.kind})" if role == "answer" else role, name) for role, name in rows]
        if self.unused:
            rows.append(("(nothing)", ", ".join(self.unused)))
        return _aligned(rows)

    def _counted(self) -> str:
        names = list(self.splits)
        total: dict[str, int] = {}
        for counts in self.labels.values():
            for label, count in counts.items():
                total[label] = total.get(label, 0) + count
        order = sorted(total, key=lambda label: (-total[label], label))
        rows = [(self.kind, *(name or "no split" for name in names))]
        rows.append(("all", *(f"{self.splits[name]:,}" for name in names)))
        for label in order[:SHOWN_LABELS]:
            found = (self.labels.get(name, {}).get(label, 0) for name in names)
            rows.append((_short(label), *(f"{count:,}" for count in found)))
        more = len(order) - SHOWN_LABELS
        return _aligned(rows, right=True) + (f"\n  and {more:,} more" if more > 0 else "")

    def _looked_at(self) -> str:
        found = "opened" if self.opened else "looked for, not opened"
        of = ", ".join(f"{name} {count:,}" for name, count in self.having.items())
        several = f"\n  rows that have {of}" if len(self.having) > 1 else ""
        broken = f", {self.broken:,} cannot be read" if self.broken else ""
        return f"  {self.media:,} different media, {found}{broken}{several}"

    def _prompts(self) -> str:
        if self.prompts is None:
            return ""
        room = f"of {self.prompts.room:,} " if self.prompts.room is not None else ""
        longest = f"{self.prompts.longest:,} {room}tokens ({self.prompts.where})"
        lines = [f"  longest prompt of {self.prompts.bundle} with its answer: {longest}"]
        for one in self.prompts.shown:
            lines += ["", f"  {one.where}, as the core of {self.prompts.bundle} reads it:"]
            lines += [f"    | {line}" for line in one.prompt.split("\n")]
            lines.append(f"    > {one.answer}")
        return "\n".join(lines)

    def _remarks(self) -> list[tuple[str, Sequence[str]]]:
        estimate = [f"{name}: {value}" for name, value in self.estimate.items()]
        return [("estimate:", estimate), ("notes:", self.notes), ("warnings:", self.warnings)]


def _aligned(rows: Iterable[Sequence[str]], *, right: bool = False) -> str:
    """Rows as columns as wide as they need to be; with `right` all but the first hold numbers."""
    lines = list(rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = []
    for first, *others in lines:
        cells = [f"{first:<{widths[0]}}"]
        for cell, width in zip(others, widths[1:], strict=True):
            cells.append(f"{cell:>{width}}" if right else f"{cell:<{width}}")
        shown.append(f"  {'  '.join(cells)}".rstrip())
    return "\n".join(shown)


def _bullets(titled: tuple[str, Sequence[str]]) -> str:
    title, lines = titled
    return "\n".join([f"  {title}", *(f"  - {line}" for line in lines)]) if lines else ""


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_TEXT else f"{text[: SHOWN_TEXT - 3]}..."
