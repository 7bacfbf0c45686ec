"""The plainest of picture processors, without detours: resize to a fixed size, a number for each level.

A transformers processor takes each picture by itself from Pillow to numpy and back, several times over, which
costs as much as a tenth of a small encoder. But what comes of a level of a channel, by rescaling and
normalising, is one of 256 numbers. These are read off the processor itself, and whether they are all it does
is tried on made pictures, bit by bit; where it does anything else, it is left as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

__all__ = ["Plain", "plain_form"]

PROBES = ((61, 47), (23, 40), (300, 200))  # sizes of the made pictures: some are enlarged, some reduced
LEVELS = 256


@dataclass(frozen=True)
class Plain:
    """Pillow's resizing to `size` (width, height) by the filter `resample`, then `numbers` (3, 256) float32:
    what comes of each level of each channel.
    """

    size: tuple[int, int]
    resample: Image.Resampling
    numbers: NDArray[np.float32]

    def __call__(self, pictures: Sequence[Image.Image]) -> Tensor:
        """`pixel_values` (B, 3, H, W) float32 of RGB pictures, a pixel's channels side by side in memory."""
        made = [one if one.size == self.size else one.resize(self.size, self.resample) for one in pictures]
        levels = np.stack([np.asarray(one) for one in made])  # (B, H, W, 3)
        if (self.numbers == self.numbers[0]).all():
            found = self.numbers[0].take(levels)
        else:
            found = np.stack([row.take(levels[..., at]) for at, row in enumerate(self.numbers)], axis=-1)
        return torch.from_numpy(found).permute(0, 3, 1, 2)


def plain_form(processor: Any) -> Plain | None:
    """What a processor does to RGB pictures, as `Plain`; None where it does anything else."""
    try:
        width, height = int(processor.size["width"]), int(processor.size["height"])
        filters = Image.Resampling(int(processor.resample))
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    if width * height < LEVELS:
        return None
    ramp = (np.arange(width * height) % LEVELS).astype(np.uint8).reshape(height, width, 1).repeat(3, axis=2)
    numbers = _processed(processor, Image.fromarray(ramp))
    if numbers is None or numbers.shape[1:] != (3, height, width):
        return None
    found = Plain((width, height), filters, numbers[0].flatten(1)[:, :LEVELS].contiguous().numpy())
    draw = np.random.default_rng(0)
    for place in PROBES:
        picture = Image.fromarray(draw.integers(0, LEVELS, (place[1], place[0], 3), dtype=np.uint8))
        made = _processed(processor, picture)
        if made is None or not torch.equal(made, found([picture])):
            return None
    return found


def _processed(processor: Any, picture: Image.Image) -> Tensor | None:
    """What a processor makes of a picture, where that is `pixel_values` in float32 and nothing else."""
    made = dict(processor(images=[picture], return_tensors="pt"))
    values = made.pop("pixel_values", None)
    return values if not made and isinstance(values, Tensor) and values.dtype == torch.float32 else None
