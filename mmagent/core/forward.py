"""One forward pass of any causal language model, and the states it keeps.

Families differ in which arguments their forward takes and in what they remember between calls. Most remember
keys
and values per position: those can be cut, gathered and shared between prompts (`keeps_kv`). Others
(state-space and hybrid models) remember a state that only the model understands; they run unshared, from the
whole prompt.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from mmagent.core.lastblock import trim_last_block

__all__ = ["KV", "Forward", "GrowingLayer", "kv_of", "new_past"]

KV = list[tuple[Tensor, Tensor]]
"""Keys and values per layer."""


class Forward:
    """Calls one model, with the arguments that its family knows."""

    def __init__(self, model: Any) -> None:
        self.model = model
        names = inspect.signature(model.forward).parameters
        self.takes_embeds = "inputs_embeds" in names
        self._positions = "position_ids" in names
        self._last_only = "logits_to_keep" in names
        states = (name for name in ("past_key_values", "cache_params") if name in names)
        self._state = next(states, None)
        self.keeps_kv = self._state == "past_key_values" and _is_plain(model.config)
        trim_last_block(model)

    @property
    def keeps_state(self) -> bool:
        """Whether anything is remembered between two calls."""
        return self._state is not None

    def __call__(
        self,
        *,
        mask: Tensor | None,
        positions: Tensor,
        embeds: Tensor | None = None,
        ids: Tensor | None = None,
        past: Any = None,
        keep: bool = False,
        last: int = 0,
    ) -> tuple[Tensor, Any]:
        """Return logits of the `last` positions (0: of all), (B, last, V), and the states if `keep`.

        embeds: (B, Q, d_core) or ids: (B, Q); mask: (B, past + Q), or None where nothing is padded;
        positions: (B, Q).
        """
        if past is not None and self._state == "cache_params":
            mask = None  # a state-space model's past is one state; its mask is for the columns being read
        arguments: dict[str, Any] = {"attention_mask": mask}
        if self._state is not None:
            arguments["use_cache"] = keep
        arguments.update({"inputs_embeds": embeds} if embeds is not None else {"input_ids": ids})
        if self._positions:
            arguments["position_ids"] = positions
        if self._last_only and last:
            arguments["logits_to_keep"] = _last(last, embeds)
        if self._state is not None:
            arguments[self._state] = past
        out = self.model(**arguments)
        state = getattr(out, self._state) if keep and self._state is not None else None
        return out.logits[:, -last:], state


def _last(last: int, embeds: Tensor | None) -> int | Tensor:
    """Which positions get logits: a number, or of several rows their places.

    A number is a slice, and of a slice of several rows torch makes one small product per row, each with the
    whole vocabulary's matrix; places are copied out, and it is one product.
    """
    if embeds is None or embeds.shape[0] == 1:
        return last
    width = embeds.shape[1]
    return torch.arange(max(0, width - last), width, device=embeds.device)


class GrowingLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values (B, H, T, D) in buffers with room to grow: a decoding step copies one position only."""

    def __init__(self, reserve: int = 0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._reserve = reserve
        self._buffers: tuple[Tensor, Tensor] | None = None

    @property
    def held(self) -> int:
        """Positions whose keys and values are in the buffers."""
        return 0 if self._buffers is None or self.keys is None else int(self.keys.shape[2])

    @classmethod
    def holding(cls, keys: Tensor, values: Tensor, length: int, reserve: int) -> GrowingLayer:
        """A layer whose buffers are these, filled up to `length`; what is behind is written over."""
        layer = cls(reserve)
        layer.lazy_initialization(keys, values)
        layer._buffers = keys, values
        layer.keys, layer.values = keys[:, :, :length], values[:, :, :length]
        return layer

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Append (B, H, Q, D); return everything held, as views."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.held
        end = start + key_states.shape[-2]
        if self._buffers is None or end > self._buffers[0].shape[-2]:
            self._buffers = (
                self._grown(self.keys, key_states, start, end),
                self._grown(self.values, value_states, start, end),
            )
            self._reserve = max(self._reserve, end)  # having run over once, grow by doubling
        keys, values = self._buffers
        keys[:, :, start:end] = key_states
        values[:, :, start:end] = value_states
        self.keys, self.values = keys[:, :, :end], values[:, :, :end]
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows of the batch."""
        if self._buffers is not None:
            keys, values = (buffer.index_select(0, indices) for buffer in self._buffers)
            length = self.held
            self._buffers = keys, values
            self.keys, self.values = keys[:, :, :length], values[:, :, :length]

    def _grown(self, held: Tensor | None, new: Tensor, start: int, end: int) -> Tensor:
        batch, heads, _, width = new.shape
        buffer = new.new_empty(batch, heads, end + self._reserve, width)
        if start and held is not None:
            buffer[:, :, :start] = held
        return buffer


def new_past(reserve: int, held: KV | None = None, length: int | None = None) -> DynamicCache:
    """An empty cache, or one that begins with the first `length` positions (by default all) of `held`.

    held: (B, H, C, D) per layer; the cache takes it over, and what stands behind `length` is its room to
    grow. reserve: positions to make room for where there is none.
    """
    cache = DynamicCache()
    replicate: Any = functools.partial(GrowingLayer, reserve)
    cache.layer_class_to_replicate = replicate
    for keys, values in held or ():
        end = keys.shape[2] if length is None else length
        cache.layers.append(GrowingLayer.holding(keys, values, end, reserve))
    return cache


def kv_of(past: Any) -> KV:
    """Keys and values (B, H, T, D) of each layer of a cache made by `new_past`."""
    layers: Sequence[Any] = past.layers
    return [(layer.keys, layer.values) for layer in layers]


def _is_plain(config: Any) -> bool:
    """Whether every layer keeps keys and values per position and nothing else.

    Sliding windows count: kept whole, they are cut by the attention mask.
    """
    plain = (DynamicLayer, DynamicSlidingWindowLayer)
    try:
        layers: Sequence[Any] = DynamicCache(config=config).layers
    except (AttributeError, KeyError, TypeError, ValueError):
        return False
    return bool(layers) and all(type(layer) in plain for layer in layers)
