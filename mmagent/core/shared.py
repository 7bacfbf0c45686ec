"""Attention of a batch whose prompts begin alike: what they share is kept once, and read once for all rows.

The softmax over two parts of the keys is a mean of the two parts' outputs, weighted by what each part's
exponentials sum to (Hydragen: Juravsky et al. 2024, equations 4 and 5):

    out = (out_1 exp(lse_1) + out_2 exp(lse_2)) / (exp(lse_1) + exp(lse_2))

The queries of all rows attend to the shared keys as if they were one long row, and each to its row's own.
Without it, some hundred tokens of shots lie in memory once for each question, and every token of an answer
reads them all.
"""

from __future__ import annotations

from threading import local
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import AttentionInterface, DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from mmagent.core.forward import KV, GrowingLayer, new_past
from mmagent.errors import MMAgentError

if TYPE_CHECKING:
    from mmagent.core.loading import Core

__all__ = ["SharedLayer", "can_share", "shared_past"]

NAME = "mmagent_shared"
NEAR = 1e-4
"""How far logits may lie from those of a batch laid out row by row, in parts of the greatest."""


class _Next(local):
    """Of this thread: shared keys and values (1, H, P, D) that the next call of attention is to see, too."""

    shared: tuple[Tensor, Tensor] | None = None


_next = _Next()


class SharedLayer(GrowingLayer):
    """Keys and values of each row's own tokens, behind the P shared ones (1, H, P, D) that are kept once."""

    def __init__(self, keys: Tensor, values: Tensor, reserve: int) -> None:
        super().__init__(reserve)
        self.lazy_initialization(keys, values)  # type: ignore[no-untyped-call]
        self._shared = keys, values

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Append (B, H, Q, D); return each row's own, as views, and have attention see the shared, too."""
        if _next.shared is not None:
            raise MMAgentError("a layer of the core did not attend to what its prompts share.")
        _next.shared = self._shared
        return super().update(key_states, value_states)

    def get_seq_length(self) -> int:
        """Positions of a row, the shared ones counted."""
        return int(self._shared[0].shape[2]) + self.held


def shared_past(kv: KV, reserve: int) -> DynamicCache:
    """A cache whose rows all begin with these states, (H, P, D) per layer, with room for `reserve` more."""
    cache = new_past(reserve)
    for keys, values in kv:
        cache.layers.append(SharedLayer(keys[None], values[None], reserve))
    return cache


def can_share(core: Core) -> bool:
    """Whether this core's attention can take a shared beginning; tried once, against rows laid out apart.

    On a CPU in float32, of a model that attends through `sdpa` to everything before: elsewhere copies cost
    less, or columns mean more than what they hold.
    """
    known: bool | None = core.shares_beginnings
    if known is None:
        known = core.shares_beginnings = _tried(core)
    return known


def _tried(core: Core) -> bool:
    config = core.model.config
    plain = core.device.type == "cpu" and core.dtype is torch.float32 and core.forward.keeps_kv
    if not plain or core.sharded or getattr(config, "_attn_implementation", None) != "sdpa":
        return False
    if any(type(layer) is not DynamicLayer for layer in DynamicCache(config=config).layers):
        return False  # a sliding window counts columns, and some would be empty
    try:
        core.model.set_attn_implementation(NAME)
        with torch.inference_mode():
            apart, shared = _both_ways(core)
        good = bool((apart - shared).abs().max() <= NEAR * apart.abs().max())
    except (AttributeError, MMAgentError, RuntimeError, TypeError, ValueError):
        good = False
    finally:
        left, _next.shared = _next.shared, None
    if not good or left is not None:
        core.model.set_attn_implementation("sdpa")
    return good and left is None


def _both_ways(core: Core) -> tuple[Tensor, Tensor]:
    """Logits of two rows that share four tokens and have one and three of their own, and of one more."""
    ids = torch.arange(8) % core.vocab_size
    rows = torch.stack([torch.cat([ids[:1], ids[:1], ids[:4], ids[7:]]), ids[:7]])
    mask = torch.ones(2, 7, dtype=torch.long)
    mask[0, :2] = 0
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    apart = _read(core, rows, mask, positions, new_past(1))
    _, first = core.forward(
        ids=ids[None, :4], mask=None, positions=torch.arange(4)[None], past=new_past(0), keep=True
    )
    kv = [(layer.keys[0], layer.values[0]) for layer in first.layers]
    own = torch.cat([torch.ones(2, 4, dtype=torch.long), torch.tensor([[0, 0, 1], [1, 1, 1]])], 1)
    return apart, _read(core, rows[:, 4:], own, positions[:, 4:], shared_past(kv, 4))


def _read(core: Core, ids: Tensor, mask: Tensor, positions: Tensor, past: DynamicCache) -> Tensor:
    """Logits (2, 2, V) of the last column and of one read after it."""
    last, past = core.forward(ids=ids, mask=mask, positions=positions, past=past, keep=True, last=1)
    mask = torch.nn.functional.pad(mask, (0, 1), value=1)
    after, _ = core.forward(
        ids=ids[:, -1:], mask=mask, positions=positions[:, -1:] + 1, past=past, keep=True, last=1
    )
    return torch.cat([last[:, -1:], after[:, -1:]], 1).float()


def _attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """What transformers calls: (B, H, Q, D) to (B, Q, H, D). As `sdpa` does it, where nothing is shared."""
    shared, _next.shared = _next.shared, None
    if shared is None:
        done: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return done
    if dropout or any(kwargs.get(name) is not None for name in ("softcap", "position_bias")):
        raise MMAgentError("this core's attention is more than its keys: nothing can be shared.")
    n_rows, n_heads, n_queries, width = query.shape
    groups = n_heads // key.shape[1]
    keys, values, own_keys, own_values = (repeat_kv(one, groups) for one in (*shared, key, value))
    together = query.transpose(0, 1).reshape(1, n_heads, n_rows * n_queries, width)
    far, far_sum = _flash(together, keys, values, None, scaling)
    far = far.view(n_heads, n_rows, n_queries, -1).transpose(0, 1)
    far_sum = far_sum.view(n_heads, n_rows, n_queries).transpose(0, 1)
    mask = None if attention_mask is None else _own_mask(attention_mask, n_queries, key.shape[2], query.dtype)
    near, near_sum = _flash(query, own_keys, own_values, mask, scaling)
    share = (far_sum - near_sum).sigmoid().unsqueeze(-1).to(near.dtype)  # of the shared part
    return torch.lerp(near, far, share).transpose(1, 2).contiguous(), None


def _own_mask(mask: Tensor, n_queries: int, n_own: int, dtype: torch.dtype) -> Tensor:
    """Of a mask (B, 1, Q, P + K) what is added to the scores of own keys; each query sees at least itself,
    also where there is padding, since the mean of nothing is no number.
    """
    own = mask[..., -n_own:]
    if own.dtype is torch.bool:
        own = torch.zeros(own.shape, dtype=dtype).masked_fill_(~own, float("-inf"))
    else:
        own = own.to(dtype, copy=True)
    at = torch.arange(n_queries)
    own[..., at, n_own - n_queries + at] = 0
    return own


def _flash(
    query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, scaling: float | None
) -> tuple[Tensor, Tensor]:
    """Attention, (B, H, Q, D), and the logarithm of the sum of its exponentials, (B, H, Q)."""
    made: tuple[Tensor, Tensor] = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, keys, values, 0.0, False, attn_mask=mask, scale=scaling
    )
    return made


AttentionInterface.register(NAME, _attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
