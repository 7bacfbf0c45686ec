"""Several processes share one cache, whoever writes and whoever dies meanwhile."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from io import FileIO
from pathlib import Path
from typing import Any

import pytest
from numbered import CHILD, holds, keys, made, same, written

from mmagent.feature_cache import FeatureCache
from mmagent.feature_cache import shard as shard_module


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
