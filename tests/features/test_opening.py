"""Opening a large cache reads an index and maps few files."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from numbered import holds, keys, written

from mmagent.feature_cache import FeatureCache
from mmagent.feature_cache import group as group_module
from mmagent.modality import Features


def test_more_shards_than_may_be_mapped(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_module, "MAPPED_SHARDS", 2)
    assert len(written(place, range(6), shard_bytes=1)) == 6
    assert holds(place, [*range(6), *range(6)])


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="counts what the kernel counts")
def test_opening_costs_one_file_and_the_index_of_each_shard(place: Path) -> None:
    def cost(entries: int) -> tuple[int, int]:
        there = place / str(entries)
        values = torch.zeros(1000, 16, 32)  # 2 kB each
        batch = Features(values, torch.ones(1000, 16, dtype=torch.bool), values[:, 0])
        with FeatureCache(there, shard_bytes=20 * 2**20) as cache:
            for start in range(0, entries, 1000):
                cache.put_many(keys(range(start, start + 1000)), batch)
        shards = len(list(there.rglob("*.shard")))
        with counted(there) as opened:
            before = bytes_read()
            assert FeatureCache(there).missing(keys([-1])) == keys([-1])
            read = bytes_read() - before
        assert len(opened) == shards + 1  # and the folder
        return shards, read

    few_shards, few_bytes = cost(2_000)
    shards, read = cost(50_000)
    assert few_shards == 1
    assert shards <= 7
    assert few_bytes < 100 * 2_000
    assert read < 60 * 50_000  # of 105 MB
    assert read < 30 * few_bytes


def bytes_read() -> int:
    """Bytes that this process has read so far."""
    return int(Path("/proc/self/io").read_text().split()[1])


class counted:
    """The files and folders below a place that were opened in a block."""

    watched: str | None = None
    seen: list[str]

    def __init__(self, place: Path) -> None:
        self.place = str(place)

    def __enter__(self) -> list[str]:
        type(self).seen, type(self).watched = [], self.place
        if not getattr(counted, "hooked", False):
            sys.addaudithook(self.saw)
            counted.hooked = True  # type: ignore[attr-defined]
        return self.seen

    def __exit__(self, *error: object) -> None:
        type(self).watched = None

    @classmethod
    def saw(cls, event: str, arguments: tuple[object, ...]) -> None:
        if cls.watched and event in ("open", "os.scandir", "os.listdir"):
            word = str(arguments[0])
            if word.startswith(cls.watched):
                cls.seen.append(word)
