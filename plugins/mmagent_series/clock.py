"""Times of samples: which column holds them, in which unit, and the rate, jitter and gaps they tell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from mmagent.errors import UserError
from mmagent_series.recognise import TIMES
from mmagent_series.series import Block

__all__ = ["Clock", "moment", "named_time", "time_scale", "with_unit"]

SKIP = 1.5  # median steps from one sample to the next, beyond which samples were left out
_UNIT = re.compile(r"(.*?)\s*[(\[]([^()\[\]]*)[)\]]$")
_SCALES = {
    "s": ("s", "sec", "secs", "second", "seconds"),
    "ms": ("ms", "msec", "millis", "milliseconds"),
    "us": ("us", "µs", "μs", "usec", "microseconds"),
    "ns": ("ns", "nsec", "nanoseconds"),
    "min": ("min", "minutes"),
    "h": ("h", "hours"),
    "d": ("d", "days"),
}
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "min": 60.0, "h": 3600.0, "d": 86400.0}
_EPOCHS = ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3))  # times since 1970 that are too large to be seconds


def with_unit(header: str) -> tuple[str, str]:
    """Name and unit of a column: "Fx (N)" is ("Fx", "N"), "Fx" is ("Fx", "")."""
    found = _UNIT.match(header.strip())
    return (found[1].strip() or header.strip(), found[2].strip()) if found else (header.strip(), "")


def named_time(name: str) -> bool:
    """Whether a column without its unit is called as times are: "time", "timestamp", "t_ms"."""
    plain = name.strip().lower()
    return plain in TIMES or re.split(r"[_\s]", plain)[0] in TIMES - {"us", "date"}


def time_scale(name: str, unit: str) -> float | None:
    """Seconds per unit of a time column; None where nobody says."""
    words = [unit.lower(), *re.split(r"[_\s]", name.lower())[::-1]]
    known = {word: _SECONDS[key] for key, spellings in _SCALES.items() for word in spellings}
    return next((known[word] for word in words if word in known), None)


def moment(cell: str) -> float:
    """Seconds since 1970 of a date as ISO 8601 writes it; UTC unless it says otherwise. Raises ValueError."""
    found = datetime.fromisoformat(cell)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


class Clock:
    """Learns the rate from times, a block at a time: the step is the median one of the first block."""

    def __init__(self, name: str, scale: float | None) -> None:
        """`scale`: seconds per unit, None to tell seconds from milliseconds since 1970 by their size."""
        self._name, self._scale = name, scale
        self._last: float | None = None
        self._step: float | None = None
        self._worst, self._skips, self._n = 0.0, 0, 0

    def add(self, times: Sequence[float] | Block) -> None:
        """The times of the next samples, NaN where one is missing. Raises UserError unless they rise."""
        known = np.asarray(times, dtype=np.float64)
        known = known[np.isfinite(known)]
        if not len(known):
            return
        if self._scale is None:
            largest = float(np.abs(known).max())
            self._scale = next((scale for least, scale in _EPOCHS if largest >= least), 1.0)
        if self._last is not None:
            known = np.concatenate([[self._last], known])
        steps = np.diff(known)
        self._last = float(known[-1])
        if not len(steps):
            return
        if self._step is None:
            self._step = float(np.median(steps))
            if self._step <= 0:
                raise UserError(
                    f"the times of {self._name} do not rise (median step {self._step:g}). Sort its rows by "
                    "time, or rename the column if it holds no times."
                )
        ratio = steps / self._step
        self._worst = max(self._worst, float(np.abs(ratio - 1).max()))
        self._skips += int((ratio > SKIP).sum())
        self._n += len(steps)

    @property
    def rate(self) -> float | None:
        """Samples per second, None for fewer than two times."""
        if self._step is None or self._scale is None:
            return None
        return float(f"{1.0 / (self._step * self._scale):.9g}")  # times are rarely written more exactly

    @property
    def jitter(self) -> float | None:
        """Largest difference of a step from the median one, in steps."""
        return round(self._worst, 6) if self._n else None

    @property
    def skips(self) -> int | None:
        """Steps of more than one and a half median ones."""
        return self._skips if self._n else None
