"""A series in memory or on disk: samples by channel, read a block at a time however long it is."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mmagent.errors import UserError
from mmagent_series.timing import Timing

__all__ = ["BLOCK", "MAX_CHANNELS", "MAX_VALUES", "Block", "InMemory", "OnDisk", "Samples", "Series", "Spool"]

Block = NDArray[np.float64]

BLOCK = 16384  # samples that are read together
MAX_VALUES = 200_000_000  # samples times channels; more is refused before anything is read
MAX_CHANNELS = 4096
KEPT_VALUES = 4_000_000  # held in memory (32 MB); more goes into a temporary file
LARGEST = 1e30  # a magnitude beyond this is damage, and its square would leave float64's range in sums
FASTEST, SLOWEST = 1e12, 1e-10  # rates in Hz that are believed: a terahertz, once in three centuries


class Samples(Protocol):
    """T samples of C channels; NaN where a value is missing."""

    @property
    def shape(self) -> tuple[int, int]:
        """T and C."""

    def block(self, start: int, stop: int) -> Block:
        """Samples from `start` to `stop` (n, C), float64."""


@dataclass(frozen=True, eq=False)
class InMemory:
    """Samples of an array (T, C)."""

    array: NDArray[Any]

    @property
    def shape(self) -> tuple[int, int]:
        return self.array.shape[0], self.array.shape[1]

    def block(self, start: int, stop: int) -> Block:
        return np.asarray(self.array[start:stop], dtype=np.float64)


@dataclass(frozen=True, eq=False)
class OnDisk:
    """Samples of a file of rows, one after another; only what is asked for is read.

    file    an open binary file;  offset  where its first row begins, in bytes
    """

    file: IO[bytes]
    dtype: np.dtype[Any]
    shape: tuple[int, int]
    offset: int = 0

    def block(self, start: int, stop: int) -> Block:
        """Raises UserError where the file has become shorter."""
        start, stop = max(start, 0), min(stop, self.shape[0])
        width = self.shape[1] * self.dtype.itemsize
        self.file.seek(self.offset + start * width)
        data = self.file.read(max(stop - start, 0) * width)
        if len(data) != max(stop - start, 0) * width:
            raise UserError(f"{getattr(self.file, 'name', 'the file')} became shorter while it was read.")
        return np.frombuffer(data, dtype=self.dtype).reshape(-1, self.shape[1]).astype(np.float64)


class Spool:
    """Gathers rows: few stay in memory, many go into a temporary file that leaves with them."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._blocks: list[Block] = []
        self._file: IO[bytes] | None = None
        self._n, self._width = 0, 0

    def add(self, rows: Block) -> None:
        """Rows (n, C), of one width always. Raises UserError when they become too many."""
        self._width = rows.shape[1]
        self._n += len(rows)
        demand_size(self._n, self._width, self._name)
        if self._file is None and self._n * self._width > KEPT_VALUES:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 (leaves with the series)
            for block in self._blocks:
                self._file.write(np.ascontiguousarray(block, dtype=np.float64).data)
            self._blocks = []
        if self._file is None:
            self._blocks.append(rows)
        else:
            self._file.write(np.ascontiguousarray(rows, dtype=np.float64).data)

    def samples(self) -> Samples:
        """All rows, once there are no more to come."""
        if self._file is not None:
            self._file.flush()
            return OnDisk(self._file, np.dtype(np.float64), (self._n, self._width))
        return InMemory(np.concatenate(self._blocks) if self._blocks else np.zeros((0, 1)))


@dataclass(frozen=True, eq=False)
class Series:
    """Measurements over time.

    samples   (T, C), T at least 1, all finite or NaN; rows without any value are cut off at both ends
    channels  (C,) their names;  units  (C,) theirs, "" where nobody says
    rate      samples per second (Hz), None where nobody says
    missing   how many values are NaN
    timing    what its times tell beside the rate; None without times
    """

    samples: Samples
    channels: tuple[str, ...]
    units: tuple[str, ...]
    rate: float | None
    missing: int
    timing: Timing | None = None

    @property
    def length(self) -> int:
        """T."""
        return self.samples.shape[0]

    @property
    def seconds(self) -> float | None:
        """How long it lasts, gaps included; None without a rate."""
        if self.rate is None:
            return None
        return self.length / self.rate if self.timing is None else self.timing.duration

    def blocks(self, start: int = 0, stop: int | None = None, size: int = BLOCK) -> Iterator[Block]:
        """Samples in order, (n, C) with n at most `size`."""
        last = self.length if stop is None else stop
        for at in range(start, last, size):
            yield self.samples.block(at, min(at + size, last))


def demand_size(length: int, width: int, name: str) -> None:
    """Raise UserError for more values than are read."""
    if width > MAX_CHANNELS:
        raise UserError(
            f"{name} has {width:,} channels; at most {MAX_CHANNELS:,} are read. If its rows are channels, "
            "turn it round first."
        )
    if length * width > MAX_VALUES:
        raise UserError(
            f"{name} has {length:,} samples of {width:,} channels; at most {MAX_VALUES:,} values are read. "
            "Give a part of it."
        )


def made(
    samples: Samples,
    name: str,
    *,
    channels: Sequence[str] | None = None,
    units: Sequence[str] | None = None,
    rate: float | None = None,
    timing: Timing | None = None,
) -> Series:
    """A checked series. Raises UserError for one without values, with infinite ones, or of an absurd rate."""
    length, width = samples.shape
    if not length or not width:
        raise UserError(f"{name} has no samples, so there is nothing to read. Give a series of one at least.")
    demand_size(length, width, name)
    names = tuple(channels or (f"channel {at}" for at in range(1, width + 1)))
    if len(names) != width:
        raise UserError(
            f"{name} has {width} channels and {len(names)} names of channels ({', '.join(names[:6])}). "
            "Give one name for each, with samples along the first axis."
        )
    first, last, missing = _looked_through(samples, names, name)
    kept: Samples = _Part(samples, first, last) if (first, last) != (0, length) else samples
    return Series(
        kept,
        names,
        tuple(units or ("",) * width),
        checked_rate(rate, name),
        missing - width * (length - (last - first)),
        None if timing is None else replace(timing, first=first, last=last - 1),
    )


def checked_rate(rate: object, name: str) -> float | None:
    """A sampling rate in Hz. Raises UserError for what is none."""
    if rate is None:
        return None
    try:
        hertz = float(rate)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise UserError(f"{name} has the rate {rate!r:.40}; a rate is a number in Hz.") from error
    if not (math.isfinite(hertz) and SLOWEST <= hertz <= FASTEST):
        raise UserError(
            f"{name} has a rate of {hertz:g} Hz; rates from {SLOWEST:g} to {FASTEST:g} Hz are believed. "
            "Check the unit of its times."
        )
    return hertz


@dataclass(frozen=True, eq=False)
class _Part:
    """Samples `first` to `last` of others."""

    whole: Samples
    first: int
    last: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.last - self.first, self.whole.shape[1]

    def block(self, start: int, stop: int) -> Block:
        return self.whole.block(self.first + start, min(self.first + stop, self.last))


def _looked_through(samples: Samples, channels: Sequence[str], name: str) -> tuple[int, int, int]:
    """The first row with a value, the row after the last such, and how many values are missing in all."""
    first, last, missing = -1, 0, 0
    length = samples.shape[0]
    for at in range(0, length, BLOCK):
        block = samples.block(at, min(at + BLOCK, length))
        gone = np.isnan(block)
        if wrong := np.argwhere(~gone & ~(np.abs(block) <= LARGEST)).tolist():
            row, column = wrong[0]
            value = block[row, column]
            told = "an infinite value" if np.isinf(value) else f"the value {value:g}"
            raise UserError(
                f"{name} has {told} in {channels[column]}, sample {at + row + 1}. "
                "Leave the cell empty (a gap) or write the number that was measured."
            )
        missing += int(gone.sum())
        full = np.flatnonzero(~gone.all(axis=1))
        if len(full):
            first = at + int(full[0]) if first < 0 else first
            last = at + int(full[-1]) + 1
    if first < 0:
        raise UserError(
            f"{name} has no value at all: every one of its {length:,} samples is missing. "
            "Check what wrote it."
        )
    return first, last, missing
