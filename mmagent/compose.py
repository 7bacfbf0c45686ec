"""From a question to what the core reads: its template, the shots that fit, the prefixes, the vote."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from mmagent.continuation import Continuation, continuations
from mmagent.copying import Copying, VoteAfter
from mmagent.errors import UserError
from mmagent.prompts import PromptShot, Rendered, check_template, render, template_uses
from mmagent.request import Request
from mmagent.shotset import ShotSet, signature
from mmagent.supposing import BySuppositions, Suppositions

if TYPE_CHECKING:
    from mmagent.bundle import Bundle
    from mmagent.core import Core, Soft
    from mmagent.core.decode import Mixer
    from mmagent.memory import Vote
    from mmagent.senses import Percept, Senses

__all__ = ["Codec", "Composed", "Composer", "Options"]

Following = dict[tuple[int, ...], Continuation]
DEFAULT_QUESTION = "What is this?"
CONTEXT_SHOTS = 32  # more shots make a prompt slow to read, not better; all of them are in the memory
ASKING = ("vqa", "fewshot", "choices")  # templates that make no sense without a question
TAIL = 16  # characters of the prompt's end that decide how an answer is tokenised


@dataclass(frozen=True)
class Options:
    """How a question is answered; the fields are the options of `Agent.ask`."""

    memory: bool = True
    prompt: str | Path | None = None
    max_tokens: int = 48
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    context_shots: int | None = None

    def demand_kinds(self) -> None:
        """Raise UserError where an option is of another kind than it must be, such as memory="off"."""
        for name, kinds, told in (
            ("memory", bool, "True or False"),
            ("prompt", str | Path | None, "a template's name or file"),
            ("max_tokens", int, "a whole number"),
            ("temperature", int | float, "a number"),
            ("top_p", int | float, "a number"),
            ("seed", int, "a whole number"),
            ("context_shots", int | None, "a whole number or None"),
        ):
            value = getattr(self, name)
            if not isinstance(value, kinds) or (kinds is not bool and isinstance(value, bool)):
                raise UserError(f"{name} is {value!r:.60}; it must be {told}.")


@dataclass(frozen=True, eq=False)
class Composed:
    """A question, ready for the core.

    asked  the question that shots are compared with;  codec  how their answers are written after the prompt
    following  how answers that are written so go on
    vote   the shot memory's say;  copying  that of an encoder that found the answer, unless shots are given
    suppositions  what else the inputs may be, where adapters say so, unless shots are given
    """

    prompt: list[str | Soft]
    length: int
    stop: tuple[str, ...]
    drop: str
    template: str
    n_shots: int
    write_answer: Callable[[str], str]
    asked: str
    codec: Codec
    following: Callable[[tuple[str, ...]], Following]
    vote: Vote | None = None
    copying: Copying | None = None
    suppositions: Suppositions | None = None
    choices: tuple[str, ...] | None = None
    shot_set: ShotSet | None = field(default=None, repr=False)

    @property
    def mixer(self) -> Mixer | None:
        """What has a say in every token beside the core."""
        if self.vote and self.copying:
            return VoteAfter(self.copying, self.vote)
        one_of = self.suppositions.one_of if self.suppositions else None
        if self.vote and one_of and self.vote.weight > 0:
            return VoteAfter(BySuppositions(one_of, self.following(one_of.answers)), self.vote)
        return self.vote or self.copying


class Composer:
    """Puts questions into words and prefixes for one core and one bundle."""

    def __init__(self, core: Core, bundle: Bundle, senses: Senses) -> None:
        self._core, self._senses = core, senses
        self._bundle = bundle
        self._chats = core.chat("x") != "x"
        self._own = ShotSet((), senses.stored)
        self._tries: dict[tuple[object, tuple[str, ...]], Following] = {}

    def check(self, options: Options) -> None:
        """Raise UserError for options that no question could be answered with."""
        from mmagent.core.decode import Sampling

        options.demand_kinds()
        Sampling(options.temperature, options.top_p, options.seed)
        if options.max_tokens < 1:
            raise UserError(f"max_tokens is {options.max_tokens}: an answer takes at least 1.")
        if options.prompt is not None:
            check_template(options.prompt, list(self._bundle.senses))

    def compose(
        self, request: Request, percepts: Sequence[Percept], shots: ShotSet | None, options: Options
    ) -> Composed:
        """Make the prompt of one request from its perceived media and shots. Raises UserError."""
        question = self._question(request, percepts, shots, options)
        self._demand_content(request, percepts, shots, question, options)
        template = self._template(request, shots, question, options)
        rendered, n_shots, length = self._fitted(request, percepts, shots, question, template, options)
        stop = () if self._chats else rendered.stop  # a chat core ends its turn itself
        asked = "" if template == "caption" else question or self._default_question
        codec = Codec(self._core, template, rendered, stop)
        vote = None
        if percepts and options.memory:
            voters = shots or self._own
            vote = voters.vote(percepts, asked, codec, codec.key, self._senses.memory_settings, n_shots)
        told = percepts[0].told if len(percepts) == 1 and not shots else None
        supposed = [] if shots else [percept for percept in percepts if percept.supposed is not None]
        return Composed(
            prompt=rendered.parts,
            length=length,
            stop=stop,
            drop=rendered.drop,
            template=Path(template).stem,
            n_shots=n_shots,
            write_answer=rendered.write_answer,
            asked=asked,
            codec=codec,
            following=partial(self._following, codec),
            vote=vote,
            copying=Copying.of(told, codec),
            suppositions=self._suppositions(supposed, rendered.parts) if supposed else None,
            choices=tuple(request.choices) if request.choices else None,
            shot_set=shots,
        )

    def _following(self, codec: Codec, answers: tuple[str, ...]) -> Following:
        """How answers go on; found once for all prompts after which they are written alike."""
        if (codec.key, answers) not in self._tries:
            self._tries[codec.key, answers] = continuations(answers, codec)
        return self._tries[codec.key, answers]

    def _suppositions(self, percepts: Sequence[Percept], prompt: Sequence[str | Soft]) -> Suppositions:
        """What inputs may be that each are supposed to be something, in their prompt."""
        found = [percept.supposed for percept in percepts if percept.supposed is not None]
        each = list({id(one): one for one in found}.values())  # those of one thing have one between them

        def instead(answer: int) -> dict[str, Soft]:
            others = [(one.soft, self._senses.supposed_to_be(one, answer).soft) for one in percepts]
            return {one.key: other for one, other in others if one is not None and other is not None}

        return Suppositions(
            prompt,
            words=each[0].answers[each[0].likeliest] if len(each) == 1 else None,
            sure=math.prod(one.shares[one.likeliest] for one in each),
            one_of=each[0] if len(each) == 1 else None,
            instead=instead,
        )

    @property
    def _default_question(self) -> str:
        return str(self._bundle.prompts.get("default_question", DEFAULT_QUESTION))

    def _question(
        self, request: Request, percepts: Sequence[Percept], shots: ShotSet | None, options: Options
    ) -> str | None:
        """What is asked: as typed; else what the shots asked; else what this is, of inputs that adapters have
        names for; else None, which is a description.
        """
        if request.question:
            return request.question
        if options.prompt is None and options.memory and percepts and not shots:
            stored = self._senses.stored(signature(percepts))
            if stored is not None and stored.question is not None:
                return stored.question
        if options.prompt is None and shots:
            asked = {ready.shot.question for ready in shots.shots}
            return (asked.pop() if len(asked) == 1 else None) or self._default_question
        named = bool(percepts) and all(percept.supposed is not None for percept in percepts)
        needed = bool(request.choices) or str(options.prompt) in ASKING or (named and options.prompt is None)
        return self._default_question if needed else None

    def _demand_content(
        self,
        request: Request,
        percepts: Sequence[Percept],
        shots: ShotSet | None,
        question: str | None,
        options: Options,
    ) -> None:
        if not percepts and not request.question and options.prompt is None:
            senses = ", ".join(f"--{name}" for name in self._bundle.senses)
            raise UserError(
                f"there is nothing to ask about: give a question{f', or {senses}' if senses else ''}."
            )
        silent = [percept for percept in percepts if percept.soft is None]
        heard = options.memory and (shots or self._senses.stored(signature(percepts)))
        if silent and not heard:
            name = silent[0].modality
            if silent[0].told is not None:
                raise UserError(f"the encoder for {name!r} has nothing to tell of that. Ask in other words.")
            raise UserError(
                f"bundle {self._bundle.name!r} has no adapter for {name!r}: it knows it by shots only. "
                "Give shots, and leave the memory on."
            )

    def _template(
        self, request: Request, shots: ShotSet | None, question: str | None, options: Options
    ) -> str:
        if options.prompt is not None:
            name = str(options.prompt)
            if shots and not options.memory and not template_uses(name, "shots"):
                raise UserError(
                    f"the prompt {name} has no place for shots, and the shot memory is off, so the shots "
                    "would go unheard. Turn the memory on, or loop over shots in the prompt."
                )
            return name
        if request.choices:
            return "choices"
        if question is None:
            return "caption"
        return "fewshot" if shots else "vqa"

    def _fitted(
        self,
        request: Request,
        percepts: Sequence[Percept],
        shots: ShotSet | None,
        question: str | None,
        template: str,
        options: Options,
    ) -> tuple[Rendered[Soft], int, int]:
        """The prompt with as many shots as the context holds, their number, and its length in tokens."""

        def made(places: Sequence[int]) -> tuple[Rendered[Soft], int, int]:
            chosen = [self._prompt_shot(shots, place, question) for place in sorted(places)]
            rendered = render(
                template,
                question=question,
                media=_visible(percepts),
                shots=chosen,
                choices=request.choices or (),
                wrap=self._core.chat,
            )
            return rendered, len(chosen), _length(self._core, rendered.parts)

        room = self._room(request, options)
        limit = self._limit(options)
        if not shots or limit == 0 or not template_uses(template, "shots"):
            return made(())
        if len(shots) <= limit:
            whole = made(range(len(shots)))
            if whole[2] <= room:
                return whole
        order = shots.ranking(percepts, self._senses.memory_settings, options.seed)
        return _most_that_fit(lambda count: made(order[:count]), min(limit, len(shots)), room)

    def _prompt_shot(self, shots: ShotSet | None, place: int, question: str | None) -> PromptShot[Soft]:
        assert shots is not None
        ready = shots.shots[place]
        asked = ready.shot.question or question or self._default_question
        return PromptShot(asked, ready.shot.answer, _visible(ready.percepts))

    def _limit(self, options: Options) -> int:
        if options.context_shots is not None:
            return max(0, options.context_shots)
        return int(self._bundle.prompts.get("max_shots", CONTEXT_SHOTS))

    def _room(self, request: Request, options: Options) -> float:
        """Tokens a prompt may have so that its answer still fits."""
        limit = self._core.max_positions
        if limit is None:
            return float("inf")
        if not request.choices:
            return limit - options.max_tokens
        return limit - max(len(self._core.tokens.follow(f" {choice}")) for choice in request.choices)


class Codec:
    """How answers are written in tokens after one kind of prompt, and how they end.

    Equal `key`s mean that answers are written alike.
    """

    def __init__(self, core: Core, template: str, rendered: Rendered[Soft], stop: tuple[str, ...]) -> None:
        last = rendered.parts[-1]
        self.tail = last[-TAIL:] if isinstance(last, str) else ""
        self.key = (template, self.tail, stop)
        self._follow: Callable[..., list[int]] = core.tokens.follow
        self._write = rendered.write_answer
        self._stop, self._eos = stop, sorted(core.eos)

    @cached_property
    def end_ids(self) -> list[int]:
        """Ids that end an answer."""
        ends = [self._follow(text)[0] for text in self._stop if text]
        return [*ends, *self._eos] or self._follow("\n")[:1]

    def encode(self, answer: str, *, closed: bool = False) -> list[int]:
        """Ids of an answer as `Core.score` would read it after the prompt; closed: with what ends it."""
        text = self._write(answer) + (self._stop[0] if closed and self._stop else "")
        if not self.tail[-1:].isspace():
            text = f" {text}"
        return self._follow(text, before=self.tail)


def _visible(percepts: Sequence[Percept]) -> list[tuple[str, Soft]]:
    """The media that stand in the prompt: those with a prefix."""
    return [(percept.modality, percept.soft) for percept in percepts if percept.soft is not None]


def _length(core: Core, parts: Sequence[str | Soft]) -> int:
    from mmagent.core.assemble import read

    return len(read(core, parts))


def _most_that_fit(
    made: Callable[[int], tuple[Rendered[Soft], int, int]], most: int, room: float
) -> tuple[Rendered[Soft], int, int]:
    """The prompt with the most shots, up to `most`, that is no longer than `room` (by bisection)."""
    low, best = 0, made(0)
    while low < most:
        middle = (low + most + 1) // 2
        tried = made(middle)
        if tried[2] <= room:
            low, best = middle, tried
        else:
            most = middle - 1
    return best
