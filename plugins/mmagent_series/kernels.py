"""Convolution features without weights: fixed kernels, many dilations, the share of outputs above a bias.

After MiniRocket (Dempster, Schmidt and Webb 2021, "MiniRocket: A Very Fast (Almost) Deterministic Transform
for Time Series Classification", section 3) and MultiRocket (Tan et al. 2022), which runs it on the first
difference as well. Two things differ, since nothing here is fitted to training rows: biases are fixed
multiples of the channel's own deviation instead of quantiles of one row's outputs, and dilations are fixed
numbers of samples, so that a feature means the same for series of every length.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor
from torch.nn.functional import pad

__all__ = ["BIASES", "DILATIONS", "N_FEATURES", "groups", "shares_above", "taps"]

LENGTH = 9
FEWEST = 32  # samples below which a share of outputs says too little, and all are 0
DILATIONS = (1, 2, 4, 8, 16, 32, 64, 128)
BIASES = (-1.0, 0.1, 1.0)
"""Thresholds, in deviations of the channel; none is 0, where outputs of a still channel would be ties."""
N_KERNELS = 84
N_FEATURES = 2 * N_KERNELS * len(DILATIONS) * len(BIASES)


def taps() -> Tensor:
    """(84, 9) every kernel of length 9 with three weights of 2 and six of -1; each sums to 0."""
    kernels = torch.full((N_KERNELS, LENGTH), -1.0)
    for row, places in enumerate(combinations(range(LENGTH), 3)):
        kernels[row, list(places)] = 2.0
    return kernels


def groups(n_channels: int) -> Tensor:
    """(G, C) how channels are summed before they meet a kernel: each apart, then as many fixed random groups.

    A group is a sum with signs of two channels or more, of deviation about 1. The same for every series of
    so many channels; a single channel has no groups, and of more than 42 every so-manieth stands apart.
    """
    if n_channels == 1:
        return torch.ones(1, 1)
    each = min(n_channels, N_KERNELS // 2)
    alone = torch.eye(n_channels)[torch.arange(each) * n_channels // each]
    draw = torch.Generator().manual_seed(n_channels)
    rows = []
    for _ in range(each):
        size = 2 + int(torch.randint(0, n_channels - 1, (), generator=draw))
        members = torch.randperm(n_channels, generator=draw)[:size]
        row = torch.zeros(n_channels)
        row[members] = torch.randint(0, 2, (size,), generator=draw).float().mul(2).sub(1) / size**0.5
        rows.append(row)
    return torch.cat([alone, torch.stack(rows)])


def shares_above(signal: Tensor, kernels: Tensor, biases: Sequence[float] = BIASES) -> Tensor:
    """(2, 84, dilations, biases) the share of convolution outputs above each bias.

    signal  (G, T) combined channels of mean 0 and deviation 1; kernel i sees row i modulo G
    The first half is of the signal, the second of its first difference, which is brought to deviation 1. A
    dilation whose kernel does not fit into the series gives 0, and so does a series of fewer than 32 samples.
    """
    if signal.shape[1] < FEWEST:
        return signal.new_zeros(2, N_KERNELS, len(DILATIONS), len(biases))
    slope = signal[:, 1:] - signal[:, :-1]
    slope = slope / slope.std(dim=1, keepdim=True, correction=0).clamp(min=1e-6)
    return torch.stack([_shares(signal, kernels, biases), _shares(slope, kernels, biases)])


def _shares(signal: Tensor, kernels: Tensor, biases: Sequence[float]) -> Tensor:
    n_groups, length = signal.shape
    at = torch.arange(N_KERNELS, device=signal.device)
    group, place = at % n_groups, at // n_groups
    grouped = kernels.new_zeros(n_groups, -(-N_KERNELS // n_groups), LENGTH)
    grouped[group, place] = kernels
    out = signal.new_zeros(N_KERNELS, len(DILATIONS), len(biases))
    for which, dilation in enumerate(DILATIONS):
        reach = dilation * (LENGTH // 2)
        if reach >= length:
            break
        padded = pad(signal, (reach, reach))
        views = torch.stack([padded[:, step * dilation :][:, :length] for step in range(LENGTH)], dim=1)
        found = grouped @ views  # (G, kernels of a group, T)
        above = torch.stack([torch.count_nonzero(found > bias, dim=2) for bias in biases], dim=2)
        out[:, which] = above[group, place] / length
    return out
