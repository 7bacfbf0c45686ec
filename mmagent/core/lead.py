"""The text that every row of a batch begins with: read once, and no gradient goes through it.

Before the first soft token a frozen core knows nothing of what is learned, so its states there are the same
at every step. Where all rows of a training batch share such a beginning, its columns need not be computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, takewhile
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch
from transformers import DynamicCache

from mmagent.core.assemble import Inputs, Row, pack
from mmagent.core.cache import shared_length
from mmagent.core.forward import KV, kv_of, new_past
from mmagent.core.lastblock import blocks_run_whole

if TYPE_CHECKING:
    from mmagent.core.loading import Core

__all__ = ["lead_length", "lead_states"]

WORTH = 16
"""The beginning must be at least this part of the longest row to be worth a place of its own."""

Known = tuple[str, tuple[int, ...], torch.dtype, KV]
_known: WeakKeyDictionary[Core, Known] = WeakKeyDictionary()


def lead_length(core: Core, rows: Sequence[Row], inputs: Inputs, last: int) -> int:
    """Columns that need not be computed for logits of the `last` positions; 0 where there are none.

    Nor are there any in a core that is being trained, that is spread over processes, or that keeps no keys
    and values, nor where blocks run whole.
    """
    if core.adapter is not None or core.sharded or not core.forward.keeps_kv or blocks_run_whole():
        return 0
    width = inputs.embeds.shape[1]
    shared = min(shared_length([_beginning(row) for row in rows]), width - last)
    return shared if shared * WORTH >= width else 0


def lead_states(core: Core, row: Row, length: int, inputs: Inputs) -> DynamicCache:
    """What the core remembers of the first `length` columns of a batch, (B, H, length, D) per layer.

    row: one of the batch. Where a row is padded there are states of a token that the mask hides.
    """
    starts = [inputs.embeds.shape[1] - n for n in inputs.lengths]
    columns = torch.arange(length)[None] - torch.tensor(starts)[:, None]  # (B, length)
    index = columns.clamp(min=0).to(core.device)
    past = DynamicCache()
    for layer, (keys, values) in enumerate(_states(core, _beginning(row)[:length])):
        # (H, length, D) by (B, length): (B, H, length, D)
        past.update(keys[:, index].transpose(0, 1), values[:, index].transpose(0, 1), layer)
    return past


def _beginning(row: Row) -> tuple[int, ...]:
    """The tokens before the first soft one."""
    ids = takewhile(lambda part: isinstance(part, tuple), row.parts)
    return tuple(chain.from_iterable(ids))  # type: ignore[arg-type]


def _states(core: Core, ids: tuple[int, ...]) -> KV:
    """Keys and values (H, n, D) per layer of these tokens, read when they are first asked for."""
    dtype = torch.get_autocast_dtype(core.device.type) if torch.is_autocast_enabled() else core.dtype
    known = _known.get(core)
    if known is None or known[:3] != (core.owner, ids, dtype):
        with torch.no_grad():
            inputs = pack(core, [Row((ids,), "")])
            _, past = core.forward(
                embeds=inputs.embeds,
                mask=None,
                positions=inputs.position_ids,
                past=new_past(0),
                keep=True,
                last=1,
            )
        states = [(keys[0].clone(), values[0].clone()) for keys, values in kv_of(past)]
        known = core.owner, ids, dtype, states
        _known[core] = known
    return known[3]
