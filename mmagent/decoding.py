"""Composed questions through the core in batches: generated or scored, timed, with how sure the agent is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from mmagent.answer import Answer, calibrate, calibration_for, choice_probabilities, mean_probability
from mmagent.compose import Composed, Options
from mmagent.errors import UserError

if TYPE_CHECKING:
    from mmagent.bundle import Bundle
    from mmagent.core import Core, Generation, PrefixCache
    from mmagent.core.score import ChoiceScore

__all__ = ["Decoder", "Job", "batches"]

CPU_ROWS = 32  # of a batch on a CPU, whose caches what lies between two layers of more rows leaves
CPU_TOKENS = 4096  # of a batch on a CPU that reads its shots, for the same reason
BROKEN = "\ufffd"  # what bytes decode to that never became a character; nobody wrote it
SHARED = 8  # requests that share their shots are batched by themselves from this many on

OnText = Callable[[str], None]
Scored = tuple[float, "list[ChoiceScore]"]  # of some texts under one prompt, and the prompt's probability
T = TypeVar("T")


@dataclass(eq=False)
class Job:
    """One request on its way to an answer."""

    index: int
    composed: Composed
    seconds: dict[str, float] = field(default_factory=dict)
    made: Generation | None = None
    """What the core made of it, where an answer is generated."""

    @property
    def reads(self) -> tuple[str, ...] | None:
        """What the core reads, by which jobs that are generated alike are known; None where anything else has
        a say in the answer.
        """
        if self.composed.choices is not None or self.composed.vote or self.composed.copying:
            return None
        parts = (part if isinstance(part, str) else f"\0{part.key}" for part in self.composed.prompt)
        return *self.composed.stop, "", *parts


class Decoder:
    """Answers composed questions with one core and the calibration of one bundle."""

    def __init__(self, core: Core, bundle: Bundle, cache: PrefixCache) -> None:
        self._core, self._bundle, self._cache = core, bundle, cache

    def answer(
        self, batch: Sequence[Job], options: Options, on_text: OnText | None
    ) -> dict[int, Answer | UserError]:
        """Answer one batch; where it is too much for the memory, or one prompt too long, in smaller ones."""

        def run(part: Sequence[Job]) -> list[Answer]:
            start = time.perf_counter()
            answers = self._answered(part, options, on_text)
            seconds = (time.perf_counter() - start) / len(part)
            return [
                _timed(answer, {**job.seconds, "decode": seconds})
                for job, answer in zip(part, answers, strict=True)
            ]

        return _in_halves(batch, run)

    def answer_all(
        self, jobs: Sequence[Job], options: Options, batch_size: int, on_text: OnText | None
    ) -> Iterator[dict[int, Answer | UserError]]:
        """Answer jobs in batches, several at once where none builds on what another one is about to read.

        What the core reads several times (of inputs that are supposed to be the same, or of none at all) it
        answers once, unless answers are sampled or wanted as they come.
        """
        from mmagent.workers import Workers

        again: list[tuple[Job, Job]] = []
        if options.temperature == 0 and on_text is None:
            jobs, again = _once(jobs)
        rows = min(batch_size, CPU_ROWS) if self._core.device.type == "cpu" else batch_size
        tokens = CPU_TOKENS if self._core.device.type == "cpu" else None
        for together in _independent(list(batches(jobs, rows, tokens))):
            if on_text is not None or len(together) < 2:
                yield from (self.answer(one, options, on_text) for one in together)
                continue
            self._read_shots(together[0])
            with Workers(self._core.device, len(together)) as workers, self._cache.keeping_layouts():
                yield from workers.map(lambda one: self.answer(one, options, None), together)
        for first, job in again:
            if first.made is None:  # the first one's error is told by asking
                yield self.answer([job], options, None)
            else:
                answer = self._generated(job.composed, first.made)
                yield {job.index: _timed(answer, {**job.seconds, "decode": 0.0})}

    def _read_shots(self, batch: Sequence[Job]) -> None:
        """Read what the prompts of a batch begin with, if they have shots. What is wrong with one of them, or
        too much for the memory, is told when it is answered.
        """
        import torch

        if any(job.composed.n_shots for job in batch):
            with suppress(UserError, torch.OutOfMemoryError):
                self._core.read_beginning([job.composed.prompt for job in batch], self._cache)

    def likelihood(self, batch: Sequence[Job], answers: Sequence[str]) -> dict[int, ChoiceScore | UserError]:
        """How probable each job's answer is, by the job's index, which is its place in `answers`, too."""

        def run(part: Sequence[Job]) -> list[ChoiceScore]:
            composed = [job.composed for job in part]
            texts = [[answers[job.index]] for job in part]
            return [mixture(own)[0] for own in self._scores(composed, texts, beside=True)]

        return _in_halves(batch, run)

    def _scores(
        self, composed: Sequence[Composed], texts: Sequence[Sequence[str]], *, beside: bool = False
    ) -> list[list[Scored]]:
        """Scores of each one's texts under everything that its inputs may be, with how probable that is.

        beside: whether the only text of each is among what they may be, however improbable.
        """
        supposed = [
            one.suppositions.prompts(() if beside else own, own[0] if beside else None)
            if one.suppositions
            else [(1.0, one.prompt)]
            for one, own in zip(composed, texts, strict=True)
        ]
        prompts = [prompt for each in supposed for _, prompt in each]
        written = [
            [one.write_answer(text) for text in own]
            for one, own, each in zip(composed, texts, supposed, strict=True)
            for _ in each
        ]
        votes = [
            one.vote if one.suppositions else one.mixer
            for one, each in zip(composed, supposed, strict=True)
            for _ in each
        ]
        found = iter(self._core.score(prompts, written, cache=self._kept(composed), mixers=votes))
        return [[(share, next(found)) for share, _ in each] for each in supposed]

    def _kept(self, composed: Sequence[Composed]) -> PrefixCache | None:
        """The cache, where its states will be of use: for a single prompt, and for prompts with shots."""
        return self._cache if len(composed) == 1 or any(one.n_shots for one in composed) else None

    def _answered(self, batch: Sequence[Job], options: Options, on_text: OnText | None) -> list[Answer]:
        composed = [job.composed for job in batch]
        prompts = [one.prompt for one in composed]
        mixers = [one.mixer for one in composed]
        cache = self._kept(composed)
        if composed[0].choices is not None:
            scores = self._scores(composed, [one.choices or () for one in composed])
            return [self._chosen(one, row) for one, row in zip(composed, scores, strict=True)]
        stream = _Stream(on_text, composed[0].drop) if on_text is not None else None
        generations = self._core.generate(
            prompts,
            max_tokens=options.max_tokens,
            temperature=options.temperature,
            top_p=options.top_p,
            seed=options.seed,
            stop=composed[0].stop,
            on_text=stream,
            mixers=mixers,
            cache=cache,
        )
        for job, made in zip(batch, generations, strict=True):
            job.made = made
        return [self._generated(one, made) for one, made in zip(composed, generations, strict=True)]

    def _generated(self, composed: Composed, made: Generation) -> Answer:
        kinds = [*(["memory"] if composed.vote and composed.vote.weight > 0 else []), composed.template]
        scale, bias = calibration_for(self._bundle.calibration, kinds)
        confidence = mean_probability(made.logprobs)
        if (scale, bias) != (1.0, 0.0):
            confidence = calibrate(confidence, scale, bias)
        text = made.text.replace(BROKEN, "").strip().removesuffix(composed.drop).strip()
        knows = composed.copying or composed.suppositions
        if knows and not (composed.vote and composed.vote.weight > 0):
            confidence = knows.confidence(text, confidence)
        return self._answer(composed, text, confidence, len(made.token_ids), made.n_prompt)

    def _chosen(self, composed: Composed, scores: Sequence[Scored]) -> Answer:
        """The likeliest choice; a bundle may calibrate choices apart from answers."""
        choices = composed.choices or ()
        shares = dict.fromkeys(choices, 0.0)
        for weight, own in scores:
            given = choice_probabilities({c: one.normalised for c, one in zip(choices, own, strict=True)})
            for choice, share in given.items():
                shares[choice] += weight * share
        best = max(shares, key=lambda choice: shares[choice])
        scale, bias = calibration_for(self._bundle.calibration, ["choices"], general=False)
        confidence = calibrate(shares[best], scale, bias) if (scale, bias) != (1.0, 0.0) else shares[best]
        n_tokens = sum(one.n_tokens for _, own in scores for one in own)
        return self._answer(composed, best, confidence, n_tokens, composed.length, choices=shares)

    def _answer(
        self,
        composed: Composed,
        text: str,
        confidence: float,
        tokens: int,
        prompt_tokens: int,
        choices: dict[str, float] | None = None,
    ) -> Answer:
        vote, may_be = composed.vote, composed.suppositions
        return Answer(
            text=text,
            confidence=confidence,
            bundle=self._bundle.name,
            seconds=0.0,
            tokens=tokens,
            prompt_tokens=prompt_tokens,
            choices=choices,
            supposed=may_be.one_of.named() if may_be and may_be.one_of else None,
            shots_in_context=composed.n_shots,
            shots=vote.explain() if vote else [],
            memory_weight=vote.weight if vote else None,
            dtype=self._core.numbers,
        )


def mixture(scores: Sequence[Scored]) -> list[ChoiceScore]:
    """The scores of one thing's texts as their log-probability under the mixture of all that it may be."""
    if len(scores) == 1:
        return list(scores[0][1])
    found = []
    for each in zip(*(own for _, own in scores), strict=True):
        terms = [
            math.log(weight) + one.logprob for (weight, _), one in zip(scores, each, strict=True) if weight
        ]
        top = max(terms)
        whole = top + math.log(math.fsum(math.exp(term - top) for term in terms)) if top > -math.inf else top
        found.append(replace(each[0], logprob=whole))
    return found


class _Stream:
    """Passes text on as a person wants to read it: what the answer drops at its ends is never shown."""

    def __init__(self, on_text: Callable[[str], None], drop: str) -> None:
        self._on_text, self._drop = on_text, drop
        self._begun, self._held = False, ""

    def __call__(self, row: int, piece: str) -> None:
        """Take a piece of the answer; blanks and the dropped ending wait until more text follows."""
        piece = piece.replace(BROKEN, "")
        text = self._held + (piece if self._begun else piece.lstrip())
        shown = text.rstrip()
        if self._drop:
            shown = shown.removesuffix(self._drop).rstrip()
        self._held = text[len(shown) :]
        if shown:
            self._begun = True
            self._on_text(shown)


def batches(jobs: Sequence[Job], batch_size: int, most_tokens: int | None = None) -> Iterator[list[Job]]:
    """Cut jobs into batches of one kind and like length; jobs that share shots stay together.

    Where only a few share theirs, they take turns: the first of each come first, batched with one another,
    and what they read of their shots serves the rest. most_tokens: of a batch of such first ones.
    """
    members: dict[int, int] = {}
    turns: dict[int, int] = {}
    for job in jobs:
        if job.composed.n_shots:
            turns[job.index] = members.get(id(job.composed.shot_set), 0)
            members[id(job.composed.shot_set)] = turns[job.index] + 1

    def kind(job: Job) -> tuple[bool, tuple[str, ...], str, int]:
        shared = id(job.composed.shot_set) if members.get(id(job.composed.shot_set), 0) >= SHARED else 0
        return job.composed.choices is not None, job.composed.stop, job.composed.drop, shared

    groups: dict[tuple[bool, tuple[str, ...], str, int], list[Job]] = {}
    for job in jobs:
        groups.setdefault(kind(job), []).append(job)
    for group in groups.values():
        few = kind(group[0])[-1] == 0
        group.sort(key=lambda job: (few and turns.get(job.index, 0), job.composed.length, job.index))
        first = [job for job in group if few and most_tokens and turns.get(job.index) == 0]
        if first:
            assert most_tokens is not None
            fit = most_tokens // max(job.composed.length for job in first)
            yield from _even(first, max(1, min(fit, batch_size)))
        rest = [job for job in group if not first or turns.get(job.index) != 0]
        if rest:
            yield from _even(rest, batch_size)


def _once(jobs: Sequence[Job]) -> tuple[list[Job], list[tuple[Job, Job]]]:
    """Jobs of which no two are generated alike, and the others, each after the one that it is like."""
    firsts: dict[tuple[str, ...], Job] = {}
    different, again = [], []
    for job in jobs:
        first = job if (reads := job.reads) is None else firsts.setdefault(reads, job)
        if first is job:
            different.append(job)
        else:
            again.append((first, job))
    return different, again


def _even(jobs: list[Job], most: int) -> Iterator[list[Job]]:
    """Cut jobs into as few parts of at most `most` as can be, of like size: workers end together."""
    parts = -(-len(jobs) // most)
    ends = [-(-len(jobs) * part // parts) for part in range(parts + 1)]
    for start, end in pairwise(ends):
        yield jobs[start:end]


def _independent(found: Sequence[list[Job]]) -> Iterator[list[list[Job]]]:
    """Batches in their order, those together of which none needs what another one is about to read: without
    shots, with shots that nobody else has, with shots that an earlier batch has read, or with those that all
    rows of the first one have, which are read before.
    """
    known: set[int] = set()
    reading: set[int] = set()  # by those that are together
    together: list[list[Job]] = []
    for batch in found:
        shots = {id(job.composed.shot_set) for job in batch if job.composed.n_shots}
        leads = len(shots) == 1 and len(batch) > 1 and not shots <= known
        if together and (leads or shots & reading):
            yield together
            known, reading, together = known | reading, set(), []
        together.append(batch)
        if leads and not shots <= known:
            known |= shots
        reading |= shots - known
    if together:
        yield together


def _in_halves(batch: Sequence[Job], run: Callable[[Sequence[Job]], list[T]]) -> dict[int, T | UserError]:
    """What `run` makes of the jobs, by index; a batch is halved until it fits, and one's error is its own."""
    import torch

    try:
        return dict(zip((job.index for job in batch), run(batch), strict=True))
    except (UserError, torch.OutOfMemoryError) as error:
        if len(batch) == 1:
            if isinstance(error, UserError):
                return {batch[0].index: error}
            raise
        half = len(batch) // 2
        return _in_halves(batch[:half], run) | _in_halves(batch[half:], run)


def _timed(answer: Answer, seconds: dict[str, float]) -> Answer:
    return replace(answer, seconds=sum(seconds.values()), timings=seconds)
