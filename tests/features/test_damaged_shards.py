"""A damaged shard is set aside with one warning, and its features are made anew."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from numbered import holds, keys, made, same, written

from mmagent.feature_cache import FeatureCache


def test_a_shard_cut_off_anywhere_is_set_aside(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = written(place / "whole", [1, 2])[0].read_bytes()
    for length in (0, 7, 100, len(whole) - 60, len(whole) - 1):
        caplog.clear()
        there = place / str(length)
        shard = written(there, [1, 2])[0]
        shard.write_bytes(whole[:length])
        cache = FeatureCache(there)
        assert cache.missing(keys([1, 2])) == keys([1, 2])
        assert cache.get_many(keys([1])) == {}
        (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert "is damaged" in line
        assert str(shard) in line
        assert shard.with_suffix(".damaged").exists()
        written(there, [1, 2])
        assert holds(there, [1, 2])


def test_a_changed_byte_is_found_wherever_it_counts(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    shard = written(place, [1, 2])[0]
    whole = shard.read_bytes()
    for at in (
        8,
        60,
        90,
        160,
        len(whole) // 2,
        len(whole) - 200,
        len(whole) - 70,
        len(whole) - 20,
        len(whole) - 1,
    ):
        caplog.clear()
        damaged = bytearray(whole)
        damaged[at] ^= 16
        shard.write_bytes(damaged)
        found = FeatureCache(place).get_many(keys([1, 2]))
        assert all(same(found[key], made([n])) for n, key in enumerate(keys([1, 2]), 1) if key in found)
        assert len(found) < 2, at
        assert len(caplog.records) == 1
        shard.with_suffix(".damaged").unlink()


def test_damage_in_one_shard_leaves_the_others_and_the_duplicates(place: Path) -> None:
    written(place, [1, 2])
    damaged = bytearray(written(place, [2, 3])[0].read_bytes())
    first, second = sorted(place.rglob("*.shard"))
    for shard, left in ((first, second), (second, first)):
        kept = shard.read_bytes()
        damaged = bytearray(kept)
        damaged[70] ^= 1
        shard.write_bytes(damaged)
        assert holds(place, [2])
        assert left.exists()
        shard.with_suffix(".damaged").unlink(missing_ok=True)
        shard.write_bytes(kept)
