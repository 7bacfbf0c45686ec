"""Clips that are arrays already."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmagent.errors import UserError
from mmagent_video.clip import Frame, check_film

__all__ = ["Stack"]

ARRAYS = "An array is (T, H, W, 3) or (T, H, W) of uint8, or of floats from 0 to 1."


class Stack:
    """A clip of (T, H, W, 3) values, or (T, H, W) grey ones, perhaps memory-mapped: frames are read singly.

    uint8 is taken as it is, floats from 0 to 1 times 255, bool as black and white.
    """

    kind, codec, name = "array", "none", "the array"

    def __init__(self, array: NDArray[Any], fps: object = None) -> None:
        """Raises `UserError` for another shape or type, and for a rate that cannot be."""
        if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] not in (1, 3)):
            turned = array.ndim == 4 and array.shape[1] in (1, 3)
            hint = " The channels come last: array.transpose(0, 2, 3, 1)." if turned else ""
            raise UserError(f"{self.name} has the shape {array.shape}, which is no clip. {ARRAYS}{hint}")
        if array.dtype not in (np.uint8, np.bool_) and not np.issubdtype(array.dtype, np.floating):
            raise UserError(f"{self.name} holds {array.dtype} values, which are no pixels. {ARRAYS}")
        self._array = array
        self.n_frames, self.height, self.width = array.shape[:3]
        self.n_announced, self.n_bytes = self.n_frames, array.nbytes
        self.fps = _rate(fps)
        self.seconds = None if self.fps is None else self.n_frames / self.fps
        check_film(self)

    def frames(self, numbers: Sequence[int]) -> Iterator[Frame]:
        """The frames of these numbers; where no rate is known, a second has one frame."""
        for number in numbers:
            values = self._array[number]
            if values.dtype != np.uint8:
                if not (values.min() >= 0 and values.max() <= 1):  # also where there is a NaN
                    low, high = values.min(), values.max()
                    raise UserError(
                        f"frame {number + 1} of {self.name} holds values from {low} to {high}; they must lie "
                        f"from 0 to 1. {ARRAYS}"
                    )
                values = np.rint(values * 255.0).astype(np.uint8)
            if values.ndim == 2 or values.shape[2] == 1:
                values = np.repeat(values.reshape(self.height, self.width, 1), 3, axis=2)
            yield Frame(number, number / (self.fps or 1.0), np.ascontiguousarray(values))


def _rate(fps: object) -> float | None:
    if fps is None:
        return None
    if isinstance(fps, bool) or not isinstance(fps, int | float | np.number) or not math.isfinite(fps):
        raise UserError(f"the array's rate (fps) is {fps!r:.40}; give frames per second, such as 25.")
    return float(fps)
