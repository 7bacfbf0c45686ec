"""Features that were kept equal fresh ones bit for bit, whoever wrote them and whatever died meanwhile."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from typing import Any

import pytest
import torch

from mmagent.errors import UserError
from mmagent.feature_cache import FeatureCache, FeatureKey
from mmagent.feature_cache import group as group_module
from mmagent.feature_cache import shard as shard_module
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


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "features"


def test_what_was_put_in_comes_out_bit_for_bit(place: Path) -> None:
    cache = FeatureCache(place)
    cache.put_many(keys([1, 2]), made([1, 2]))
    assert same(cache.get_many(keys([2]))[keys([2])[0]], made([2]))  # not published yet
    assert not holds(place, [1])
    cache.flush()
    assert holds(place, [2, 1])
    assert cache.get_many(keys([3])) == {}


def test_special_values_keep_their_bits(place: Path) -> None:
    odd = torch.tensor([[[float("nan"), -0.0, float("inf"), 1e-42]]])
    with FeatureCache(place) as cache:
        cache.put_many(keys([1]), Features(odd, torch.ones(1, 1, dtype=torch.bool), odd[:, 0]))
    found = FeatureCache(place).get_many(keys([1]))[keys([1])[0]]
    assert torch.equal(found.values.view(torch.int32), odd.view(torch.int32))


@pytest.mark.parametrize(
    "other",
    [FeatureKey("content 2", "e1"), FeatureKey("content 1", "e2"), FeatureKey("content 1", "e1", "crop")],
)
def test_another_content_encoder_or_transform_is_another_feature(place: Path, other: FeatureKey) -> None:
    written(place, [1])
    cache = FeatureCache(place)
    assert cache.missing([*keys([1]), other, other]) == [other]
    cache.put_many([other], made([9]))
    assert same(cache.get_many([other])[other], made([9]))
    assert same(cache.get_many(keys([1]))[keys([1])[0]], made([1]))


def test_inputs_of_different_length_come_back_without_padding(place: Path) -> None:
    values, mask = torch.randn(2, 5, 4), torch.ones(2, 5, dtype=torch.bool)
    mask[0, 1] = mask[1, 3:] = False  # a hole, which stays, and padding, which does not
    values = values * mask.unsqueeze(-1)
    with FeatureCache(place) as cache:
        cache.put_many(keys([1, 2]), Features(values, mask, values.mean(1)))
    found = FeatureCache(place).get_many(keys([1, 2]))
    first, second = (found[key] for key in keys([1, 2]))
    assert same(first, Features(values[:1], mask[:1], values[:1].mean(1)))
    assert same(second, Features(values[1:, :3], mask[1:, :3], values[1:].mean(1)))


def test_float16_takes_half_and_is_kept_apart(place: Path) -> None:
    written(place, [1])
    with FeatureCache(place, dtype="float16") as cache:
        assert cache.missing(keys([1])) == keys([1])
        cache.put_many(keys([1]), made([1]))
    found = FeatureCache(place, dtype="float16").get_many(keys([1]))[keys([1])[0]]
    assert same(found, Features(made([1]).values.half().float(), found.mask, made([1]).pooled.half().float()))
    with pytest.raises(UserError, match="70000 does not fit float16"):
        cache.put_many(
            keys([2]), Features(torch.full((1, 1, 4), 7e4), torch.ones(1, 1).bool(), torch.ones(1, 4))
        )
    with pytest.raises(UserError, match="float32 or float16, not 'bfloat16'"):
        FeatureCache(place, dtype="bfloat16")


def test_a_shard_is_published_when_it_is_full_or_old(place: Path) -> None:
    cache = FeatureCache(place, shard_bytes=200)
    for number in range(4):
        cache.put_many(keys([number]), made([number]))  # 72 bytes each
    assert holds(place, [0, 1, 2])
    cache = FeatureCache(place / "2", shard_seconds=0)
    cache.put_many(keys([1]), made([1]))
    assert holds(place / "2", [1])


def test_others_are_seen_as_they_publish(place: Path) -> None:
    cache = FeatureCache(place)
    assert cache.missing(keys([1])) == keys([1])
    written(place, [1])
    assert cache.missing(keys([1])) == []
    assert same(cache.get_many(keys([1]))[keys([1])[0]], made([1]))


def test_a_copy_for_another_process_reads_the_same(place: Path) -> None:
    written(place, [1])
    assert same(pickle.loads(pickle.dumps(FeatureCache(place))).get_many(keys([1]))[keys([1])[0]], made([1]))


def test_two_processes_write_overlapping_sets(place: Path) -> None:
    code = CHILD + (
        "cache._limits['shard_bytes'] = 4000\n"
        "for n in range(int(sys.argv[2]), int(sys.argv[3])):\n    put(cache, [n])\ncache.flush()\n"
    )
    runs = [
        subprocess.Popen([sys.executable, "-c", code, str(place), *span])
        for span in (("0", "200"), ("100", "300"))
    ]
    assert [run.wait() for run in runs] == [0, 0]
    assert holds(place, range(300))
    assert not list(place.rglob("*.writing"))


def test_a_killed_writer_loses_only_what_it_had_not_published(place: Path) -> None:
    code = CHILD + (
        "put(cache, [1, 2]); cache.flush(); put(cache, [3])\n"
        "print('ready', flush=True)\n"
        "for n in range(4, 10**9):\n    put(cache, [n])\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(place)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert holds(place, [1, 2])
    cache = FeatureCache(place)
    assert cache.missing(keys([1, 2, 3])) == keys([3])
    with cache:
        cache.put_many(keys([3]), made([3]))
    assert holds(place, [1, 2, 3])
    (left,) = place.rglob("*.writing")
    os.utime(left, (0, 0))
    written(place, [4])
    assert not left.exists()  # the next writer clears away what nobody has touched for long


def test_stopping_in_the_middle_of_a_write_keeps_what_was_before(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(FileIO):
        """A file in whose third write somebody presses Ctrl-C."""

        writes = 0

        def write(self, data: Any) -> int:
            self.writes += 1
            if self.writes != 3:
                return super().write(data)
            super().write(bytes(data)[:20] + bytes(5000))
            raise KeyboardInterrupt

    def created(path: Path) -> FileIO:
        path.parent.mkdir(parents=True)
        return Stopped(path, "xb")

    monkeypatch.setattr(shard_module, "_created", created)
    with pytest.raises(KeyboardInterrupt):
        written(place, [1, 2])
    assert holds(place, [1])
    assert FeatureCache(place).missing(keys([2])) == keys([2])


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


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"feature cache in .*file.* cannot be used.*mmagent cache clean"):
        FeatureCache(tmp_path / "file").put_many(keys([1]), made([1]))


def test_the_users_cache_folder_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert FeatureCache().directory == tmp_path / "mmagent" / "features"


def test_a_forked_process_begins_a_shard_of_its_own(place: Path) -> None:
    cache = FeatureCache(place)
    cache.put_many(keys([1]), made([1]))
    child = os.fork() if hasattr(os, "fork") else pytest.skip("no fork here")
    if child == 0:
        cache.put_many(keys([2]), made([2]))
        cache.flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    cache.put_many(keys([3]), made([3]))
    cache.flush()
    assert holds(place, [1, 2, 3])
