"""The shards of one encoder: found again when others add to them, read, and written to.

Many processes may share the folder. Each writes shards of its own and sees the published ones of the others;
nobody waits for anybody. An input that two of them encode at once is stored twice, which costs space only.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from mmagent.feature_cache.shard import (
    DAMAGED,
    PUBLISHED,
    WRITING,
    About,
    Record,
    Shard,
    ShardDamagedError,
    ShardWriter,
)

MAPPED_SHARDS = 64  # mapped at once, so that a large cache does not run out of file handles
ABANDONED_SECONDS = 3600.0  # a shard that nobody has added to for so long has lost its writer

log = logging.getLogger(__name__)


class Group:
    """The features of one encoder, transform and dtype; they lie in one folder."""

    def __init__(self, folder: Path, *, shard_bytes: int, shard_seconds: float) -> None:
        self.folder = folder
        self._shard_bytes, self._shard_seconds = shard_bytes, shard_seconds
        self._shards: dict[str, Shard] = {}
        self._rows: dict[bytes, tuple[Shard, int]] = {}
        self._mapped: OrderedDict[str, Shard] = OrderedDict()
        self._damaged: set[str] = set()
        self._writer: ShardWriter | None = None

    def missing(self, digests: Sequence[bytes]) -> set[bytes]:
        """Those that nobody has published and that are not waiting to be; the folder is looked at if any."""
        absent = {digest for digest in digests if not self._has(digest)}
        if not absent:
            return absent
        self.refresh()
        return {digest for digest in absent if not self._has(digest)}

    def read(self, digest: bytes) -> Record | None:
        """The features of an input; None where they are not there, or no longer, or damaged."""
        writer = self._own_writer()
        if writer is not None and digest in writer:
            with contextlib.suppress(FileNotFoundError):
                return writer.read(digest)
            self._writer = None
        while digest in self._rows:
            shard, row = self._rows[digest]
            try:
                record = shard.read(row)
            except FileNotFoundError:  # cleaned by somebody else, perhaps with others
                self._forget({shard.path.name})
                self.refresh()
            except ShardDamagedError as error:
                self._set_aside(shard.path, str(error))
            else:
                self._used(shard)
                return record
        return None

    def add(self, about: About, digest: bytes, record: Record) -> None:
        """Keep the features of an input. Raises OSError where the disk refuses; what was published stays."""
        writer = self._own_writer()
        if writer is not None and writer.about != about:
            raise ValueError(f"features of one encoder differ: {writer.about} and {about}")
        if writer is None:
            sweep(self.folder)
            writer = self._writer = ShardWriter(self.folder, about)
        try:
            writer.add(digest, record)
        except OSError:
            self._writer = None
            writer.abandon()
            raise
        if writer.n_bytes >= self._shard_bytes or time.monotonic() - writer.started >= self._shard_seconds:
            self.flush()

    def flush(self) -> None:
        """Publish what was added. Raises OSError where the disk refuses."""
        writer, self._writer = self._own_writer(), None
        if writer is None:
            return
        try:
            published = writer.publish()
        except FileNotFoundError:  # the folder was removed meanwhile: a cache may be, at any time
            return
        except OSError:
            writer.abandon()
            raise
        self._open(published)

    def refresh(self) -> None:
        """Take in the shards that were published since, and leave out those that are gone."""
        try:
            there = {entry.name for entry in os.scandir(self.folder) if entry.name.endswith(PUBLISHED)}
        except FileNotFoundError:
            there = set()
        if gone := self._shards.keys() - there:
            self._forget(set(gone))
        for name in sorted(there - self._shards.keys() - self._damaged):
            self._open(self.folder / name)

    def shards(self) -> list[Shard]:
        """The published shards, as of the last look at the folder."""
        return list(self._shards.values())

    def __len__(self) -> int:
        """Inputs that are published, each content once."""
        return len(self._rows)

    def _has(self, digest: bytes) -> bool:
        writer = self._own_writer()
        return digest in self._rows or (writer is not None and digest in writer)

    def _own_writer(self) -> ShardWriter | None:
        """The open shard; after a fork it is the parent's, and the child begins its own."""
        if self._writer is not None and self._writer.pid != os.getpid():
            self._writer = None
        return self._writer

    def _open(self, path: Path) -> None:
        try:
            shard = Shard.open(path)
        except FileNotFoundError:
            return
        except ShardDamagedError as error:
            self._set_aside(path, str(error))
            return
        self._shards[path.name] = shard
        self._rows.update((digest, (shard, row)) for row, digest in enumerate(shard.digests()))

    def _used(self, shard: Shard) -> None:
        """Remember that a shard is mapped; the one that was used longest ago is let go of."""
        self._mapped[shard.path.name] = shard
        self._mapped.move_to_end(shard.path.name)
        if len(self._mapped) > MAPPED_SHARDS:
            self._mapped.popitem(last=False)[1].release()

    def _forget(self, names: set[str]) -> None:
        for name in names:
            self._shards.pop(name, None)
            self._mapped.pop(name, None)
        self._rows = {
            digest: (shard, row)
            for shard in self._shards.values()
            for row, digest in enumerate(shard.digests())
        }

    def _set_aside(self, path: Path, why: str) -> None:
        """Take a damaged shard out of the way, with one line about it."""
        log.warning(
            "%s is damaged (%s) and is set aside as %s; its features are computed again.",
            path,
            why,
            path.with_suffix(DAMAGED).name,
        )
        self._damaged.add(path.name)
        with contextlib.suppress(OSError):
            os.rename(path, path.with_suffix(DAMAGED))
        self._forget({path.name})


def sweep(folder: Path, older_than: float = ABANDONED_SECONDS) -> int:
    """Remove the unfinished shards of writers that are gone; the bytes that this freed."""
    freed = 0
    for path in folder.glob(f"*{WRITING}"):
        with contextlib.suppress(OSError):
            found = path.stat()
            if time.time() - found.st_mtime >= older_than:
                path.unlink()
                freed += found.st_size
    return freed
