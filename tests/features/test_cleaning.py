"""What a cache holds, and clearing it by age, by encoder and altogether."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from numbered import holds, keys, made, written

from mmagent.errors import UserError
from mmagent.feature_cache import FeatureCache


def test_what_is_there_and_how_large(place: Path) -> None:
    written(place, range(5))
    written(place, [0])  # stored twice, one entry
    with FeatureCache(place, dtype="float16") as cache:
        cache.put_many(keys([1], "e2", "crop"), made([1]))
    first, second = FeatureCache(place).contents()
    assert (first.encoder, first.transform, first.dtype) == ("e1", "", "float32")
    assert (first.entries, first.shards, first.d_encoder) == (5, 2, 4)
    assert (second.encoder, second.transform, second.dtype) == ("e2", "crop", "float16")
    assert FeatureCache(place).size() == first.bytes + second.bytes
    assert FeatureCache(place).size() == sum(path.stat().st_size for path in place.rglob("*.shard"))
    assert (FeatureCache(place / "no").contents(), FeatureCache(place / "no").size()) == ([], 0)


@pytest.fixture
def aged(place: Path) -> Path:
    """Two entries of e1, one of them long unused, and one of e2."""
    (old,) = written(place, [1])
    os.utime(old, (time.time() - 40 * 86400,) * 2)
    written(place, [2])
    with FeatureCache(place) as cache:
        cache.put_many(keys([1], "e2"), made([1]))
    return place


def test_clean_by_age_goes_by_the_last_use(aged: Path) -> None:
    assert FeatureCache(aged).clean(30 * 86400, dry_run=True).entries == 1
    assert FeatureCache(aged).clean(30 * 86400).entries == 1
    assert FeatureCache(aged).missing(keys([1, 2])) == keys([1])
    (old,) = written(aged / "2", [1])
    os.utime(old, (0, 0))
    assert holds(aged / "2", [1])
    assert FeatureCache(aged / "2").clean(30 * 86400).files == 0


def test_clean_by_encoder(aged: Path) -> None:
    assert FeatureCache(aged).clean(encoder="e2").entries == 1
    assert FeatureCache(aged).missing([*keys([1, 2]), *keys([1], "e2")]) == keys([1], "e2")
    with pytest.raises(UserError, match=r"nothing is kept of the encoder 'x'\. There are: e1"):
        FeatureCache(aged).clean(encoder="x")


def test_an_encoder_must_be_told_from_the_others(aged: Path) -> None:
    with pytest.raises(UserError, match="2 encoders begin with 'e'"):
        FeatureCache(aged).clean(encoder="e")


def test_clean_of_everything_leaves_no_file_and_no_strangers(aged: Path) -> None:
    (aged / "mine").mkdir()
    (aged / "notes.txt").write_text("mine")
    cache = FeatureCache(aged)
    assert cache.missing(keys([1, 2])) == []  # a reader that knows of them
    assert FeatureCache(aged).clean().entries == 3
    assert sorted(path.name for path in aged.iterdir()) == ["mine", "notes.txt"]
    assert cache.get_many(keys([1, 2])) == {}
    with cache:
        cache.put_many(keys([1]), made([1]))
    assert holds(aged, [1])


def test_clean_while_somebody_writes_does_not_stop_them(place: Path) -> None:
    cache = FeatureCache(place)
    cache.put_many(keys([1]), made([1]))
    FeatureCache(place).clean()
    cache.flush()
    assert holds(place, [1])
    cache.put_many(keys([2]), made([2]))
    for path in place.rglob("*.writing"):
        path.unlink()
    assert cache.get_many(keys([1, 2])).keys() == set(keys([1]))
    cache.flush()
    assert holds(place, [1])
