"""One file of features: records, then an index with checksums, then a trailer that says where the index is.

    records  per input: values (n, d_encoder), pooled (d_encoder,), mask (n,) of bytes, padded to 8 bytes
    index    per input: digest of its content, offset, n, crc32 of the record
    about    JSON: encoder, transform, dtype, d_encoder
    trailer  offset of the index, number of inputs, length of about, sha256 of index and about, magic

A shard is written under a name of its own, synced, and renamed when it is whole, so a reader never sees half
of one. Opening it reads the index alone; a record is mapped into memory and checked when it is first read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import struct
import time
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

PUBLISHED, WRITING, DAMAGED = ".shard", ".writing", ".damaged"
MAGIC = b"mmfeat01"
TRAILER = struct.Struct("<QQQ32s8s")
ROW = np.dtype([("digest", "u1", 32), ("offset", "<u8"), ("n", "<u4"), ("crc", "<u4")])
ALIGNED = 8
TOUCHED_BYTES = 8 * 2**20  # of a mapping that may count as a process's memory before it is let go of
AROUND = 2**16  # bytes that the system maps around each that is touched
DTYPES: dict[str, np.dtype[Any]] = {"float32": np.dtype("<f4"), "float16": np.dtype("<f2")}


class ShardDamagedError(Exception):
    """A shard does not hold what it says; the message names how."""


class Record(NamedTuple):
    """The features of one input: values (n, d_encoder), mask (n,), pooled (d_encoder,)."""

    values: NDArray[np.float32]
    mask: NDArray[np.bool_]
    pooled: NDArray[np.float32]


@dataclass(frozen=True)
class About:
    """What all features in a shard share; `dtype` is what they are stored in."""

    encoder: str
    transform: str
    dtype: str
    d_encoder: int

    def record_bytes(self, n: int) -> int:
        """Length of a record of n features, without its padding."""
        return (n + 1) * self.d_encoder * DTYPES[self.dtype].itemsize + n

    def pack(self, record: Record) -> bytes:
        """A record as it lies in the file."""
        dtype = DTYPES[self.dtype]
        floats = (record.values.astype(dtype).tobytes(), record.pooled.astype(dtype).tobytes())
        return b"".join((*floats, record.mask.astype(np.uint8).tobytes()))

    def unpack(self, data: Any, n: int) -> Record:
        """A record out of its bytes, copied, as float32."""
        dtype, d = DTYPES[self.dtype], self.d_encoder
        floats = np.frombuffer(data, dtype, (n + 1) * d).astype(np.float32)
        mask = np.frombuffer(data, np.uint8, n, (n + 1) * d * dtype.itemsize).astype(np.bool_)
        return Record(floats[: n * d].reshape(n, d), mask, floats[n * d :])


class Shard:
    """A published shard, open for reading."""

    def __init__(self, path: Path, about: About, rows: NDArray[Any], length: int) -> None:
        self.path, self.about = path, about
        self._rows, self._length = rows, length
        self._checked = np.zeros(len(rows), np.bool_)
        self._map: NDArray[np.uint8] | None = None
        self._touched = 0

    @classmethod
    def open(cls, path: Path) -> Shard:
        """Read the index of a shard. Raises `ShardDamagedError`, and FileNotFoundError where it has gone."""
        with path.open("rb", buffering=0) as file:
            length = os.fstat(file.fileno()).st_size
            if length < len(MAGIC) + TRAILER.size:
                raise ShardDamagedError(f"it has {length} bytes")
            file.seek(length - TRAILER.size)
            start, count, about_bytes, digest, magic = TRAILER.unpack(file.read(TRAILER.size))
            if magic != MAGIC or start + count * ROW.itemsize + about_bytes + TRAILER.size != length:
                raise ShardDamagedError("its end is missing")
            file.seek(start)
            told = file.read(length - TRAILER.size - start)
        if hashlib.sha256(told).digest() != digest:
            raise ShardDamagedError("its index has another checksum")
        rows = np.frombuffer(told, ROW, count)
        return cls(path, About(**json.loads(told[count * ROW.itemsize :])), rows, length)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def n_bytes(self) -> int:
        """Length of the file."""
        return self._length

    def digests(self) -> Iterator[bytes]:
        """The digest of every input, in the order of the rows."""
        flat = self._rows["digest"].tobytes()
        return (flat[at : at + 32] for at in range(0, len(flat), 32))

    def read(self, row: int) -> Record:
        """The features in a row; their checksum is looked at once. Raises as `open` does.

        However much is read, little of the file stays mapped.
        """
        _, offset, n, crc = self._rows[row]
        data = self._mapped()[int(offset) : int(offset) + self.about.record_bytes(int(n))]
        if not self._checked[row]:
            if zlib.crc32(data.data) != int(crc):
                raise ShardDamagedError("a record has another checksum")
            self._checked[row] = True
        record = self.about.unpack(data, int(n))
        self._touched += len(data) + AROUND
        if self._touched > TOUCHED_BYTES:
            self.release()
        return record

    def release(self) -> None:
        """Let go of the mapping; the next read maps the file again."""
        self._map, self._touched = None, 0

    def _mapped(self) -> NDArray[np.uint8]:
        if self._map is None:
            if self.path.stat().st_size != self._length:
                raise ShardDamagedError("its length has changed")
            self._map = np.memmap(self.path, np.uint8, mode="r")
            with contextlib.suppress(OSError):
                os.utime(self.path)  # cleaning by age goes by the last use
        return self._map


class ShardWriter:
    """A shard that is being written under a name of its own, readable by its writer at once."""

    def __init__(self, folder: Path, about: About) -> None:
        self.about = about
        self.pid = os.getpid()
        self.started = time.monotonic()
        self.path = folder / f"{self.pid}-{secrets.token_hex(8)}{WRITING}"
        self._file = _created(self.path)
        self._at = 0
        self._rows: dict[bytes, tuple[int, int, int]] = {}  # digest: offset, n, crc
        self._write(MAGIC)

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._rows

    @property
    def n_bytes(self) -> int:
        """What has been written so far."""
        return self._at

    def add(self, digest: bytes, record: Record) -> None:
        """Append the features of one input; those of an input that is there already are left as they are."""
        if digest in self._rows:
            return
        data = self.about.pack(record)
        offset = self._at
        self._write(data + bytes(-len(data) % ALIGNED))
        self._rows[digest] = (offset, len(record.values), zlib.crc32(data))

    def read(self, digest: bytes) -> Record:
        """Features that were added, before anybody else can see them."""
        offset, n, _ = self._rows[digest]
        with self.path.open("rb") as file:
            file.seek(offset)
            return self.about.unpack(file.read(self.about.record_bytes(n)), n)

    def publish(self) -> Path:
        """End the file, bring it to the disk and give it its name; from now on everybody sees it."""
        rows = np.zeros(len(self._rows), ROW)
        rows["digest"] = np.frombuffer(b"".join(self._rows), np.uint8).reshape(-1, 32)
        for field, column in zip(("offset", "n", "crc"), zip(*self._rows.values(), strict=True), strict=True):
            rows[field] = column
        about = json.dumps(asdict(self.about)).encode()
        told = rows.tobytes() + about
        end = TRAILER.pack(self._at, len(rows), len(about), hashlib.sha256(told).digest(), MAGIC)
        with self._file as file:
            self._write(told + end)
            file.truncate(self._at)
            os.fsync(file.fileno())
        published = self.path.with_suffix(PUBLISHED)
        os.rename(self.path, published)
        _sync(published.parent)
        return published

    def _write(self, data: bytes) -> None:
        """Append; what a write that was interrupted has left is written over by the next one."""
        left = memoryview(data)
        self._file.seek(self._at)
        while left:
            left = left[self._file.write(left) :]
        self._at += len(data)

    def abandon(self) -> None:
        """Leave nothing behind."""
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self.path.unlink()


def _created(path: Path, attempts: int = 3) -> FileIO:
    """A new file, without a buffer, since a forked process would write out its copy of one."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return path.open("xb", buffering=0)
        except FileNotFoundError:  # whoever cleans the cache has just removed the empty folder
            attempts -= 1
            if not attempts:
                raise


def _sync(folder: Path) -> None:
    """Bring a folder's new name to the disk, where the system has that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
