"""One set of rows, asked in the same way by every system: the agent as it is, and each of its controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmagent.errors import UserError
from mmagent.evaluation import controls
from mmagent.evaluation.results import Judge, Result, Row, judged
from mmagent.evaluation.vqa import ENOUGH
from mmagent.request import Request, Shot

if TYPE_CHECKING:
    from mmagent.agent import Agent
    from mmagent.answer import Answer
    from mmagent.compose import Composed
    from mmagent.core import ChoiceScore
    from mmagent.data import Example, LabelledSet

__all__ = ["CONTROLS", "Asked", "Examiner", "asked_as", "drawn", "judge_of"]

CONTROLS = ("blind", "shuffled", "oracle")
TOLD = Path(__file__).with_name("told.jinja")
LINE_END = "\ue00a"  # what `told.jinja` takes for the end of a line; a shot's question is kept on one line
DIGITS = 6  # of a confidence; what floating point leaves behind these hangs on what else was in a batch

Told = Callable[["Example"], str]
Near = Callable[[Sequence["Example"]], Sequence[Sequence["Example"]]]
"""From rows, with the media that a system sees, to the shots of each."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Asked:
    """What one system is asked: rows and shots, each with its media, without them, or with them in words.

    own  shots of each row, in place of those that all rows share
    """

    examples: Sequence[Example]
    shots: tuple[Shot, ...]
    in_words: bool = False
    own: Sequence[tuple[Shot, ...]] | None = None

    def shots_of(self, at: int) -> tuple[Shot, ...]:
        """The shots of a row: its own, or the very object that all rows share."""
        return self.shots if self.own is None else self.own[at]


def judge_of(labelled: LabelledSet, examples: Sequence[Example]) -> Judge:
    """What makes an answer right in these data.

    VQA accuracy where every question was answered by several people, choice accuracy where every row has
    choices, else exact match.
    """
    if labelled.kind == "answer" and all(len(one.answers) >= ENOUGH for one in examples):
        return "VQA accuracy"
    return "choice accuracy" if all(one.choices for one in examples) else "exact match"


def drawn(train: Sequence[Example], split: str | None, k: int, seed: int) -> tuple[Example, ...]:
    """`k` examples of the training rows, every answer in turn; fewer are the first of more.

    Raises UserError where there are not so many.
    """
    from mmagent.shotset import ranked

    if k > len(train):
        there = f"has {len(train):,} rows" if train else "is not there"
        if split == "train":
            there = "is the one that is answered here"
        raise UserError(f"shots are drawn from the split train, which {there}; {k:,} were asked for.")
    order = ranked([one.answer for one in train], None, seed) if k else []
    return tuple(train[at] for at in order[:k])


def asked_as(
    control: str | None,
    examples: Sequence[Example],
    shots: Sequence[Example],
    *,
    label: str,
    default_question: str,
    told: Told | None = None,
    near: Near | None = None,
    seed: int = 0,
) -> Asked:
    """What a control is asked; None: what the agent itself is asked.

    label  what a medium is called in a prompt ("Picture");  told  what the oracle is told of an example's
    media, its answer unless given;  near  which shots each row has, by the media that a system sees of it; a
    blind one sees none and has `shots`, as all have without `near`

    Shots go the way of the rows: a blind control's have no media either, an oracle's are told in words.
    Raises UserError where rows cannot be shuffled.
    """
    examples = [_asking(one, default_question) for one in examples]
    shots = [_asking(one, default_question) for one in shots]
    if control == "blind":
        return Asked(controls.blind(examples), _shots(controls.blind(shots)))
    seen = controls.shuffled(examples, seed) if control == "shuffled" else examples
    chosen = None
    if near is not None and shots:
        chosen = [[_asking(one, default_question) for one in some] for some in near(seen)]
    if control in (None, "shuffled"):
        return Asked(seen, _shots(shots), own=None if chosen is None else list(map(_shots, chosen)))
    if control != "oracle":
        raise ValueError(f"no control {control!r}")

    def in_words(rows: Sequence[Example]) -> list[Example]:
        named = f"{label}: {{told}}"
        asking = controls.oracle(rows, told, form=f"{named}{LINE_END}Question: {{question}}")
        describing = controls.oracle(rows, told, form=named)
        return [
            bare if one.question is None else full
            for one, full, bare in zip(rows, asking, describing, strict=True)
        ]

    own = None if chosen is None else [_shots(in_words(some)) for some in chosen]
    return Asked(in_words(examples), _shots(in_words(shots)), in_words=True, own=own)


@dataclass(frozen=True)
class Examiner:
    """Asks one agent, every time in the same way, and judges its answers."""

    agent: Agent
    examples: Sequence[Example]
    judge: Judge
    labels: tuple[str, ...] | None
    memory: bool = True
    max_tokens: int = 48
    batch_size: int = 32
    seed: int = 0

    def result(
        self, name: str, asked: Asked, *, likelihood: bool = False, progress: Progress | None = None
    ) -> Result:
        """The answers to what is asked, judged by what the rows want.

        likelihood  also how probable the wanted answers are, for perplexity: every prompt is read twice

        Raises UserError where a row cannot be answered: a score over the others would be another score.
        """
        options: dict[str, Any] = {"memory": self.memory, "batch_size": self.batch_size, "seed": self.seed}

        def answer(requests: Sequence[Request], places: Sequence[int], more: Mapping[str, Any]) -> Any:
            return self.agent.ask_many(requests, max_tokens=self.max_tokens, **options, **more)

        def likely(requests: Sequence[Request], places: Sequence[int], more: Mapping[str, Any]) -> Any:
            wanted = [self.examples[at].answer for at in places]
            return self.agent.likelihoods(requests, wanted, **options, **more)

        answers: list[Answer] = _in_groups(name, asked, answer, progress)
        rows = [self._row(*pair) for pair in zip(self.examples, answers, strict=True)]
        if likelihood:
            scores: list[ChoiceScore] = _in_groups(name, asked, likely, None)
            rows = [
                replace(row, logprob=round(score.logprob, DIGITS), tokens=score.n_tokens)
                for row, score in zip(rows, scores, strict=True)
            ]
        return Result(name, tuple(rows), self.judge, self.labels)

    def first(self, asked: Asked) -> Composed:
        """What the core reads for the first row. Raises UserError."""
        prompt = next(iter(_groups(asked)))
        return self.agent.read(_request(asked, 0), memory=self.memory, prompt=prompt, seed=self.seed)

    def _row(self, example: Example, answer: Answer) -> Row:
        wanted = tuple(dict.fromkeys((example.answer, *example.answers)))
        if self.judge == "VQA accuracy":
            wanted = example.answers  # as often as they were given
        sure = round(answer.confidence, DIGITS)
        return judged(
            example.question, wanted, answer.text, self.judge, confidence=sure, source=example.source
        )


def _in_groups(
    name: str,
    asked: Asked,
    ask: Callable[[Sequence[Request], Sequence[int], Mapping[str, Any]], Sequence[Any]],
    progress: Progress | None,
) -> list[Any]:
    """What `ask(requests, their places, options)` gives for the rows of each template, in the rows' order.

    Raises UserError where a row came back as an error.
    """
    found: dict[int, Any] = {}
    for prompt, places in _groups(asked).items():
        more = {"prompt": prompt, "progress": _after(progress, len(found), len(asked.examples))}
        found.update(zip(places, ask([_request(asked, at) for at in places], places, more), strict=True))
    errors = [(at, error) for at, error in sorted(found.items()) if isinstance(error, UserError)]
    if errors:
        shown = " ".join(f"{asked.examples[at].source}: {error}" for at, error in errors[:3])
        raise UserError(
            f"{len(errors):,} of {len(found):,} rows cannot be answered by {name}, so there is no score: "
            f"{shown}"
        )
    return [found[at] for at in range(len(found))]


def _groups(asked: Asked) -> dict[str | Path | None, list[int]]:
    """Places of the rows by the template they need, the first row's first; None: what suits the question."""
    found: dict[str | Path | None, list[int]] = {}
    for at, example in enumerate(asked.examples):
        prompt = TOLD if asked.in_words else "caption" if example.question is None else None
        found.setdefault(prompt, []).append(at)
    return found


def _request(asked: Asked, at: int) -> Request:
    """A row as the agent is asked it; rows that share their shots share the object: it is read once."""
    example = asked.examples[at]
    return Request(example.question, example.media, asked.shots_of(at), example.choices)


def _after(progress: Progress | None, before: int, total: int) -> Progress | None:
    return None if progress is None else lambda done, _: progress(before + done, total)


def _asking(example: Example, default_question: str) -> Example:
    """With a question where there are choices but none; a blind control could not be asked otherwise."""
    return (
        replace(example, question=default_question) if example.choices and not example.question else example
    )


def _shots(examples: Sequence[Example]) -> tuple[Shot, ...]:
    return tuple(Shot(one.answer, one.question, one.media, one.source) for one in examples)
