"""Features of single inputs laid together as a batch, for encoders that look at inputs one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mmagent.modality import Features

if TYPE_CHECKING:
    import torch

__all__ = ["joined", "stacked"]


def stacked(parts: Sequence[tuple[Any, Any]], d_encoder: int, device: torch.device | str) -> Features:
    """Features of B inputs of which each has its own number: float32, padded with zeros the mask leaves out.

    parts: per input its features (n_i, d_encoder) and the one of the whole (d_encoder,), as arrays or
    tensors. Of no inputs at all, values are (0, 0, d_encoder).
    """
    import torch

    n = max((len(values) for values, _ in parts), default=0)
    values = torch.zeros(len(parts), n, d_encoder)
    mask = torch.zeros(len(parts), n, dtype=torch.bool)
    pooled = torch.zeros(len(parts), d_encoder)
    for at, (own, whole) in enumerate(parts):
        values[at, : len(own)], mask[at, : len(own)] = torch.as_tensor(own), True
        pooled[at] = torch.as_tensor(whole)
    return Features(values.to(device), mask.to(device), pooled.to(device))


def joined(parts: Sequence[Features]) -> Features:
    """Several batches as one, in their order; shorter features are padded with zeros the mask leaves out."""
    import torch

    if len(parts) == 1:
        return parts[0]
    n = max(part.values.shape[1] for part in parts)

    def padded(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.shape[1] == n:
            return tensor
        wider = tensor.new_zeros(tensor.shape[0], n, *tensor.shape[2:])
        wider[:, : tensor.shape[1]] = tensor
        return wider

    return Features(
        torch.cat([padded(part.values) for part in parts]),
        torch.cat([padded(part.mask) for part in parts]),
        torch.cat([part.pooled for part in parts]),
    )
