"""Reading a batch of prompts: the first forward pass, with everything reused that was read before.

Row i of a left-padded batch of T columns has its first token in column `starts[i]`. Where the states of every
row are known up to column C, only columns C .. T are computed, and the batch looks to the model as if all had
been. Reuse
comes from two places: the beginning that all prompts of the batch share, and the cache.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mmagent.core.assemble import Inputs, Key, Row, pack
from mmagent.core.cache import Match, PrefixCache, shared_length
from mmagent.core.forward import KV, kv_of, new_past
from mmagent.core.lastblock import wanting
from mmagent.core.shared import can_share, shared_past

if TYPE_CHECKING:
    from mmagent.core.loading import Core

__all__ = ["Read", "prefill", "read_beginning"]

MIN_SHARED = 16
"""Shortest common beginning that is worth a forward pass of its own ..."""
MIN_SAVED = 256
"""... and the fewest tokens that it must save over the batch."""


def read_beginning(core: Core, rows: Sequence[Row], cache: PrefixCache) -> None:
    """Have the cache know what all rows begin with, where that is worth it: batches of them may then go at
    once, and none waits for another one to read it.
    """
    shared = _worth([row.keys for row in rows]) if core.forward.keeps_kv else 0
    if shared:
        can_share(core)  # tried before several threads ask
        with torch.inference_mode():
            _read_shared(core, pack(core, rows[:1]), shared, cache)


@dataclass
class Read:
    """Prompts that were read: next-token logits (B, V) and what the model remembers of them."""

    logits: Tensor
    past: Any
    inputs: Inputs


def prefill(
    core: Core, inputs: Inputs, cache: PrefixCache | None = None, reserve: int = 0, share: bool = False
) -> Read:
    """Read a batch, reusing what can be; `reserve` is how many tokens will follow. Runs without gradients.

    share: whether what all rows begin with may be kept once for all of them (`mmagent.core.shared`). Then the
    `inputs` of what is returned are those that were read, and their mask covers the shared columns, too.
    """
    if not core.forward.keeps_kv:
        logits, past = _run(core, inputs, 0, None)
        return Read(logits, past, inputs)
    worth = _worth(inputs.keys)
    matches = _known(core, inputs, cache, worth)
    if share and 2 * worth >= inputs.embeds.shape[1] and can_share(core):
        begun = [match.first(worth) for match in matches]
        if begun[0].length == worth and all(one.is_same(begun[0]) for one in begun):
            return _run_shared(core, inputs, begun[0], cache, reserve)
    width = inputs.embeds.shape[1]
    starts = [width - length for length in inputs.lengths]
    known = min(start + match.length for start, match in zip(starts, matches, strict=True))
    known = min(known, width - 1)  # the last token is always read: its logits are wanted
    begin = known if any(start < known for start in starts) else 0
    room = reserve + width - begin
    if begin:
        layout = (PrefixCache() if cache is None else cache).lay_out(matches, begin, starts, room)
        past = new_past(room, layout.rows(len(starts)), begin)
        layout.user = weakref.ref(past)
    else:
        past = new_past(reserve)
    logits, past = _run(core, inputs, begin, past)
    if cache is not None:
        reused = sum(max(0, begin - start) for start in starts)
        cache.count(reused, sum(width - max(begin, start) for start in starts))
        if 2 * worth < width:  # else what others will ask for was kept when the beginning was read
            _store(core, cache, inputs.keys, kv_of(past), starts)
    return Read(logits, past, inputs)


def _known(core: Core, inputs: Inputs, cache: PrefixCache | None, shared: int) -> list[Match]:
    """For each row the longest beginning whose states are known; the shared one is read first, if any."""
    if cache is None:
        if not shared:
            return [Match(0, [])] * len(inputs.keys)
        cache = PrefixCache(max_bytes=2**62)
    if shared:
        _read_shared(core, inputs, shared, cache)
    return [cache.match(core.owner, keys) for keys in inputs.keys]


def _worth(rows: Sequence[list[Key]]) -> int:
    """Length of the beginning that all rows share, where reading it apart saves enough; else 0."""
    n_rows = len(rows)
    shared = min(shared_length(rows), min(map(len, rows)) - 1) if n_rows > 1 else 0
    return shared if shared >= MIN_SHARED and shared * (n_rows - 1) >= MIN_SAVED else 0


def _read_shared(core: Core, inputs: Inputs, shared: int, cache: PrefixCache) -> None:
    keys = inputs.keys[0][:shared]
    if cache.match(core.owner, keys).length == shared:
        return
    start = inputs.embeds.shape[1] - len(inputs.keys[0])
    one = Inputs(
        inputs.embeds[:1, start : start + shared],
        inputs.attention_mask[:1, start : start + shared],
        inputs.position_ids[:1, start : start + shared],
        [keys],
    )
    prefill(core, one, cache)


def _run(core: Core, inputs: Inputs, begin: int, past: Any) -> tuple[Tensor, Any]:
    """Run columns from `begin` on; return the last column's logits (B, V) and the states."""
    with wanting(1):
        logits, past = core.forward(
            embeds=inputs.embeds[:, begin:],
            mask=inputs.attention_mask if inputs.padded else None,
            positions=inputs.position_ids[:, begin:],
            past=past,
            keep=True,
            last=1,
        )
    return logits[:, -1], past


def _run_shared(core: Core, inputs: Inputs, begun: Match, cache: PrefixCache | None, reserve: int) -> Read:
    """Run what each row has of its own, padded on the left behind what all have."""
    own = [length - begun.length for length in inputs.lengths]
    width = max(own)
    there = torch.arange(width)[None] >= width - torch.tensor(own)[:, None]  # (B, width)
    mask = inputs.attention_mask[:, -width:] * there.to(inputs.attention_mask)
    mask = torch.nn.functional.pad(mask, (begun.length, 0), value=1)
    seen = Inputs(inputs.embeds[:, -width:], mask, inputs.position_ids[:, -width:], inputs.keys)
    logits, past = _run(core, seen, 0, shared_past(begun.states(), width + reserve))
    if cache is not None:
        cache.count(begun.length * len(own), width * len(own))
    return Read(logits, past, seen)


def _store(core: Core, cache: PrefixCache, keys: Sequence[list[Key]], kv: KV, starts: Sequence[int]) -> None:
    for row, (row_keys, start) in enumerate(zip(keys, starts, strict=True)):

        def states(a: int, b: int, row: int = row, start: int = start) -> KV:
            part = slice(start + a, start + b)
            return [(k[row, :, part].clone(), v[row, :, part].clone()) for k, v in kv]

        cache.insert(core.owner, row_keys, states)
