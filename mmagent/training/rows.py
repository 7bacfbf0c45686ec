"""Examples as the core reads them: tokens once and for all, prefixes left open for the adapter to fill.

The prompt is made by the very code that answers questions, so what is trained is what is asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from mmagent.core import Soft
from mmagent.errors import UserError
from mmagent.request import Request

if TYPE_CHECKING:
    from torch import Tensor

    from mmagent.agent import Agent
    from mmagent.core.assemble import Row

__all__ = ["LearnRow", "TrainExample", "fingerprint", "learn_rows"]


class TrainExample(Protocol):
    """What an example must have to be learned from."""

    @property
    def row(self) -> int:
        """Its number in the data, for messages."""

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


@dataclass(frozen=True, eq=False)
class LearnRow:
    """One example, tokenised.

    prompt   the tokens before the answer, with open places where prefixes stand
    target   ids of the answer and of its end
    media    per open place, which of the run's media stands there
    right    texts that count as right
    stop, drop   how a generated answer ends, and what is taken off its end
    """

    prompt: Row
    target: tuple[int, ...]
    media: tuple[int, ...]
    right: tuple[str, ...]
    stop: tuple[str, ...]
    drop: str

    def __len__(self) -> int:
        return len(self.prompt) + len(self.target)

    def filled(self, prefixes: Sequence[Tensor]) -> Row:
        """The prompt with prefixes (k, d_core) in its open places, in their order."""
        given = iter(prefixes)
        parts = tuple(
            replace(part, embeds=next(given)) if isinstance(part, Soft) else part
            for part in self.prompt.parts
        )
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
    import torch

    from mmagent.core.assemble import check_room, read, read_continuation

    core = agent.core
    blank = torch.zeros(n_tokens, core.d_core)
    rows = []
    for at, example in enumerate(examples):
        other = [name for name in example.media if name != modality]
        if other:
            raise UserError(
                f"row {example.row} has {other[0]!r} media; this adapter is for {modality!r} alone."
            )
        softs = [Soft(blank, f"open place {number}") for number in media[at]]
        request = Request(
            example.question, {modality: example.media.get(modality, ())}, (), example.choices or None
        )
        composed = agent.compose(request, modality, softs)
        prompt = read(core, composed.prompt)
        ids = read_continuation(core, prompt, composed.write_answer(example.answer))
        end = core.tokens.follow(composed.stop[0])[:1] if composed.stop else sorted(core.eos)[:1]
        target = (*ids, *end)
        try:
            check_room(core, [prompt.then(target)], 0)
        except UserError as error:
            raise UserError(f"row {example.row}: {error}") from error
        right = tuple(dict.fromkeys(_plain(text) for text in (example.answer, *example.answers)))
        rows.append(LearnRow(prompt, target, tuple(media[at]), right, composed.stop, composed.drop))
    return rows


def fingerprint(rows: Sequence[LearnRow], keys: Sequence[str]) -> str:
    """sha256 over everything that is learned from: tokens, targets, and the content keys of the media."""
    digest = hashlib.sha256()
    for row in rows:
        parts = [f"<{len(part)}>" if isinstance(part, Soft) else part for part in row.prompt.parts]
        digest.update(repr((parts, row.target, [keys[at] for at in row.media])).encode())
    return digest.hexdigest()


def _plain(text: str) -> str:
    return " ".join(text.split())
