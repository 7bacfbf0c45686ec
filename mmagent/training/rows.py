"""Examples as the core reads them: tokens once and for all, prefixes left open for the adapter to fill.

The prompt is made by the very code that answers questions, so what is trained is what is asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Protocol

from mmagent.core import Soft
from mmagent.data.labelled import Problem, told, too_long
from mmagent.errors import UserError
from mmagent.request import Request, in_order

if TYPE_CHECKING:
    from torch import Tensor

    from mmagent.agent import Agent
    from mmagent.compose import Composed
    from mmagent.core import Core
    from mmagent.core.assemble import Row

    Kind = tuple[str | None, tuple[str, ...] | None, tuple[str, ...]]
    Targets = tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]

TOLD = 5  # rows that are named in one line

__all__ = [
    "LearnRow",
    "TrainExample",
    "answered",
    "choice_terms",
    "demand_room",
    "fingerprint",
    "how_right",
    "learn_rows",
    "rows_of_several",
]


class TrainExample(Protocol):
    """What an example must have to be learned from."""

    @property
    def row(self) -> int:
        """Its number in the data, for messages."""

    @property
    def source(self) -> str:
        """Where it stands, for messages."""

    @property
    def media(self) -> Mapping[str, Sequence[object]]:
        """Sources by modality."""

    @property
    def question(self) -> str | None:
        """What is asked; None: describe."""

    @property
    def answer(self) -> str:
        """What is to be said."""

    @property
    def answers(self) -> Sequence[str]:
        """All that counts as right."""

    @property
    def choices(self) -> Sequence[str] | None:
        """The answers to choose from, if any."""


@dataclass(frozen=True, eq=False, slots=True)
class LearnRow:
    """One example, tokenised.

    prompt   the tokens before the answer, with open places where prefixes stand
    target   ids of the answer and of its end
    media    per open place, which of the run's media stands there;  senses  and of which modality it is
    right    texts that count as right
    answer   what is to be said
    stop, drop   how a generated answer ends, and what is taken off its end
    choices  ids of the answers to choose from, without their ends, the right one first; () for none
    offered  these answers as texts
    views    of a row with several modalities, the same without some of them: every choice that leaves one
    again    makes the same with another answer
    """

    prompt: Row
    target: tuple[int, ...]
    media: tuple[int, ...]
    right: tuple[str, ...]
    answer: str
    stop: tuple[str, ...]
    drop: str
    choices: tuple[tuple[int, ...], ...] = ()
    offered: tuple[str, ...] = ()
    senses: tuple[str, ...] = ()
    views: tuple[LearnRow, ...] = ()
    again: Callable[[str], LearnRow] | None = field(default=None, repr=False)

    def saying(self, answer: str) -> LearnRow:
        """The same with another answer to be said; itself where it would be too long."""
        if answer == self.answer or self.again is None:
            return self
        try:
            return self.again(answer)
        except _TooLongError:
            return self

    def __len__(self) -> int:
        return len(self.prompt) + len(self.target)

    def filled(self, prefixes: Sequence[Tensor]) -> Row:
        """The prompt with prefixes (k, d_core) in its open places, in their order."""
        given = iter(zip(prefixes, self.media, strict=True))
        parts = tuple(_put(*next(given)) if isinstance(part, Soft) else part for part in self.prompt.parts)
        return replace(self.prompt, parts=parts)

    def is_right(self, said: str) -> bool:
        """Whether a generated text, blanks and its end aside, is one of the right ones."""
        return _plain(said.strip().removesuffix(self.drop)) in self.right


def learn_rows(
    agent: Agent,
    modality: str,
    examples: Sequence[TrainExample],
    media: Mapping[int, Sequence[int]],
    n_tokens: int,
) -> list[LearnRow]:
    """Tokenise examples for an adapter of `modality` that makes `n_tokens` soft tokens.

    media: for each example, by its place, the run's numbers of its media in order. Raises `UserError` naming
    the row for an example with media of another modality, and for one longer than the core reads.
    """
    for example in examples:
        other = [name for name in example.media if name != modality]
        if other:
            raise UserError(
                f"row {example.row} has {other[0]!r} media; this adapter is for {modality!r} alone."
            )
    return rows_of_several(agent, {modality: n_tokens}, examples, media, views=False)


def rows_of_several(
    agent: Agent,
    n_tokens: Mapping[str, int],
    examples: Sequence[TrainExample],
    media: Mapping[int, Sequence[int]],
    *,
    views: bool,
) -> list[LearnRow]:
    """Tokenise examples with media of several modalities; `n_tokens` soft tokens for one of each.

    media: for each example, by its place, the run's numbers of its media in the order of `in_order`. views:
    whether rows are also made without some of their modalities. Raises `UserError` naming all rows that are
    longer than the core reads.
    """
    writer = _Writer(agent, n_tokens)
    rows = []
    long: list[Problem] = []
    for at, example in enumerate(examples):
        senses = [name for name, _ in in_order(example.media)]
        places = list(zip(senses, media[at], strict=True))
        try:
            made = writer.row(example, places)
        except _TooLongError as error:
            long.append(too_long(example.row, error.args[0], agent.core.max_positions, example.source))
            continue
        kinds = sorted(set(senses))
        if views and len(kinds) > 1:
            chosen = (kept for size in range(1, len(kinds)) for kept in combinations(kinds, size))
            fewer = [[place for place in places if place[0] in kept] for kept in chosen]
            made = replace(made, views=tuple(writer.row(example, one) for one in fewer))
        rows.append(made)
    if long:
        raise UserError(
            f"{' '.join(told(long, TOLD))} Shorten such rows or leave them out, or start from a --bundle "
            "whose core reads more."
        )
    return rows


def demand_room(agent: Agent, examples: Sequence[TrainExample]) -> None:
    """Raise `UserError` as `rows_of_several` does for rows that are too long whatever the adapter.

    So that it is told before anything is encoded, when it is not known yet how many soft tokens there are.
    """
    if agent.core.max_positions is not None:
        senses = {name for example in examples for name in example.media}
        media = {at: [0] * len(in_order(one.media)) for at, one in enumerate(examples)}
        rows_of_several(agent, dict.fromkeys(senses, 1), examples, media, views=False)


class _Writer:
    """Makes rows; those that ask the same share one prompt: neither time nor memory is spent on it twice."""

    def __init__(self, agent: Agent, n_tokens: Mapping[str, int]) -> None:
        import torch

        self._agent = agent
        self._blank = {
            name: Soft(torch.zeros(n, agent.core.d_core), "open place") for name, n in n_tokens.items()
        }
        self._prompts: dict[Kind, tuple[Composed, Row]] = {}
        self._targets: dict[tuple[Kind, str], Targets] = {}

    def row(
        self, example: TrainExample, places: Sequence[tuple[str, int]], said: str | None = None
    ) -> LearnRow:
        """An example as the core reads it with these media: the modality and the run's number of each.

        said: another answer in the place of its own.
        """
        answer = example.answer if said is None else said
        senses = tuple(name for name, _ in places)
        choices = tuple(example.choices) if example.choices else None
        kind = example.question, choices, senses
        if kind not in self._prompts:
            self._prompts[kind] = self._prompt(example, choices, senses)
        composed, prompt = self._prompts[kind]
        if (kind, answer) not in self._targets:
            self._targets[kind, answer] = self._spelt(answer, choices, composed, prompt)
        target, of_choice = self._targets[kind, answer]
        right = (answer, *example.answers) if said is None else (answer,)
        return LearnRow(
            prompt,
            target,
            tuple(number for _, number in places),
            tuple(dict.fromkeys(map(_plain, right))),
            answer.strip(),
            composed.stop,
            composed.drop,
            of_choice,
            _offered(answer, choices),
            senses,
            again=partial(self.row, example, places),
        )

    def _prompt(
        self, example: TrainExample, choices: tuple[str, ...] | None, senses: tuple[str, ...]
    ) -> tuple[Composed, Row]:
        from mmagent.core.assemble import read

        given = {name: example.media[name] for name in senses}
        softs = [self._blank[name] for name in senses]
        composed = self._agent.compose(Request(example.question, given, (), choices), senses, softs)
        return composed, read(self._agent.core, composed.prompt)

    def _spelt(
        self, answer: str, choices: tuple[str, ...] | None, composed: Composed, prompt: Row
    ) -> Targets:
        """Ids of the answer with its end, and of the choices without theirs, the right one first."""
        core = self._agent.core
        end = core.tokens.follow(composed.stop[0])[:1] if composed.stop else sorted(core.eos)[:1]
        spelled = partial(_spelled, core, prompt, composed, len(end))
        return (*spelled(answer), *end), tuple(map(spelled, _offered(answer, choices)))


class _TooLongError(Exception):
    """A row takes so many tokens, the first argument, and the core reads fewer."""


def _spelled(core: Core, prompt: Row, composed: Composed, n_end: int, answer: str) -> tuple[int, ...]:
    """Ids of an answer after its prompt; raises `_TooLongError` where the two and its end are."""
    from mmagent.core.assemble import read_continuation

    ids = read_continuation(core, prompt, composed.write_answer(answer))
    length = len(prompt) + len(ids) + n_end
    if core.max_positions is not None and length > core.max_positions:
        raise _TooLongError(length)
    return tuple(ids)


def _offered(answer: str, choices: tuple[str, ...] | None) -> tuple[str, ...]:
    """The answers to choose from, the right one first; () for none."""
    return tuple(dict.fromkeys((answer, *choices))) if choices else ()


def choice_terms(core: Core, prompts: Sequence[Row], rows: Sequence[LearnRow]) -> Tensor:
    """How far each row's right choice is from being chosen, (B,): 0 where there is nothing to choose.

    The cross-entropy of the right one under the distribution by which `ask` chooses, softmax over the mean
    log-probability per token, times the target's tokens, so that it weighs what the target weighs. A
    contrastive loss over given negatives, as in InfoNCE (van den Oord et al. 2018, eq. 4).
    """
    import torch

    from mmagent.core.score import target_losses

    at = [number for number, row in enumerate(rows) for _ in row.choices]
    if not at:
        return torch.zeros(len(rows), device=core.device)
    ids = [choice for row in rows for choice in row.choices]
    lengths = torch.tensor([len(one) for one in ids], device=core.device)
    scores = -target_losses(core, [prompts[number] for number in at], ids) / lengths  # one for each choice
    apart = iter(torch.split(scores, [len(row.choices) for row in rows if row.choices]))
    nothing = scores.new_zeros(())
    return torch.stack(
        [-next(apart).log_softmax(0)[0] * len(row.target) if row.choices else nothing for row in rows]
    )


def answered(core: Core, rows: Sequence[LearnRow], prompts: Sequence[Row]) -> list[str]:
    """What the core answers to these rows, as `ask` has it: the likeliest choice where a row has choices.

    The others are generated, in as many tokens as the longest right answer takes.
    """
    out = [""] * len(rows)
    for at, text in _chosen(core, rows, prompts).items():
        out[at] = text
    free = [at for at, row in enumerate(rows) if not row.choices]
    longest = max((len(rows[at].target) for at in free), default=0)
    for stop in sorted({rows[at].stop for at in free}):
        places = [at for at in free if rows[at].stop == stop]
        made = core.generate([prompts[at] for at in places], max_tokens=longest, stop=stop)
        for at, one in zip(places, made, strict=True):
            out[at] = one.text
    return out


def _chosen(core: Core, rows: Sequence[LearnRow], prompts: Sequence[Row]) -> dict[int, str]:
    """The likeliest choice by its mean log-probability per token, of the rows that have choices."""
    from mmagent.core.score import target_losses

    jobs = [(at, ids) for at, row in enumerate(rows) for ids in row.choices]
    scores: list[float] = []
    for start in range(0, len(jobs), len(rows)):  # as many at a time as there are rows, which fit in memory
        part = jobs[start : start + len(rows)]
        losses = target_losses(core, [prompts[at] for at, _ in part], [ids for _, ids in part])
        scores += [-loss / len(ids) for loss, (_, ids) in zip(losses.tolist(), part, strict=True)]
    best: dict[int, tuple[float, str]] = {}
    texts = (text for row in rows for text in row.offered)
    for (at, _), score, text in zip(jobs, scores, texts, strict=True):
        best[at] = max(best.get(at, (score, text)), (score, text), key=lambda one: one[0])
    return {at: text for at, (_, text) in best.items()}


def how_right(rows: Sequence[LearnRow]) -> tuple[str, str]:
    """What `answered` and `LearnRow.is_right` make of such rows, in words: answers so made, that are so."""
    chosen = sum(bool(row.choices) for row in rows)
    if not chosen:
        return "generated to their end", "exact"
    if chosen == len(rows):
        return "the likeliest of their choices", "the right choice"
    return "generated to their end or the likeliest of their choices", "exact"


def _put(prefix: Tensor, medium: int) -> Soft:
    """A prefix in an open place; what it is called tells it from those of other media."""
    return Soft(prefix, f"medium {medium}")


def fingerprint(rows: Sequence[LearnRow], keys: Sequence[str]) -> str:
    """sha256 over everything that is learned from: tokens, targets, and the content keys of the media."""
    digest = hashlib.sha256()
    prompts: dict[int, str] = {}
    for row in rows:
        if id(row.prompt) not in prompts:
            parts = [f"<{len(part)}>" if isinstance(part, Soft) else part for part in row.prompt.parts]
            prompts[id(row.prompt)] = repr(parts)
        told = (row.target, [keys[at] for at in row.media])
        digest.update(f"{prompts[id(row.prompt)]} {told!r}".encode())
    return digest.hexdigest()


def _plain(text: str) -> str:
    return " ".join(text.split())
