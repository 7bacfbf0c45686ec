"""Times of samples: which column holds them, in which unit, and the rate, jitter and gaps they tell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from mmagent.errors import UserError
from mmagent_series.recognise import TIMES
from mmagent_series.series import Block
from mmagent_series.timing import Gap, Timing

__all__ = ["Clock", "moment", "named_time", "time_scale", "with_unit"]

MOST_GAPS = 500  # that are kept with their places, the longest
MOST_KEPT = 4000  # samples whose times are kept
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
        self._step: float | None = None
        self._worst, self._skips, self._left_out, self._n = 0.0, 0, 0.0, 0
        self._seen, self._stride = 0, 1
        self._origin, self._last = 0.0, (-1, 0.0)  # the first time; the last sample with one, and its time
        self._kept: list[Block] = []  # (n, 2) samples and their times since the first
        self._gaps = np.zeros((0, 4))  # sample before, its time, the next time, samples left out

    def add(self, times: Sequence[float] | Block) -> None:
        """The times of the next samples, NaN where one is missing. Raises UserError unless they rise."""
        given = np.asarray(times, dtype=np.float64)
        places = self._seen + np.flatnonzero(np.isfinite(given))
        known = given[np.isfinite(given)]
        self._seen += len(given)
        if not len(known):
            return
        if self._scale is None:
            largest = float(np.abs(known).max())
            self._scale = next((scale for least, scale in _EPOCHS if largest >= least), 1.0)
        if self._last[0] < 0:
            self._origin = float(known[0])
        known = known - self._origin
        self._keep(np.stack([places, known], axis=1))
        if self._last[0] >= 0:
            places, known = np.append(self._last[0], places), np.append(self._last[1], known)
        self._last = (int(places[-1]), float(known[-1]))
        steps = np.diff(known)
        if not len(steps):
            return
        if self._step is None:
            self._step = float(np.median(steps))
            if self._step <= 0:
                raise UserError(
                    f"the times of {self._name} do not rise (median step {self._step:g}). Sort its rows by "
                    "time, or rename the column if it holds no times."
                )
        ratio = steps / self._step - (np.diff(places) - 1)  # a sample whose time is missing is there
        self._worst = max(self._worst, float(np.abs(ratio - 1).max()))
        long = np.flatnonzero(ratio > SKIP)
        self._skips += len(long)
        self._left_out += float(np.rint(ratio[long] - 1).sum())
        self._n += len(steps)
        found = np.stack([places[long], known[long], known[long + 1], np.rint(ratio[long] - 1)], axis=1)
        gaps = np.concatenate([self._gaps, found])
        self._gaps = gaps[np.argsort(-gaps[:, 3], kind="stable")[:MOST_GAPS]]

    def _keep(self, rows: Block) -> None:
        """Some of the samples and times, evenly spread over all there are."""
        self._kept.append(rows[rows[:, 0] % self._stride == 0])
        while sum(map(len, self._kept)) > MOST_KEPT:
            self._stride *= 2
            whole = np.concatenate(self._kept)
            self._kept = [whole[whole[:, 0] % self._stride == 0]]

    @property
    def rate(self) -> float | None:
        """Samples per second, None for fewer than two times."""
        if self._step is None or self._scale is None:
            return None
        return float(f"{1.0 / (self._step * self._scale):.9g}")  # times are rarely written more exactly

    @property
    def timing(self) -> Timing | None:
        """What the times tell beside the rate, None for fewer than two."""
        if self._step is None or self._scale is None:
            return None
        gaps = self._gaps[np.argsort(self._gaps[:, 0])]
        edges = [gaps[:, :2], np.stack([gaps[:, 0] + 1, gaps[:, 2]], axis=1)]
        told = np.concatenate([*self._kept, *edges, [self._last]])
        places, first = np.unique(told[:, 0].astype(np.int64), return_index=True)
        return Timing(
            jitter=round(self._worst, 6),
            skips=self._skips,
            left_out=int(self._left_out),
            gaps=tuple(
                Gap(int(at), (start + self._step) * self._scale, stop * self._scale, int(samples))
                for at, start, stop, samples in gaps.tolist()
            ),
            places=places,
            seconds=told[first, 1] * self._scale,
            step=self._step * self._scale,
            last=self._seen - 1,
        )
