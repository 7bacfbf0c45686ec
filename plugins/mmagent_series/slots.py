"""Channels in a fixed number of slots, so that features have one width for any number of channels."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["into_slots"]


def into_slots(values: Tensor, n_slots: int) -> Tensor:
    """(C, ...) to (n_slots, ...): channel c goes into slot c modulo n_slots, several there are averaged.

    A slot without a channel is 0.
    """
    n_channels = values.shape[0]
    out = values.new_zeros(n_slots, *values.shape[1:])
    where = torch.arange(n_channels, device=values.device) % n_slots
    out.index_add_(0, where, values)
    count = torch.bincount(where, minlength=n_slots).clamp(min=1).to(values)
    return out / count.view(-1, *(1,) * (values.ndim - 1))
