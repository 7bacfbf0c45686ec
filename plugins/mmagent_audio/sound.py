"""A sound as a handle: what its header says at once, its samples in blocks when they are wanted.

So an hour of sound costs no more memory than a second of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from threading import Lock
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmagent.errors import MissingPackageError, UserError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["BLOCK", "Samples", "Sound", "from_array", "silent", "soundfile"]

Samples = NDArray[np.float32]

BLOCK = 1 << 16  # samples per channel that are decoded at a time
LOWEST_RATE, HIGHEST_RATE = 1_000, 768_000  # Hz
MAX_CHANNELS = 64
MAX_HOURS = 24
STDERR = 2  # to which C writes


@dataclass(frozen=True, eq=False)
class Sound:
    """One sound.

    name      file or what it came from, for messages
    rate      samples a second, Hz
    channels  1 is mono
    frames    samples per channel
    format    "WAV", "FLAC", "Ogg", "MP3", or "array" for samples in memory
    coding    how a sample is kept: "PCM_16", "VORBIS", "float32" ...
    content   where the samples are: a path, the bytes of a file, or an array (frames, channels)
    """

    name: str
    rate: int
    channels: int
    frames: int
    format: str
    coding: str
    content: str | bytes | Samples = field(repr=False)

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.frames / self.rate

    def blocks(self, size: int = BLOCK) -> Iterator[Samples]:
        """The samples in order, (n, channels) float32 of full scale 1, n at most `size`.

        Raises `UserError` where they are damaged, cut off or not finite.
        """
        given = 0
        for block in self._decoded(size):
            if not np.isfinite(block).all():
                row = int(np.flatnonzero(~np.isfinite(block).all(axis=1))[0])
                raise UserError(
                    f"{self.name} holds a sample that is no number (NaN or infinite) at "
                    f"{(given + row) / self.rate:.3f} s. Write the sound again without it."
                )
            given += len(block)
            yield block
        if given < self.frames:
            raise UserError(
                f"{self.name} is cut off: it announces {self.seconds:,.1f} s and "
                f"{given / self.rate:,.1f} s of it can be decoded. Copy it again."
            )

    def mono(self, size: int = BLOCK) -> Iterator[Tensor]:
        """The mean of the channels, piece by piece, (n,) float32."""
        import torch

        for block in self.blocks(size):
            yield torch.from_numpy(block.mean(axis=1, dtype=np.float32))

    def _decoded(self, size: int) -> Iterator[Samples]:
        if isinstance(self.content, np.ndarray):
            for start in range(0, self.frames, size):
                yield self.content[start : start + size]
            return
        library = soundfile()
        source: str | IO[bytes] = BytesIO(self.content) if isinstance(self.content, bytes) else self.content
        left = self.frames
        try:
            with silent(self.format):
                opened = library.SoundFile(source)
            with opened as file:
                while left > 0:
                    with silent(self.format):
                        block = file.read(min(size, left), dtype="float32", always_2d=True)
                    if not len(block):
                        return
                    left -= len(block)
                    yield block
        except (library.SoundFileError, RuntimeError, OSError) as error:
            raise UserError(
                f"{self.name} is damaged at {(self.frames - left) / self.rate:.1f} s ({reason(error)}). "
                "Copy it again."
            ) from error


def from_array(values: Any, rate: Any, name: str = "the array") -> Sound:
    """A sound of samples in memory: (frames,) or (frames, channels); floats of full scale 1, or integers.

    An array with more columns than rows counts as (channels, frames). Raises `UserError`.
    """
    samples = np.asarray(values)
    if samples.ndim not in (1, 2) or samples.dtype.kind not in "fiu":
        raise UserError(
            f"{name} is {samples.dtype} of shape {samples.shape}, which is no sound. Give samples (n,) or "
            "(n, channels), floats in -1..1 or integers, and their rate."
        )
    samples = samples[:, None] if samples.ndim == 1 else samples
    if samples.shape[1] > samples.shape[0] > 0:
        samples = samples.T
    check(name, rate, samples.shape[1], len(samples))
    coding = str(samples.dtype)
    if samples.dtype.kind == "u":
        middle = 1 << (8 * samples.dtype.itemsize - 1)
        samples = (samples.astype(np.float64) - middle) / middle
    elif samples.dtype.kind == "i":
        samples = samples / -float(np.iinfo(samples.dtype).min)
    kept = np.ascontiguousarray(samples, dtype=np.float32)
    if kept is values or np.shares_memory(kept, values if isinstance(values, np.ndarray) else kept[:0]):
        kept = kept.copy()  # whoever gave it may go on with it
    sound = Sound(name, int(rate), kept.shape[1], len(kept), "array", coding, kept)
    for _ in sound.blocks():
        pass
    return sound


def check(name: str, rate: Any, channels: int, frames: int | None = None) -> None:
    """Refuse what a header or a caller announces before anything is decoded. Raises `UserError`."""
    if isinstance(rate, bool) or (not isinstance(rate, int | np.integer) and not _whole(rate)):
        raise UserError(f"the rate of {name} is {rate!r}; it is a whole number of samples a second (Hz).")
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise UserError(
            f"{name} has a rate of {int(rate):,} Hz; {LOWEST_RATE:,} to {HIGHEST_RATE:,} Hz are read. "
            "Slower signals are series, not sound."
        )
    if frames is not None and frames <= 0:
        raise UserError(f"{name} holds no samples: it lasts 0 s. Give a sound that lasts.")
    if not 1 <= channels <= MAX_CHANNELS:
        raise UserError(f"{name} has {channels} channels; 1 to {MAX_CHANNELS} are read. Mix it down first.")
    if frames is not None and frames > MAX_HOURS * 3600 * rate:
        raise UserError(
            f"{name} announces {frames:,} samples, {frames / rate / 3600:,.0f} hours; at most {MAX_HOURS} "
            "hours are read. Cut it into parts, or mend its header."
        )


def _whole(rate: Any) -> bool:
    with suppress(TypeError, ValueError, OverflowError):
        return float(rate).is_integer()
    return False


def reason(error: Exception) -> str:
    """What libsndfile says, in one line without its prefix."""
    said = str(getattr(error, "error_string", error)).split(": ")[-1].strip().rstrip(".")
    if said.startswith("File does not exist"):  # which libsndfile says of an MP3 that it cannot make sense of
        return "no sound is found behind its first bytes"
    return " ".join(said.split()) or type(error).__name__


class _Silence:
    """Standard error of this process, which goes nowhere while anybody is inside."""

    def __init__(self) -> None:
        self._lock, self._inside, self._kept = Lock(), 0, -1

    def enter(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                with suppress(OSError):  # it may be closed
                    self._kept = os.dup(STDERR)
                    with open(os.devnull, "wb") as nowhere:
                        os.dup2(nowhere.fileno(), STDERR)

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside and self._kept >= 0:
                os.dup2(self._kept, STDERR)
                os.close(self._kept)
                self._kept = -1


_SILENCE = _Silence()


@contextmanager
def silent(format: str) -> Iterator[None]:
    """Keep from the terminal what the decoder of MP3 writes there about damage: we say it in one line."""
    if format != "MP3":
        yield
        return
    _SILENCE.enter()
    try:
        yield
    finally:
        _SILENCE.leave()


def soundfile() -> Any:
    """The library that decodes. Raises `MissingPackageError` where it is not installed."""
    try:
        import soundfile as library
    except (ImportError, OSError) as error:
        raise MissingPackageError(
            f"sound is read with soundfile, which cannot be imported ({error}). "
            "Install it: pip install 'mmagent[audio]'"
        ) from error
    return library
