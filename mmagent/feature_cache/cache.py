"""The cache of features: one folder, shared by every run and process of a user."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from mmagent.errors import UserError
from mmagent.feature_cache.group import Group
from mmagent.feature_cache.housekeeping import Cleaned, Holding, bytes_in, clean, contents
from mmagent.feature_cache.keys import FeatureKey
from mmagent.feature_cache.shard import DTYPES, About, Record
from mmagent.files import user_cache

if TYPE_CHECKING:
    from mmagent.modality import Features

__all__ = ["FeatureCache"]

SHARD_BYTES = 256 * 2**20
SHARD_SECONDS = 60.0


class FeatureCache:
    """Features by `FeatureKey`, on disk, read through memory maps.

    What is put in can be read from this cache at once, and by everybody else once it is published: when a
    shard is full, when the next input comes after `shard_seconds`, on `flush`, and at the end of a `with`
    block. A process that dies loses what it had not published and damages nothing. Threads may share a cache.
    """

    def __init__(
        self,
        directory: str | Path | None = None,
        *,
        dtype: str = "float32",
        shard_bytes: int = SHARD_BYTES,
        shard_seconds: float = SHARD_SECONDS,
    ) -> None:
        """`directory` is the user's cache folder unless named.

        `dtype` float32 keeps every bit; float16 takes half the space and is kept apart from float32. Raises
        `UserError`.
        """
        if dtype not in DTYPES:
            raise UserError(f"features are stored as {' or '.join(DTYPES)}, not {dtype!r}.")
        self.directory = Path(directory) if directory is not None else default_directory()
        self.dtype = dtype
        self._limits: dict[str, Any] = {"shard_bytes": shard_bytes, "shard_seconds": shard_seconds}
        self._groups: dict[tuple[str, str], Group] = {}
        self._lock = threading.RLock()

    def get_many(self, keys: Iterable[FeatureKey]) -> dict[FeatureKey, Features]:
        """The features that are there, each a batch of one on the CPU, float32; missing keys are left out."""
        found: dict[FeatureKey, Features] = {}
        with self._lock, self._told():
            wanted = list(keys)
            self.missing(wanted)  # takes in what others have published
            for key in wanted:
                record = self._group(key).read(key.digest())
                if record is not None:
                    found[key] = _features(record)
        return found

    def missing(self, keys: Iterable[FeatureKey]) -> list[FeatureKey]:
        """The keys whose features are not there, each once, in the order given; nothing is read of others."""
        groups: dict[tuple[str, str], dict[FeatureKey, bytes]] = {}
        order = list(dict.fromkeys(keys))
        for key in order:
            groups.setdefault((key.encoder, key.transform), {})[key] = key.digest()
        absent: set[FeatureKey] = set()
        with self._lock, self._told():
            for digests in groups.values():
                lost = self._group(next(iter(digests))).missing(list(digests.values()))
                absent.update(key for key, digest in digests.items() if digest in lost)
        return [key for key in order if key in absent]

    def put_many(self, keys: Sequence[FeatureKey], features: Features) -> None:
        """Keep a batch of features, the first under the first key and so on.

        Padding at the end of an input's features, which depends on what else was in its batch, is not kept.
        Raises `UserError` where the disk refuses, or where a value does not fit float16.
        """
        if len(keys) != len(features.values):
            raise ValueError(f"{len(keys)} keys for {len(features.values)} features")
        if not keys:
            return
        with self._lock, self._told():
            for key, record in zip(keys, _records(features), strict=True):
                self._check(record)
                about = About(key.encoder, key.transform, self.dtype, record.values.shape[1])
                self._group(key).add(about, key.digest(), record)

    def flush(self) -> None:
        """Publish what was put in, so that other processes see it and a crash does not lose it."""
        with self._lock, self._told():
            for group in self._groups.values():
                group.flush()

    def __enter__(self) -> FeatureCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()

    def size(self) -> int:
        """Bytes that the cache takes on disk, unfinished and damaged shards included."""
        return bytes_in(self.directory)

    def contents(self) -> list[Holding]:
        """What is published, by encoder, the largest first; it reads the indexes alone."""
        return contents(self.directory)

    def clean(
        self, older_than: float | None = None, encoder: str | None = None, *, dry_run: bool = False
    ) -> Cleaned:
        """Remove shards, and say what went; `dry_run` only says.

        `older_than` is in seconds since a shard was last read or written, `encoder` the id of an encoder or
        its beginning; without either everything goes. Others may read and write meanwhile: they compute
        again what they miss. Raises `UserError` for an encoder of which there is nothing.
        """
        return clean(self.directory, older_than, encoder, dry_run=dry_run)

    def __getstate__(self) -> dict[str, Any]:
        """A copy for another process: the place and the settings."""
        return {"directory": self.directory, "dtype": self.dtype, "_limits": self._limits}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["directory"], dtype=state["dtype"], **state["_limits"])  # type: ignore[misc]

    def _group(self, key: FeatureKey) -> Group:
        name = (key.encoder, key.transform)
        if name not in self._groups:
            told = "\n".join((*name, self.dtype))
            folder = self.directory / hashlib.sha256(told.encode()).hexdigest()[:32]
            self._groups[name] = Group(folder, **self._limits)
        return self._groups[name]

    def _check(self, record: Record) -> None:
        if self.dtype == "float16":
            top = max(np.abs(part).max(initial=0.0) for part in (record.values, record.pooled))
            if top > np.finfo(np.float16).max:
                raise UserError(
                    f"a feature of {top:.6g} does not fit float16, which ends at 65504. Store float32."
                )

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What the disk refuses, as one sentence."""
        try:
            yield
        except OSError as error:
            raise UserError(
                f"the feature cache in {self.directory} cannot be used: {error.strerror or error}. "
                "Name another folder, or free some space: mmagent cache clean."
            ) from error


def default_directory() -> Path:
    """Where features are kept unless a folder is named. Raises `UserError` where there is no home."""
    root = user_cache()
    if root is None:
        raise UserError("there is no home folder to keep features in. Name a folder for the feature cache.")
    return root / "features"


def _features(record: Record) -> Features:
    import torch

    from mmagent.modality import Features

    values, mask, pooled = (torch.from_numpy(part).unsqueeze(0) for part in record)
    return Features(values, mask, pooled)


def _records(features: Features) -> Iterator[Record]:
    """The features of each input of a batch, without the padding at their end."""
    values = features.values.detach().float().cpu().numpy()
    mask = features.mask.detach().cpu().numpy()
    pooled = features.pooled.detach().float().cpu().numpy()
    for row in range(len(values)):
        real = np.flatnonzero(mask[row])
        n = int(real[-1]) + 1 if len(real) else min(1, len(mask[row]))
        yield Record(values[row, :n], mask[row, :n], pooled[row])
