"""One pass over a sound: levels, spectra and pitch, in memory that does not grow with its length."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mmagent.figures import Autocorrelation, Deflated, Moments
from mmagent_audio.sound import Samples, Sound

__all__ = ["COLUMNS", "Survey"]

Floats = NDArray[np.float64]

COLUMNS = 900  # of the picture: what lies in one is shown together
SPECTRA = 20_000  # at most so many frames of a long sound are looked at
PITCHES = 1500  # at most so many frames are asked for a pitch
LEVELS = 256  # equal steps from -1 to 1, whose entropy is told
CLIPPED = 0.999  # of full scale
SPECTRUM_SECONDS, LEVEL_SECONDS = 0.032, 0.02
LOWEST_PITCH, HIGHEST_PITCH = 60.0, 1000.0  # Hz
HEARD = 5000.0  # Hz; what lies above says nothing of a pitch, and its ripples would move the peak
LEAST_HEARD = 0.01  # of the power, below which there is nothing to have a pitch
VOICED = 0.6  # normalised autocorrelation from which a frame has a pitch
FIRST_PEAK = 0.9  # of the highest peak: the first one as high is the period, later ones its multiples
CANCELLED = 1e-6  # of the channels' mean power is left in their mean
SILENCE = 1e-10  # power; -100 dB


class Survey:
    """What one pass over a sound finds.

    levels     (n,) power of frames of 20 ms
    histogram  (LEVELS,) how many samples lie in each step
    spectrum   (n_fft // 2 + 1,) mean power of the looked-at frames, by frequency
    columns    (n_fft // 2 + 1, COLUMNS) the same in each column of the picture; nan where none fell
    lowest, highest  (COLUMNS,) samples of the mono sound in each column
    pitches    Hz, one for each looked-at frame that has one
    looked     how many frames were asked for a pitch
    """

    def __init__(self, sound: Sound) -> None:
        self.sound, self.rate = sound, sound.rate
        self.n_fft = 1 << max(6, round(math.log2(SPECTRUM_SECONDS * sound.rate)))
        fine = min(max(sound.frames // COLUMNS, self.n_fft // 16), self.n_fft // 2)
        self.hop = max(fine, sound.frames // SPECTRA)
        self.n_columns = min(COLUMNS, sound.frames)
        self.histogram = np.zeros(LEVELS, dtype=np.int64)
        self.moments, self.alike, self.deflated = Moments(), Autocorrelation(1), Deflated()
        self.clipped = self.zeros = 0
        self.power = 0.0  # summed over samples and channels
        self.lowest, self.highest = np.full(self.n_columns, np.inf), np.full(self.n_columns, -np.inf)
        self._columns = np.zeros((self.n_fft // 2 + 1, self.n_columns))
        self._counts = np.zeros(self.n_columns, dtype=np.int64)
        self._levels: list[Floats] = []
        self._sides = np.zeros(3)  # of the first two channels: left squared, right squared, their product
        self.pitches: list[float] = []
        self.looked = 0
        self._read()

    @cached_property
    def levels(self) -> Floats:
        return np.concatenate(self._levels) if self._levels else np.zeros(1)

    @cached_property
    def spectrum(self) -> Floats:
        return np.asarray(self._columns.sum(1) / max(1, self._counts.sum()))

    @cached_property
    def columns(self) -> Floats:
        return np.where(self._counts > 0, self._columns / np.maximum(self._counts, 1), np.nan)

    @property
    def likeness(self) -> float | None:
        """Correlation of the first two channels; None in mono or where one of them is silent."""
        left, right, both = self._sides
        return float(both / math.sqrt(left * right)) if left > 0 and right > 0 else None

    @property
    def short(self) -> bool:
        """Whether there is less than one frame, too little to tell noise from sound."""
        return self.sound.frames < self.n_fft

    @property
    def cancels(self) -> bool:
        """Whether there is sound in the channels and none in their mean."""
        loudest = self.power / (self.sound.frames * self.sound.channels)
        return float(self.levels.max()) < CANCELLED * loudest and loudest > SILENCE

    def _read(self) -> None:
        frame = max(1, round(LEVEL_SECONDS * self.rate))
        level_tail, spectrum_tail = np.zeros(0), np.zeros(0)
        at = at_spectrum = 0
        for block in self.sound.blocks():
            mono = block.mean(axis=1, dtype=np.float64)
            self._count(block, mono)
            self._envelope(mono, at)
            level_tail = np.concatenate([level_tail, mono])
            whole = len(level_tail) // frame * frame
            self._levels.append(np.square(level_tail[:whole]).reshape(-1, frame).mean(1))
            level_tail = level_tail[whole:]
            spectrum_tail = np.concatenate([spectrum_tail, mono])
            at_spectrum, spectrum_tail = self._spectra(spectrum_tail, at_spectrum)
            at += len(mono)
        if not sum(map(len, self._levels)) and len(level_tail):
            self._levels.append(np.array([np.square(level_tail).mean()]))
        if self.short:
            self._only(spectrum_tail)

    def _only(self, samples: Floats) -> None:
        """The one spectrum, and perhaps the pitch, of all samples of a sound that is shorter than a frame."""
        window = np.hanning(len(samples) + 2)[1:-1]
        power = np.square(np.abs(np.fft.rfft(samples * window, self.n_fft)))
        self._columns[:, self.n_columns // 2] = power / np.square(window).sum() / self.n_fft
        self._counts[self.n_columns // 2] = self.looked = 1
        if found := pitch(samples, self.rate):
            self.pitches.append(found)

    def _count(self, block: Samples, mono: Floats) -> None:
        self.moments.add(block)
        self.power += float(np.square(block, dtype=np.float64).sum())
        self.clipped += int((np.abs(block) >= CLIPPED).sum())
        self.zeros += int((block == 0).all(axis=1).sum())
        step = np.clip(((block + 1) * (LEVELS / 2)).astype(np.int64), 0, LEVELS - 1)
        self.histogram += np.bincount(step.ravel(), minlength=LEVELS)
        self.alike.add(mono)
        self.deflated.add((np.clip(block, -1, 1) * 32767).astype("<i2").tobytes())
        if block.shape[1] > 1:
            left, right = block[:, 0].astype(np.float64), block[:, 1].astype(np.float64)
            self._sides += [left @ left, right @ right, left @ right]

    def _envelope(self, mono: Floats, at: int) -> None:
        column = (at + np.arange(len(mono))) * self.n_columns // self.sound.frames
        starts, own = _runs(column)
        self.lowest[own] = np.minimum(self.lowest[own], np.minimum.reduceat(mono, starts))
        self.highest[own] = np.maximum(self.highest[own], np.maximum.reduceat(mono, starts))

    def _spectra(self, samples: Floats, at: int) -> tuple[int, Floats]:
        """Take the frames that begin in samples, the first of which is number `at`; what is left over."""
        n = (len(samples) - self.n_fft) // self.hop + 1
        if n <= 0:
            return at, samples
        frames = np.lib.stride_tricks.sliding_window_view(samples, self.n_fft)[:: self.hop][:n]
        window = np.hanning(self.n_fft)
        power = np.square(np.abs(np.fft.rfft(frames * window))) / np.square(window).sum() / self.n_fft
        middle = at + self.hop * np.arange(n) + self.n_fft // 2
        column = np.minimum(middle * self.n_columns // self.sound.frames, self.n_columns - 1)
        starts, own = _runs(column)
        self._columns[:, own] += np.add.reduceat(power, starts, axis=0).T
        self._counts += np.bincount(column, minlength=self.n_columns)
        every = max(1, self.sound.frames // self.hop // PITCHES)
        for one in frames[(-(at // self.hop)) % every :: every]:
            self.looked += 1
            if found := pitch(one, self.rate):
                self.pitches.append(found)
        return at + n * self.hop, samples[n * self.hop :]


def _runs(sorted_numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each run of equal numbers starts, and the numbers."""
    starts = np.flatnonzero(np.diff(sorted_numbers, prepend=-1))
    return starts, sorted_numbers[starts]


def pitch(frame: Floats, rate: int) -> float | None:
    """The fundamental of a frame in Hz by its autocorrelation (Boersma 1993, without candidates over time).

    None for noise, for silence, and where less than two periods of it lie in the frame.
    """
    centred = frame - frame.mean()
    energy = float(centred @ centred)
    if energy < SILENCE * len(frame):
        return None
    window = np.hanning(len(frame))
    size = 2 * len(frame)
    heard, of_all = (np.square(np.abs(np.fft.rfft(x, size))) for x in (centred * window, window))
    above = np.fft.rfftfreq(size, 1 / rate) > HEARD
    if heard[~above].sum() < LEAST_HEARD * heard.sum():
        return None
    of_frame, of_window = np.fft.irfft(np.where(above, 0, heard)), np.fft.irfft(of_all)
    shortest = max(2, int(rate / HIGHEST_PITCH))
    longest = min(len(frame) // 2, int(rate / LOWEST_PITCH))
    if longest <= shortest + 2 or of_frame[0] <= 0:
        return None
    normal = of_frame[: longest + 2] / of_frame[0] / (of_window[: longest + 2] / of_window[0])
    inside = normal[shortest : longest + 1]
    peaks = np.flatnonzero(
        (inside >= normal[shortest - 1 : longest]) & (inside > normal[shortest + 1 : longest + 2])
    )
    if not peaks.size or inside[peaks].max() < VOICED:
        return None
    lag = shortest + int(peaks[inside[peaks] >= FIRST_PEAK * inside[peaks].max()][0])
    before, here, after = normal[lag - 1 : lag + 2]
    bend = before - 2 * here + after
    return float(rate / (lag + (0.5 * (before - after) / bend if bend else 0.0)))
