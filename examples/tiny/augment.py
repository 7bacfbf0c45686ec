"""Pictures in batches: random crops, mirrors, light and slant, all on tensors, so that two cores keep up."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

MEAN = STD = 0.5  # pixels to -1..1, as the bundle's preprocessor_config.json says


def to_tensor(pictures: np.ndarray) -> Tensor:  # type: ignore[type-arg]
    """(B, S, S, 3) uint8 to (B, 3, S, S) float in -1..1."""
    return (torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 255 - MEAN) / STD


def resize(x: Tensor, side: int) -> Tensor:
    """(B, 3, S, S) to (B, 3, side, side), bilinear with antialiasing."""
    return (
        x
        if x.shape[-1] == side
        else F.interpolate(x, (side, side), mode="bilinear", antialias=True, align_corners=False)
    )


def affine(
    x: Tensor,
    side: int,
    rng: torch.Generator,
    *,
    zoom: tuple[float, float],
    shift: float,
    turn: float = 0.0,
    shear: float = 0.0,
    mirror: bool = False,
    fill: float | None = None,
) -> Tensor:
    """A random zoom, shift, turn (radians) and shear of each picture, sampled straight to `side` pixels.

    What comes in from outside is the border pixel, or the value `fill` where given.
    """
    b = len(x)
    u = lambda low, high: torch.empty(b).uniform_(low, high, generator=rng)  # noqa: E731
    scale_x, scale_y = u(*zoom), u(*zoom)
    angle, slant = u(-turn, turn), u(-shear, shear)
    flip = torch.where(u(0, 1) < 0.5, -1.0, 1.0) if mirror else torch.ones(b)
    cos, sin = angle.cos(), angle.sin()
    theta = torch.stack(
        [
            torch.stack([scale_x * cos * flip, -sin * scale_y + slant, u(-shift, shift)], 1),
            torch.stack([scale_x * sin * flip, cos * scale_y, u(-shift, shift)], 1),
        ],
        1,
    )  # (B, 2, 3)
    if x.shape[-1] > 1.4 * side:
        x = resize(x, side)
    grid = F.affine_grid(theta, [b, 3, side, side], align_corners=False)
    if fill is None:
        return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return F.grid_sample(x - fill, grid, mode="bilinear", padding_mode="zeros", align_corners=False) + fill


def light(x: Tensor, rng: torch.Generator, strength: float) -> Tensor:
    """Random brightness, contrast and colour cast."""
    b = len(x)
    gain = torch.empty(b, 3, 1, 1).uniform_(1 - strength, 1 + strength, generator=rng)
    gain = 0.5 * gain + 0.5 * gain.mean(1, keepdim=True)
    lift = torch.empty(b, 1, 1, 1).uniform_(-strength, strength, generator=rng)
    return (x * gain + lift).clamp(-1, 1)


def invert_some(x: Tensor, rng: torch.Generator, share: float) -> Tensor:
    """Some pictures as their negative: white chalk on a black board."""
    flip = (torch.rand(len(x), generator=rng) < share).view(-1, 1, 1, 1)
    return torch.where(flip, -x, x)


def symmetries(x: Tensor, which: Tensor) -> Tensor:
    """Each picture under its own symmetry of the square. x (B, 3, S, S), which (B,) in 0..7: quarter turns,
    from 4 on mirrored first.
    """
    out = x.clone()
    for k in range(1, 8):
        at = which == k
        if at.any():
            part = x[at].flip(3) if k >= 4 else x[at]
            out[at] = torch.rot90(part, k % 4, (2, 3))
    return out


PHOTO = {"zoom": (0.75, 1.05), "shift": 0.12, "mirror": True}
SMALL_PHOTO = {"zoom": (0.8, 1.05), "shift": 0.14, "mirror": True}
DRAWING = {"zoom": (0.85, 1.2), "shift": 0.1, "turn": math.pi / 16, "shear": 0.15, "fill": 1.0}
DIGIT = {"zoom": (0.8, 1.25), "shift": 0.1, "turn": math.pi / 14, "shear": 0.15, "fill": -1.0}
SCENE = {"zoom": (0.97, 1.03), "shift": 0.02}
