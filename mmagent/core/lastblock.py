"""The last block's feed-forward half, for those positions whose logits are wanted and for no others.

What a decoder's last block makes of a position is read by the head of that position alone; keys and values
are made before. Of a prompt with a short target, all positions but the target's would go through it, forward
and backward, for nothing: in a core of L layers about two thirds of 1 / L of all products.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from threading import local
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

__all__ = ["blocks_run_whole", "running_whole_blocks", "trim_last_block", "wanting"]


class _Wanted(local):
    """Of this thread: positions that are wanted (0: all), how many there were before the cut, and whether
    blocks must run whole all the same.
    """

    last = 0
    width = 0
    whole = False


_wanted = _Wanted()


@contextmanager
def wanting(last: int) -> Iterator[None]:
    """Within this block the `last` positions alone are wanted of a model that was trimmed; 0: all."""
    before, _wanted.last = _wanted.last, 0 if _wanted.whole else last
    try:
        yield
    finally:
        _wanted.last = before


@contextmanager
def running_whole_blocks() -> Iterator[None]:
    """Within this block nothing is left out: layers that the backward pass computes anew must find again
    what they have seen.
    """
    before, _wanted.whole = _wanted.whole, True
    try:
        yield
    finally:
        _wanted.whole = before


def blocks_run_whole() -> bool:
    """Whether nothing may be left out."""
    return _wanted.whole


def trim_last_block(model: Any) -> bool:
    """Have the model's last block heed `wanting`; whether it has a half that sees each position alone."""
    found = _feed_forward(model)
    if found is None:
        return False
    found.register_forward_pre_hook(_cut)
    found.register_forward_hook(_filled)
    return True


def _feed_forward(model: Any) -> nn.Module | None:
    """The last block's `mlp`, where it is made of dense layers and activations."""
    n_layers = getattr(model.config.get_text_config(decoder=True), "num_hidden_layers", None)
    stacks = [one for one in model.modules() if isinstance(one, nn.ModuleList) and len(one) == n_layers]
    mlp = getattr(stacks[0][-1], "mlp", None) if len(stacks) == 1 else None
    if not isinstance(mlp, nn.Module) or len(signature(mlp.forward).parameters) != 1:
        return None  # one that adds what it is given beside, as Bloom's does, sees more than it makes
    return mlp if all(map(_sees_one_position, mlp.modules())) else None


def _sees_one_position(module: nn.Module) -> bool:
    """Whether a part of a feed-forward half treats each position by itself."""
    own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    return isinstance(module, nn.Linear | Conv1D) or not own


def _cut(module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Before: the wanted positions of (B, T, d)."""
    _wanted.width = 0
    if not arguments or not _wanted.last or not isinstance(arguments[0], Tensor) or arguments[0].ndim != 3:
        return None
    hidden, last = arguments[0], _wanted.last
    if last >= hidden.shape[1]:
        return None
    _wanted.width = hidden.shape[1]
    return (hidden[:, -last:].contiguous(), *arguments[1:])


def _filled(module: nn.Module, arguments: tuple[Any, ...], out: Any) -> Any:
    """After: zeros where nothing was computed, (B, T, d)."""
    width, _wanted.width = _wanted.width, 0
    return F.pad(out, (0, 0, width - out.shape[1], 0)) if width else out
