"""Long inputs, written piece by piece: sound, a series, a table; the same bytes in every run."""

from __future__ import annotations

import csv
import random
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["HOUR", "MILLION", "write_series", "write_sound", "write_table"]

HOUR = 3600  # seconds
MILLION = 1_000_000  # rows
RATE = 44_100  # Hz, as on a compact disc; two channels of 16 bits
CHANNELS = 6
PLACES = ("Aarhus", "Bergen", "Cork", "Delft", "Espoo", "Faro", "Ghent")
WORDS = "pump valve motor belt sensor cable filter bearing hot cold loud worn new loose late early".split()


def write_sound(target: Path, seconds: int) -> Path:
    """A wav of tones that change every second, in noise."""
    import numpy as np

    rng = np.random.default_rng(0)
    at = np.arange(RATE) / RATE
    with wave.open(str(target), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        for _ in range(seconds):
            tones = np.sin(2 * np.pi * rng.uniform(100, 4000, (2, 1)) * at)  # (2, RATE)
            noise = rng.standard_normal((2, RATE))
            file.writeframes((4000 * tones + 500 * noise).T.astype("<i2").tobytes())
    return target


def write_series(target: Path, rows: int) -> Path:
    """A csv of a time in seconds and six channels that drift; one cell in a thousand is missing."""
    rng = random.Random(0)

    def made() -> Iterator[list[str]]:
        values = [0.0] * CHANNELS
        for row in range(rows):
            values = [0.99 * value + rng.gauss(0, 1) for value in values]
            cells = ["" if rng.random() < 0.001 else f"{value:.4f}" for value in values]
            yield [f"{row / 100:.2f}", *cells]

    return _write(target, ["time", *(f"channel {at} (m/s2)" for at in range(1, CHANNELS + 1))], made)


def write_table(target: Path, rows: int) -> Path:
    """A csv of numbers, dates, places and short texts; one price in a hundred is missing."""
    rng = random.Random(0)

    def made() -> Iterator[list[str]]:
        for row in range(rows):
            price = "" if rng.random() < 0.01 else f"{rng.lognormvariate(3, 1):.2f}"
            date = f"20{rng.randrange(10, 26)}-{rng.randrange(1, 13):02d}-{rng.randrange(1, 29):02d}"
            note = " ".join(rng.choices(WORDS, k=4))
            yield [str(row), rng.choice(PLACES), date, price, str(rng.randrange(100)), note]

    return _write(target, ["number", "place", "date", "price", "pieces", "note"], made)


def _write(target: Path, head: list[str], rows: Callable[[], Iterator[list[str]]]) -> Path:
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(rows())
    return target
