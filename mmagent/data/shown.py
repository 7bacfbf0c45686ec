"""The prompts of labelled data: the very ones that an agent makes, how long they are, and some to look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mmagent.asked import asked_of
from mmagent.data.labelled import Example, LabelledSet, Problem, too_long
from mmagent.data.report import PromptReport, ShownPrompt
from mmagent.errors import UserError
from mmagent.request import in_order

if TYPE_CHECKING:
    from mmagent.agent import Agent
    from mmagent.compose import Composed
    from mmagent.core import Soft
    from mmagent.core.assemble import Row

__all__ = ["Prompts"]

SHOWN = 3
Kind = tuple[tuple[str, ...], str | None, tuple[str, ...] | None]


class Prompts:
    """The prompts of a set, each different one made once.

    How long a prefix is hangs on the adapter alone, so one medium per modality is encoded and stands for all.
    """

    def __init__(self, labelled: LabelledSet, agent: Agent) -> None:
        self._agent, self._labelled = agent, labelled
        self._stand_ins: dict[str, Soft] = {}
        self._made: dict[Kind, tuple[Composed, Row]] = {}
        self._tails: dict[tuple[Kind, str], int] = {}
        self._kinds = {_kind(example) for example in labelled}

    def __len__(self) -> int:
        """How many different prompts there are."""
        return len(self._kinds)

    def look(
        self, examples: Sequence[Example], progress: Callable[[int], None] | None = None
    ) -> tuple[PromptReport | None, list[Problem], str | None]:
        """The report, the rows that are longer than the core reads, and why there is no report if so."""
        if not examples:
            return None, [], None
        try:
            shown = tuple(self._shown(example) for example in _different(examples))
            lengths = []
            for example in examples:
                lengths.append(self._length(example))
                if progress is not None:
                    progress(len(self._made))
        except UserError as error:
            return None, [], f"no prompts are shown: {error}"
        room = self._agent.core.max_positions
        longest = max(range(len(examples)), key=lengths.__getitem__)
        long = [
            too_long(example.row, length, room, self._labelled.where(example))
            for example, length in zip(examples, lengths, strict=True)
            if room is not None and length > room
        ]
        whose = examples[longest]
        where, bundle = self._labelled.where(whose), self._agent.bundle.name
        return PromptReport(bundle, lengths[longest], whose.row, where, room, shown), long, None

    def _shown(self, example: Example) -> ShownPrompt:
        media = self._media(example)
        prefixes = [self._prefix(modality, source) for modality, source in media]
        for (modality, _), prefix in zip(media, prefixes, strict=True):
            self._stand_ins.setdefault(modality, prefix)
        names = [modality for modality, _ in media]
        composed = self._agent.compose(example.request(), names, prefixes)
        of = iter(names)
        parts = (
            part if isinstance(part, str) else f"<{next(of)}: {len(part)} tokens>" for part in composed.prompt
        )
        where = self._labelled.where(example)
        return ShownPrompt(example.row, where, "".join(parts), composed.write_answer(example.answer))

    def _length(self, example: Example) -> int:
        """Tokens of an example's prompt, of its answer, and one for its end."""
        from mmagent.core.assemble import read, read_continuation

        kind = _kind(example)
        if kind not in self._made:
            media = self._media(example)
            prefixes = [self._stand_in(modality, source) for modality, source in media]
            composed = self._agent.compose(example.request(), [name for name, _ in media], prefixes)
            self._made[kind] = composed, read(self._agent.core, composed.prompt)
        composed, row = self._made[kind]
        tail = (kind, example.answer)
        if tail not in self._tails:
            answer = read_continuation(self._agent.core, row, composed.write_answer(example.answer))
            self._tails[tail] = len(answer) + 1
        return len(row) + self._tails[tail]

    def _media(self, example: Example) -> list[tuple[str, object]]:
        return in_order(asked_of(example.media, example.question, self._agent.plugins.modalities))

    def _prefix(self, modality: str, source: object) -> Soft:
        if modality not in self._agent.bundle.senses:
            raise UserError(
                f"bundle {self._agent.bundle.name!r} has no sense for {modality!r} yet; mmagent train gives "
                "it one."
            )
        return self._agent.prefix(modality, source)

    def _stand_in(self, modality: str, source: object) -> Soft:
        if modality not in self._stand_ins:
            self._stand_ins[modality] = self._prefix(modality, source)
        return self._stand_ins[modality]


def _kind(example: Example) -> Kind:
    """What a prompt's words depend on."""
    names = tuple(modality for modality, _ in in_order(example.media))
    return names, example.question, example.choices


def _different(examples: Sequence[Example]) -> list[Example]:
    """A few examples, with different answers as far as there are some, in the order of the rows."""
    chosen: dict[str, Example] = {}
    for example in examples:
        chosen.setdefault(example.answer, example)
        if len(chosen) == SHOWN:
            break
    rows = {example.row for example in chosen.values()}
    more = (example for example in examples if example.row not in rows)
    return sorted([*chosen.values(), *list(more)[: SHOWN - len(chosen)]], key=lambda example: example.row)
