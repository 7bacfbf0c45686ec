"""What lies in a feature cache, and how it is cleaned, without reading a feature."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmagent.errors import UserError
from mmagent.feature_cache.group import ABANDONED_SECONDS, Group
from mmagent.feature_cache.shard import DAMAGED, PUBLISHED, WRITING, About, Shard, ShardDamagedError

SUFFIXES = (PUBLISHED, WRITING, DAMAGED)


@dataclass(frozen=True)
class Holding:
    """What a cache holds of one encoder; `used` is when any of it was last read or written (Unix time)."""

    encoder: str
    transform: str
    dtype: str
    d_encoder: int
    entries: int
    shards: int
    bytes: int
    used: float


@dataclass(frozen=True)
class Cleaned:
    """What was removed: entries (one that was stored twice counts twice), files and bytes."""

    entries: int
    files: int
    bytes: int


def bytes_in(directory: Path) -> int:
    """Bytes of all files of the cache."""
    return sum(_size(path) for path in _files(directory, SUFFIXES))


def contents(directory: Path) -> list[Holding]:
    """What is published, by encoder, the largest first."""
    found = (_holding(folder) for folder in _folders(directory))
    return sorted((one for one in found if one is not None), key=lambda one: (-one.bytes, one.encoder))


def clean(directory: Path, older_than: float | None, encoder: str | None, *, dry_run: bool) -> Cleaned:
    """Remove shards by age and encoder, and with them what is damaged or abandoned in the same folders."""
    folders = list(_folders(directory))
    if encoder is not None:
        folders = _of_encoder(folders, encoder)
    now, entries, files, freed = time.time(), 0, 0, 0
    for folder in folders:
        ours = _files_of(folder, SUFFIXES)
        for path in ours:
            try:
                found = path.stat()
            except OSError:
                continue
            age = now - found.st_mtime
            if age < (ABANDONED_SECONDS if path.suffix == WRITING else older_than or 0.0):
                continue
            entries += _entries(path)
            if not dry_run and not _removed(path):
                continue
            files, freed = files + 1, freed + found.st_size
        if ours and not dry_run:
            with contextlib.suppress(OSError):  # somebody writes into it, or some of it stays
                folder.rmdir()
    return Cleaned(entries, files, freed)


def _of_encoder(folders: list[Path], encoder: str) -> list[Path]:
    """The folders of the encoder whose id begins with these letters. Raises `UserError`."""
    about = {folder: _about(folder) for folder in folders}
    ids = sorted({one.encoder for one in about.values() if one is not None})
    hits = [one for one in ids if one.startswith(encoder)] if encoder else []
    if len(hits) != 1:
        there = ", ".join(one[:12] for one in ids) or "none"
        problem = f"{len(hits)} encoders begin with" if hits else "nothing is kept of the encoder"
        raise UserError(f"{problem} {encoder!r}. There are: {there}. mmagent cache lists them.")
    return [folder for folder, one in about.items() if one is not None and one.encoder == hits[0]]


def _holding(folder: Path) -> Holding | None:
    group = Group(folder, shard_bytes=0, shard_seconds=0.0)
    group.refresh()
    shards = group.shards()
    if not shards:
        return None
    about = shards[0].about
    return Holding(
        encoder=about.encoder,
        transform=about.transform,
        dtype=about.dtype,
        d_encoder=about.d_encoder,
        entries=len(group),
        shards=len(shards),
        bytes=sum(shard.n_bytes for shard in shards),
        used=max((_mtime(shard.path) for shard in shards), default=0.0),
    )


def _about(folder: Path) -> About | None:
    for path in _files_of(folder, (PUBLISHED,)):
        with contextlib.suppress(OSError, ShardDamagedError):
            return Shard.open(path).about
    return None


def _entries(path: Path) -> int:
    if path.suffix != PUBLISHED:
        return 0
    try:
        return len(Shard.open(path))
    except (OSError, ShardDamagedError):
        return 0


def _folders(directory: Path) -> Iterator[Path]:
    try:
        found = sorted(Path(entry.path) for entry in os.scandir(directory) if entry.is_dir())
    except OSError:
        return
    yield from found


def _files(directory: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    for folder in _folders(directory):
        yield from _files_of(folder, suffixes)


def _files_of(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    try:
        return sorted(Path(entry.path) for entry in os.scandir(folder) if entry.name.endswith(suffixes))
    except OSError:
        return []


def _removed(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
