"""The answers of one evaluated set, row by row, and the scores that follow from them.

A `Result` keeps what was answered; `Scores` are computed from it, never kept beside it, so that a number can
always be traced to rows. Both go to JSON and back in a fixed order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from mmagent.errors import UserError, did_you_mean
from mmagent.evaluation.calibration import BINS, ReliabilityPoint, brier, calibration_error, reliability
from mmagent.evaluation.intervals import RESAMPLES, Interval, interval, share
from mmagent.evaluation.metric import Metric, mean
from mmagent.evaluation.metrics import ClassScore, Confusion, confusion, exact_match, macro_f1, perplexity
from mmagent.evaluation.vqa import vqa_right

__all__ = ["Judge", "Result", "Row", "Scores", "judged"]

Judge = Literal["exact match", "choice accuracy", "VQA accuracy"]
"""What makes an answer right. Choices are compared like any text; the name says that they were given."""
FORMAT = 1


@dataclass(frozen=True)
class Row:
    """One answered question."""

    question: str | None
    wanted: tuple[str, ...]
    """The right answers; the first one is the class, where classes are counted."""
    got: str
    correct: float
    """1 right, 0 wrong; VQA accuracy lies between."""
    confidence: float | None = None
    """Probability, 0 to 1, that the answer given is right."""
    logprob: float | None = None
    """Summed natural log-probability of the first wanted answer's tokens."""
    tokens: int | None = None
    """How many tokens that is."""
    source: str = ""
    """Where the input came from, for people."""

    def __post_init__(self) -> None:
        if not self.wanted:
            raise UserError(f"the row {self.source or self.question!r} has no wanted answer.")
        for name in ("correct", "confidence"):
            value = getattr(self, name)
            if value is not None and not 0.0 <= value <= 1.0:
                raise UserError(f"the row {self.source or self.question!r} has {name} {value}, not 0 to 1.")
        if self.logprob is not None and not math.isfinite(self.logprob):
            raise UserError(f"the row {self.source or self.question!r} has log-probability {self.logprob}.")


def judged(
    question: str | None, wanted: Sequence[str], got: str, judge: Judge = "exact match", **more: Any
) -> Row:
    """A row with its correctness worked out; `more` are the other fields of `Row`."""
    return Row(question, tuple(wanted), got, _correct(got, tuple(wanted), judge), **more)


@dataclass(frozen=True)
class Result:
    """Everything one system answered on one set."""

    name: str
    """The system, as it is called in a report: 'the adapter', 'logistic regression', 'blind'."""
    rows: tuple[Row, ...]
    judge: Judge = "exact match"
    labels: tuple[str, ...] | None = None
    """The classes, where the task has any; other answers are "other"."""

    def __post_init__(self) -> None:
        if self.judge not in get_args(Judge):
            raise UserError(
                f"there is no judge {self.judge!r}. There are: {', '.join(get_args(Judge))}."
                f"{did_you_mean(self.judge, get_args(Judge))}"
            )

    def answered(
        self, name: str, got: Sequence[str], confidence: Sequence[float | None] | None = None
    ) -> Result:
        """The same questions answered by another system, judged alike; nothing else of it is carried over."""
        sure = [None] * len(self.rows) if confidence is None else confidence
        if not len(got) == len(sure) == len(self.rows):
            raise UserError(f"{len(self.rows)} questions need as many answers; {name} gave {len(got)}.")
        rows = tuple(
            replace(
                row,
                got=said,
                confidence=c,
                correct=_correct(said, row.wanted, self.judge),
                logprob=None,
                tokens=None,
            )
            for row, said, c in zip(self.rows, got, sure, strict=True)
        )
        return replace(self, name=name, rows=rows)

    def accuracy(self) -> Metric:
        """The mean of the rows' correctness."""
        return mean([row.correct for row in self.rows])

    def scores(self, *, resamples: int = RESAMPLES, seed: int = 0, bins: int = BINS) -> Scores:
        """Every metric that the rows allow, each with its 95 % interval; the judge's own comes first.

        Macro-F1 needs labels; ECE and Brier need a confidence, perplexity a log-probability, in every row.
        """
        values: dict[str, Interval] = {}
        values[self.judge] = share([row.correct for row in self.rows], resamples=resamples, seed=seed)
        metrics: dict[str, Metric] = {}
        if self.labels is not None:
            metrics["macro-F1"] = macro_f1(*self._classes(), self.labels)
        if sure := self._confidences():
            correct = [row.correct for row in self.rows]
            metrics["ECE"] = calibration_error(sure, correct, bins)
            metrics["Brier score"] = brier(sure, correct)
        told = [(r.logprob, r.tokens) for r in self.rows if r.logprob is not None and r.tokens]
        if len(told) == len(self.rows):
            metrics["perplexity"] = perplexity([log for log, _ in told], [n for _, n in told])
        values |= {k: interval(metric, resamples=resamples, seed=seed) for k, metric in metrics.items()}
        return Scores(self.name, len(self.rows), values)

    def confusion(self) -> Confusion:
        """Wanted against given answers over the labels, or over the wanted answers where there are none."""
        return confusion(*self._classes(), self.labels)

    def classes(self) -> list[ClassScore]:
        """Precision, recall and F1 of each class."""
        return self.confusion().classes()

    def reliability(self, bins: int = BINS) -> list[ReliabilityPoint]:
        """Points of the reliability diagram; none where a row has no confidence."""
        sure = self._confidences()
        return reliability(sure, [row.correct for row in self.rows], bins) if sure else []

    def worst(self, n: int = 20) -> list[Row]:
        """The wrong answers (less than half right), the surest first, those without a confidence last."""
        wrong = [row for row in self.rows if row.correct < 0.5]
        return sorted(
            wrong, key=lambda row: -1.0 if row.confidence is None else row.confidence, reverse=True
        )[:n]

    def as_json(self) -> dict[str, Any]:
        """The same as plain data, rows in order."""
        return {
            "format": FORMAT,
            "name": self.name,
            "judge": self.judge,
            "labels": None if self.labels is None else list(self.labels),
            "rows": [asdict(row) | {"wanted": list(row.wanted)} for row in self.rows],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Result:
        """Back from `as_json`. Raises UserError for what is none."""
        if data.get("format") != FORMAT:
            raise UserError(
                f"these results have the format {data.get('format')!r}; this version reads {FORMAT}. "
                "Evaluate again."
            )
        known = {item.name for item in fields(Row)}
        try:
            rows = [{k: v for k, v in row.items() if k in known} for row in data["rows"]]
            made = tuple(Row(**row | {"wanted": tuple(row["wanted"])}) for row in rows)
            labels = data["labels"]
            return cls(data["name"], made, data["judge"], None if labels is None else tuple(labels))
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(f"these results cannot be read ({error}). Evaluate again.") from error

    def _classes(self) -> tuple[list[str], list[str]]:
        """(wanted, got), an answer that is right in other words counted as the wanted one."""
        wanted = [row.wanted[0] for row in self.rows]
        accepted = exact_match([row.got for row in self.rows], [row.wanted for row in self.rows])
        got = [w if ok else row.got for w, ok, row in zip(wanted, accepted, self.rows, strict=True)]
        return wanted, got

    def _confidences(self) -> list[float]:
        """Every row's confidence, or none at all."""
        sure = [row.confidence for row in self.rows if row.confidence is not None]
        return sure if len(sure) == len(self.rows) else []


@dataclass(frozen=True)
class Scores:
    """The metrics of one result, each with its interval; the judge's own comes first."""

    name: str
    n: int
    values: Mapping[str, Interval]

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return {"name": self.name, "n": self.n, "values": {k: v.as_json() for k, v in self.values.items()}}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Scores:
        """Back from `as_json`."""
        values = {k: Interval.from_json(v) for k, v in data["values"].items()}
        return cls(str(data["name"]), int(data["n"]), values)


def _correct(got: str, wanted: tuple[str, ...], judge: Judge) -> float:
    if judge == "VQA accuracy":
        return vqa_right(got, wanted)
    return float(exact_match([got], [wanted])[0])
