"""Scoring: the log-probability of given continuations, and the loss that training uses.

A prompt is read once and its states serve all its choices; only a choice's own tokens are computed per
choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from mmagent.core.assemble import Inputs, Row, check_room, pack, read, read_continuation
from mmagent.core.cache import PrefixCache
from mmagent.core.decode import Mixer
from mmagent.core.forward import KV, kv_of, new_past
from mmagent.core.lastblock import wanting
from mmagent.core.lead import lead_length, lead_states
from mmagent.core.prefill import Read, prefill
from mmagent.core.prompt import Prompt
from mmagent.errors import UserError

if TYPE_CHECKING:
    from mmagent.core.loading import Core

__all__ = ["ChoiceScore", "loss", "score", "target_losses"]

MAX_STATES = 2**16
"""Positions (rows x columns) per forward pass over choices."""
MAX_LOGITS = 2**26
"""Logits (rows x positions x vocabulary) per forward pass over choices."""


@dataclass(frozen=True)
class ChoiceScore:
    """How probable one choice is as the continuation of its prompt.

    logprob: the sum of log-softmax over the choice's tokens (mixed, where there is a mixer); no end
        token counted.
    normalised: logprob / n_tokens.
    """

    choice: str
    logprob: float
    n_tokens: int

    @property
    def normalised(self) -> float:
        """Log-probability per token."""
        return self.logprob / self.n_tokens


@dataclass(frozen=True)
class _Job:
    """One choice of one prompt."""

    prompt: int
    ids: list[int]


@torch.inference_mode()
def score(
    core: Core,
    prompts: Sequence[Prompt | str | Row],
    choices: Sequence[Sequence[str]],
    *,
    cache: PrefixCache | None = None,
    mixers: Sequence[Mixer | None] | None = None,
) -> list[list[ChoiceScore]]:
    """Score each prompt's choices; see `Core.score`."""
    if len(prompts) != len(choices):
        raise UserError(
            f"{len(prompts)} prompts but {len(choices)} lists of choices: give one list per prompt."
        )
    if not prompts:
        return []
    rows = [read(core, prompt) for prompt in prompts]
    jobs = [
        _Job(i, read_continuation(core, rows[i], text)) for i, texts in enumerate(choices) for text in texts
    ]
    check_room(core, rows, 0)
    for job in jobs:
        check_room(core, [rows[job.prompt]], len(job.ids))
    mixing = list(mixers) if mixers is not None else [None] * len(rows)
    if len(mixing) != len(rows):
        raise UserError(f"{len(rows)} prompts but {len(mixing)} mixers: give one per prompt, or None.")
    state = prefill(core, pack(core, rows), cache)
    sums = _sums(core, state, rows, jobs, mixing)
    done = iter(zip(sums, jobs, strict=True))
    return [[_result(text, *next(done)) for text in texts] for texts in choices]


def loss(core: Core, prompts: Sequence[Prompt | str | Row], targets: Sequence[str]) -> Tensor:
    """Mean cross-entropy over all target tokens of the batch; see `Core.loss`."""
    if len(prompts) != len(targets) or not prompts:
        raise UserError(f"{len(prompts)} prompts but {len(targets)} targets: give one target per prompt.")
    rows = [read(core, prompt) for prompt in prompts]
    answers = [read_continuation(core, row, target) for row, target in zip(rows, targets, strict=True)]
    return target_losses(core, rows, answers).sum() / sum(map(len, answers))


def target_losses(core: Core, rows: Sequence[Row], targets: Sequence[Sequence[int]]) -> Tensor:
    """Cross-entropy of each row's target tokens, summed over them: (B,), differentiable in `Soft.embeds`.

    What the loss does not need is not computed: the states of a text that all rows begin with are read once,
    and of the last block only the positions of the targets (unless `running_whole_blocks`). Raises UserError
    where a row and its target are longer than the core reads.
    """
    check_room(core, [row.then(ids) for row, ids in zip(rows, targets, strict=True)], 0)
    inputs = pack(core, [row.then(ids[:-1]) for row, ids in zip(rows, targets, strict=True)])
    longest = max(len(ids) for ids in targets)
    lead = lead_length(core, rows, inputs, longest)
    with wanting(longest):
        logits, _ = core.forward(
            embeds=inputs.embeds[:, lead:],
            mask=inputs.attention_mask if inputs.padded else None,
            positions=inputs.position_ids[:, lead:],
            past=lead_states(core, rows[0], lead, inputs) if lead else None,
            keep=lead > 0,
            last=longest,
        )
    labels = torch.full((len(rows), longest), -100, dtype=torch.long)
    for i, ids in enumerate(targets):
        labels[i, longest - len(ids) :] = torch.tensor(ids)
    terms = functional.cross_entropy(
        logits.float().flatten(0, 1), labels.flatten().to(logits.device), reduction="none"
    )  # (B * longest,), 0 where a shorter row has no token
    return terms.view(len(rows), longest).sum(1)


def _result(choice: str, logprob: float, job: _Job) -> ChoiceScore:
    return ChoiceScore(choice, logprob, len(job.ids))


def _sums(
    core: Core, state: Read, rows: Sequence[Row], jobs: Sequence[_Job], mixers: Sequence[Mixer | None]
) -> list[float]:
    """Log-probability of each job's tokens. The first token of each is read off the prompt's own logits."""
    firsts = [_logprob(state.logits[job.prompt], job.ids, 0, mixers[job.prompt]) for job in jobs]
    sums = [float(first) for first in firsts]
    longer = sorted((i for i, job in enumerate(jobs) if len(job.ids) > 1), key=lambda i: len(jobs[i].ids))
    kv = kv_of(state.past) if core.forward.keeps_kv else None
    for chunk in _chunks(core, longer, jobs, state.inputs.embeds.shape[1]):
        whole = [rows[jobs[i].prompt].then(jobs[i].ids[:-1]) for i in chunk]
        last = max(len(jobs[i].ids) for i in chunk) - 1
        logits = _continue(core, pack(core, whole), [jobs[i].prompt for i in chunk], last, kv, state.inputs)
        for i, row_logits in zip(chunk, logits, strict=True):
            job = jobs[i]
            own = row_logits[-(len(job.ids) - 1) :]  # (n - 1, V): what follows each token but the last
            sums[i] += _rest(own, job.ids, mixers[job.prompt])
    return sums


def _continue(
    core: Core, inputs: Inputs, sources: Sequence[int], last: int, kv: KV | None, prompts: Inputs
) -> Tensor:
    """Logits (B, last, V) of the last columns, the prompts' states reused where the model keeps them."""
    width = inputs.embeds.shape[1]
    begin = width - last
    past = None
    if kv is not None and begin > 0:
        total = prompts.embeds.shape[1]
        # column c of a new row is column c - shift of its prompt's; what is before the row is padding
        begins = [total - prompts.lengths[source] for source in sources]
        shifts = [width - n - old for n, old in zip(inputs.lengths, begins, strict=True)]
        columns = torch.arange(begin)[None] - torch.tensor(shifts)[:, None]
        index = (columns.clamp(0, total - 1) + torch.tensor(sources)[:, None] * total).to(kv[0][0].device)
        past = new_past(last, [(_rows_of(keys, index), _rows_of(values, index)) for keys, values in kv])
    else:
        begin = 0
    logits, _ = core.forward(
        embeds=inputs.embeds[:, begin:],
        mask=inputs.attention_mask if inputs.padded else None,
        positions=inputs.position_ids[:, begin:],
        past=past,
        keep=past is not None,
        last=last,
    )
    return logits


def _rows_of(states: Tensor, index: Tensor) -> Tensor:
    """Gather (B, H, C, D) from a batch's states (P, H, T, D) by flat index (B, C) into P x T."""
    batch, heads, total, width = states.shape
    pool = states.transpose(0, 1).reshape(heads, batch * total, width)
    picked = pool.index_select(1, index.flatten())
    return picked.view(heads, *index.shape, width).transpose(0, 1)


def _chunks(core: Core, order: Sequence[int], jobs: Sequence[_Job], width: int) -> Iterator[list[int]]:
    """Cut jobs, sorted by length, into batches that fit in memory."""
    chunk: list[int] = []
    for i in order:
        n = len(jobs[i].ids)
        rows = len(chunk) + 1
        if chunk and (rows * (width + n) > MAX_STATES or rows * n * core.vocab_size > MAX_LOGITS):
            yield chunk
            chunk = []
        chunk.append(i)
    if chunk:
        yield chunk


def _logprob(logits: Tensor, ids: Sequence[int], at: int, mixer: Mixer | None) -> float:
    """Log-probability of ids[at] given logits (V,)."""
    if mixer is None:
        return float(logits.float().log_softmax(dim=-1)[ids[at]])
    return float(mixer(ids[:at], logits.float().softmax(dim=-1))[ids[at]].log())


def _rest(logits: Tensor, ids: Sequence[int], mixer: Mixer | None) -> float:
    """Sum of the log-probabilities of ids[1:], logits (n - 1, V) being those before each."""
    if mixer is not None:
        return sum(_logprob(logits[at - 1], ids, at, mixer) for at in range(1, len(ids)))
    wanted = torch.tensor(ids[1:], device=logits.device)[:, None]
    return float(logits.float().log_softmax(dim=-1).gather(1, wanted).sum())
