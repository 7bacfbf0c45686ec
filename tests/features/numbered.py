"""Features of numbers: the same wherever they are made, so that a test knows them again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from mmagent.feature_cache import FeatureCache, FeatureKey
from mmagent.modality import Features

# What a process of its own needs to write features that the test can tell apart.
CHILD = """
import sys, torch
from mmagent.feature_cache import FeatureCache, FeatureKey
from mmagent.modality import Features

def put(cache, numbers):
    values = torch.stack([torch.randn(3, 4, generator=torch.Generator().manual_seed(n)) for n in numbers])
    mask = torch.ones(len(numbers), 3, dtype=torch.bool)
    keys = [FeatureKey(f"content {n}", "e1") for n in numbers]
    cache.put_many(keys, Features(values, mask, values.mean(1)))

cache = FeatureCache(sys.argv[1])
"""


def keys(numbers: Sequence[int], encoder: str = "e1", transform: str = "") -> list[FeatureKey]:
    return [FeatureKey(f"content {number}", encoder, transform) for number in numbers]


def made(numbers: Sequence[int]) -> Features:
    """Features that can be told apart: those of a number are the same wherever they are made."""
    values = torch.stack([torch.randn(3, 4, generator=torch.Generator().manual_seed(n)) for n in numbers])
    return Features(values, torch.ones(len(numbers), 3, dtype=torch.bool), values.mean(1))


def same(one: Features, other: Features) -> bool:
    """Whether two batches are equal bit for bit, shapes and types included."""
    pairs = ((one.values, other.values), (one.mask, other.mask), (one.pooled, other.pooled))
    return all(a.dtype == b.dtype and torch.equal(a, b) for a, b in pairs)


def holds(place: Path, numbers: Sequence[int]) -> bool:
    """Whether somebody who opens the cache now finds exactly the features of these numbers."""
    found = FeatureCache(place).get_many(keys(numbers))
    return len(found) == len(set(numbers)) and all(
        same(found[key], made([number])) for key, number in zip(keys(numbers), numbers, strict=True)
    )


def written(place: Path, numbers: Sequence[int], **settings: float) -> list[Path]:
    """Put features into a cache and publish them; its shards."""
    with FeatureCache(place, **settings) as cache:  # type: ignore[arg-type]
        for number in numbers:
            cache.put_many(keys([number]), made([number]))
    return sorted(place.rglob("*.shard"))
