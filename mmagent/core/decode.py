"""Generation: one decoding loop for every core, greedy or sampled, streamed, batched, with mixers.

Prompts stand left-padded in one batch; rows that have ended leave it, so that a long answer does not make the
others pay. A row's result does not depend on its neighbours: sampling draws from a generator per row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import torch
from torch import Tensor

from mmagent.core.assemble import Row, check_room, pack, read
from mmagent.core.cache import PrefixCache
from mmagent.core.prefill import Read, prefill
from mmagent.core.prompt import Prompt
from mmagent.errors import UserError

if TYPE_CHECKING:
    from mmagent.core.loading import Core
    from mmagent.core.tokens import TextStream

COLDEST = 1e-9
SEEDS = 1 << 63  # as many as torch's generators tell apart

__all__ = ["Generation", "Mixer", "OnText", "Sampling", "generate"]

OnText = Callable[[int, str], None]
"""(row, text that is now certain) -> None."""


class Mixer(Protocol):
    """Changes the next-token distribution of one row, as in kNN-LM (Khandelwal et al. 2020)."""

    def __call__(self, generated: Sequence[int], probs: Tensor) -> Tensor:
        """Given the row's ids so far and its probabilities (V,), return new probabilities (V,)."""
        ...


class _Leading(Protocol):
    """What a mixer may have as `leading`, if its most probable token need not begin the best answer."""

    def __call__(self, generated: Sequence[int], probs: Tensor, mixed: Tensor) -> Tensor:
        """Given what a call was given and what it made of it, (V,) whose greatest greedy decoding takes."""
        ...


@dataclass(frozen=True)
class Generation:
    """What the core answered to one prompt.

    text: the answer as it continues the prompt (a leading space is part of it), without stop string and
    special
        tokens. What was streamed, joined, is this text.
    token_ids: the ids behind it, with the one that ended the answer: end-of-text, or the one in which the
    stop
        string begins.
    logprobs: log-probability of each of `token_ids` under the core (mixed, where there is a mixer), before
        temperature and top_p.
    finished: 'stop' (a stop string), 'eos' (end of text) or 'length' (max_tokens).
    n_prompt: tokens of the prompt, soft ones included.
    """

    text: str
    token_ids: list[int]
    logprobs: list[float]
    finished: Literal["stop", "eos", "length"]
    n_prompt: int


@dataclass(frozen=True)
class Sampling:
    """How a token is chosen: the most probable one at temperature 0, else drawn from the top_p nucleus.

    A temperature so low that the least difference in float32 decides is 0. Raises UserError.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            wrong = "is below 0" if self.temperature < 0 else "is no finite number"
            raise UserError(f"temperature {self.temperature} {wrong}: take 0 for greedy, about 0.7 to vary.")
        if self.temperature < COLDEST:
            object.__setattr__(self, "temperature", 0.0)
        if not -SEEDS <= self.seed < SEEDS:
            raise UserError(f"seed {self.seed} has more than 63 bits: take a smaller whole number.")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top_p {self.top_p} is outside (0, 1]: take 1 for all tokens.")


@dataclass
class _Row:
    """One answer in the making."""

    index: int
    n_prompt: int
    stream: TextStream
    mixer: Mixer | None
    generator: torch.Generator
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finished: Literal["stop", "eos", "length"] | None = None
    leading: _Leading | None = None

    def __post_init__(self) -> None:
        self.leading = getattr(self.mixer, "leading", None)

    def result(self) -> Generation:
        n = self.stream.n_answer_tokens() if self.finished == "stop" else len(self.ids)
        ids, logprobs = self.ids[:n], self.logprobs[:n]
        return Generation(self.stream.text, ids, logprobs, self.finished or "length", self.n_prompt)


@torch.inference_mode()
def generate(
    core: Core,
    prompts: Sequence[Prompt | str | Row],
    *,
    max_tokens: int = 32,
    sampling: Sampling | None = None,
    stop: Sequence[str] = (),
    on_text: OnText | None = None,
    mixers: Sequence[Mixer | None] | None = None,
    cache: PrefixCache | None = None,
) -> list[Generation]:
    """Continue each prompt; see `Core.generate`."""
    if max_tokens < 1:
        raise UserError(f"max_tokens is {max_tokens}: an answer takes at least 1.")
    if not prompts:
        return []
    how = sampling or Sampling()
    tokenised = [read(core, prompt) for prompt in prompts]
    check_room(core, tokenised, max_tokens)
    rows = _rows(core, [len(row) for row in tokenised], stop, mixers, how.seed)
    state = prefill(core, pack(core, tokenised), cache, reserve=max_tokens, share=True)
    batch = _Batch(core, state, max_tokens)
    active = rows
    for step in range(max_tokens):
        chosen = _choose(batch.logits, active, how)
        for row, (token, logprob) in zip(active, chosen, strict=True):
            _take(core, row, token, logprob, on_text)
        going = [row.finished is None for row in active]
        if step + 1 == max_tokens or not any(going):
            break
        keep = batch.narrow(going)
        active = [active[i] for i in keep]
        batch.advance([chosen[i][0] for i in keep])
    for row in rows:
        _close(row, on_text)
    return [row.result() for row in rows]


class _Batch:
    """The rows still being decoded, as the model sees them."""

    def __init__(self, core: Core, state: Read, max_tokens: int) -> None:
        self.core = core
        self.logits = state.logits
        self._past = state.past
        self._embeds = None if core.forward.keeps_state else state.inputs.embeds
        inputs = state.inputs
        self._padded = inputs.padded
        self._width = inputs.attention_mask.shape[1]
        self._mask = torch.nn.functional.pad(inputs.attention_mask, (0, max_tokens), value=1)
        self._next = inputs.position_ids[:, -1:] + 1  # (B, 1)
        self._all_positions = inputs.position_ids

    def narrow(self, going: Sequence[bool]) -> list[int]:
        """Drop ended rows once they are half of the batch; return the rows that stay in it.

        Dropping copies all states of the rows that stay, which costs as much as a few steps save.
        """
        ended = len(going) - sum(going)
        if not self.core.forward.keeps_kv or ended * 2 < len(going):
            return list(range(len(going)))
        keep = [i for i, goes in enumerate(going) if goes]
        index = torch.tensor(keep, device=self.logits.device)
        self._past.batch_select_indices(index)
        self._mask, self._next = self._mask[index], self._next[index]
        return keep

    def advance(self, tokens: Sequence[int]) -> None:
        """Read one more token per row; afterwards `logits` (B, V) are those of the token after it."""
        ids = torch.tensor(tokens, device=self._next.device)[:, None]
        self._width += 1
        mask = self._mask[:, : self._width] if self._padded else None
        if self._embeds is not None:
            logits = self._reread(ids, mask)
        else:
            logits, self._past = self.core.forward(
                ids=ids, mask=mask, positions=self._next, past=self._past, keep=True, last=1
            )
        self.logits = logits[:, -1]
        self._next = self._next + 1

    def _reread(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        """For a model that remembers nothing: run everything again."""
        assert self._embeds is not None
        self._embeds = torch.cat([self._embeds, self.core.embed(ids)], dim=1)
        self._all_positions = torch.cat([self._all_positions, self._next], dim=1)
        return self.core.forward(embeds=self._embeds, mask=mask, positions=self._all_positions, last=1)[0]


def _rows(
    core: Core, lengths: Sequence[int], stop: Sequence[str], mixers: Sequence[Mixer | None] | None, seed: int
) -> list[_Row]:
    stops = [stop] if isinstance(stop, str) else list(stop)
    chosen = list(mixers) if mixers is not None else [None] * len(lengths)
    return [
        _Row(i, n, core.tokens.stream(stops), mixer, torch.Generator().manual_seed(seed))
        for i, (n, mixer) in enumerate(zip(lengths, chosen, strict=True))
    ]


def _choose(logits: Tensor, rows: Sequence[_Row], how: Sampling) -> list[tuple[int, float]]:
    """The next token of each row, and its log-probability before temperature and top_p."""
    logits = logits.float()  # (B, V)
    if how.temperature == 0 and all(row.mixer is None for row in rows):
        best, tokens = logits.max(dim=-1)
        logprobs = best - logits.logsumexp(dim=-1)
    else:
        own = logits.softmax(dim=-1)
        probs = _mixed(own, rows)
        leading = _leading(own, probs, rows) if how.temperature == 0 else None
        tokens = _draw(probs, rows, how) if leading is None else leading.argmax(dim=-1)
        logprobs = probs.gather(1, tokens[:, None])[:, 0].log()
    return list(zip(tokens.tolist(), logprobs.tolist(), strict=True))


def _mixed(probs: Tensor, rows: Sequence[_Row]) -> Tensor:
    """Probabilities (B, V) with each row's mixer applied."""
    if all(row.mixer is None for row in rows):
        return probs
    new = [p if row.mixer is None else row.mixer(row.ids, p) for p, row in zip(probs, rows, strict=True)]
    return torch.stack([p.to(probs) for p in new])


def _leading(own: Tensor, mixed: Tensor, rows: Sequence[_Row]) -> Tensor:
    """(B, V) whose greatest greedy decoding takes: the mixed probabilities, unless a mixer says otherwise."""
    if all(row.leading is None for row in rows):
        return mixed
    new = [
        m if row.leading is None else row.leading(row.ids, p, m)
        for p, m, row in zip(own, mixed, rows, strict=True)
    ]
    return torch.stack([p.to(mixed) for p in new])


def _draw(probs: Tensor, rows: Sequence[_Row], how: Sampling) -> Tensor:
    """Draw a token per row by inverting the cumulative distribution of its nucleus (Holtzman et al. 2020)."""
    tempered = (probs.clamp_min(1e-38).log() / how.temperature).softmax(dim=-1)
    ordered, order = tempered.sort(dim=-1, descending=True)
    before = ordered.cumsum(dim=-1) - ordered
    nucleus = torch.where(before < how.top_p, ordered, 0.0)  # the first token is always in it
    total = nucleus.cumsum(dim=-1)
    draws = torch.cat([torch.rand(1, generator=row.generator, dtype=torch.float64) for row in rows])
    points = draws.to(probs)[:, None] * total[:, -1:]
    place = torch.searchsorted(total, points, right=True)
    last = (nucleus > 0).sum(dim=-1, keepdim=True) - 1
    return order.gather(1, torch.minimum(place, last))[:, 0]


def _take(core: Core, row: _Row, token: int, logprob: float, on_text: OnText | None) -> None:
    """Give a row its next token; tell what text became certain, and whether the row has ended."""
    if row.finished is not None:
        return
    row.ids.append(token)
    row.logprobs.append(logprob)
    if token in core.eos:
        row.finished = "eos"
        return
    text = row.stream.push(token)
    if text and on_text is not None:
        on_text(row.index, text)
    if row.stream.stopped:
        row.finished = "stop"


def _close(row: _Row, on_text: OnText | None) -> None:
    """Release what the row's stream still holds back."""
    text = row.stream.finish()
    if text and on_text is not None:
        on_text(row.index, text)
    if row.stream.stopped and row.finished is None:
        row.finished = "stop"
