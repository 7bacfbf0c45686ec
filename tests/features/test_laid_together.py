"""Features of single inputs as a batch: each keeps its own, padding is zero and masked."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmagent.features import joined, stacked
from mmagent.modality import Features

D = 3


def parts_of(lengths: list[int]) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [(rng.normal(size=(n, D)), rng.normal(size=D)) for n in lengths]


def test_every_input_keeps_its_own_features_and_padding_is_zero():
    parts = parts_of([2, 4, 0])
    found = stacked(parts, D, "cpu")
    assert found.values.shape == (3, 4, D)
    assert found.values.dtype == found.pooled.dtype == torch.float32
    assert found.mask.sum(1).tolist() == [2, 4, 0]
    assert not found.values[~found.mask].any()
    for at, (own, whole) in enumerate(parts):
        assert np.array_equal(found.values[at, : len(own)].numpy(), own.astype(np.float32))
        assert np.array_equal(found.pooled[at].numpy(), whole.astype(np.float32))


def test_of_nothing_the_width_is_known():
    found = stacked([], D, "cpu")
    assert (found.values.shape, found.mask.shape, found.pooled.shape) == ((0, 0, D), (0, 0), (0, D))


@pytest.mark.parametrize("cuts", [[[2, 4], [1]], [[1], [2], [4]], [[3, 3], [3]]])
def test_joined_batches_are_the_batch_of_all(cuts: list[list[int]]):
    parts = parts_of([n for lengths in cuts for n in lengths])
    batches, start = [], 0
    for lengths in cuts:
        batches.append(stacked(parts[start : start + len(lengths)], D, "cpu"))
        start += len(lengths)
    together, whole = joined(batches), stacked(parts, D, "cpu")
    for one, other in zip(vars(together).values(), vars(whole).values(), strict=True):
        assert torch.equal(one, other)
    assert isinstance(together, Features)
