"""Log-mel spectra as other speakers, rooms and microphones would have made them, in batches of tensors."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mmagent_audio.melspec import N_MELS, mel_centres
from mmagent_audio.network import EDGE, RANGE

FLOOR = -RANGE / 40  # of a levelled spectrum
DECIBELS = 20.0  # to 1 of a levelled spectrum
REVERB = 24  # frames


class Augment:
    """Random variants of levelled spectra, (B, N_MELS, T) each; `rng` decides everything."""

    def __init__(self, frames: int, rng: torch.Generator) -> None:
        self.frames, self.rng = frames, rng
        self.hertz = mel_centres()[1:-1].float()

    def __call__(self, spectra: list[Tensor]) -> Tensor:
        """Spectra (N_MELS, T_i) to (B, N_MELS, frames)."""
        x = self.warp(spectra)
        x = self.reverb(self.equalise(x))
        x = self.band_limit(self.noise(x))
        top = x.amax((1, 2), keepdim=True)
        x = (x - top + RANGE / 2 / DECIBELS).clamp(min=FLOOR)
        return self.mask(x)

    def u(self, n: int, low: float, high: float, *shape: int) -> Tensor:
        """(n, *shape) uniform numbers."""
        return torch.empty(n, *shape).uniform_(low, high, generator=self.rng)

    def warp(self, spectra: list[Tensor]) -> Tensor:
        """Another vocal tract (other frequencies; Jaitly and Hinton 2013), another tempo, another place."""
        b, room = len(spectra), self.frames - 2 * EDGE
        length = torch.tensor([float(one.shape[1]) for one in spectra])
        widest = int(length.max())
        padded = torch.stack([F.pad(one, (0, widest - one.shape[1]), value=FLOOR) for one in spectra])
        made = (length * 2 ** self.u(b, -0.45, 0.45)).clamp(4, room)  # frames that it takes
        begin = EDGE + self.u(b, 0, 1) * (room - made)
        at = (torch.arange(self.frames) - begin[:, None]) / made[:, None]  # 0..1 within the sound
        bend = self.u(b, -0.1, 0.1)[:, None]
        at = at + bend * torch.sin(torch.pi * at) * ((at > 0) & (at < 1))
        x = (at * length[:, None] + 0.5) / widest * 2 - 1  # (B, frames)
        ratio = 2 ** self.u(b, -0.3, 0.3)[:, None]
        edge = 2595 * torch.log10(1 + torch.stack([self.hertz[0], self.hertz[-1]]) / 700)
        mel = 2595 * torch.log10(1 + self.hertz * ratio / 700)  # (B, N_MELS)
        y = ((mel - edge[0]) / (edge[1] - edge[0]) * (N_MELS - 1) + 0.5) / N_MELS * 2 - 1
        grid = torch.stack(
            [x[:, None].expand(-1, N_MELS, -1), y[:, :, None].expand(-1, -1, self.frames)], dim=3
        )
        moved = F.grid_sample(padded[:, None] - FLOOR, grid, padding_mode="zeros", align_corners=False)
        return moved[:, 0] + FLOOR

    def equalise(self, x: Tensor) -> Tensor:
        """A smooth response over frequency, up to about 10 dB."""
        band = torch.linspace(0, torch.pi, N_MELS)
        waves = torch.stack([torch.cos(k * band) for k in (1, 2, 3, 4)])
        gain = torch.randn(len(x), 4, generator=self.rng) * torch.tensor([5.0, 3.0, 2.0, 1.5])
        return (x + (gain @ waves)[:, :, None] / DECIBELS).clamp(min=FLOOR)

    def reverb(self, x: Tensor) -> Tensor:
        """Some in a room: the power of each band dies away over time."""
        b = len(x)
        decay = 10 ** (-6 / (self.u(b, 8, 50)))  # 60 dB in so many frames
        wet = 10 ** self.u(b, -2.5, -0.7) * (self.u(b, 0, 1) < 0.4)
        tail = decay[:, None] ** torch.arange(REVERB) * wet[:, None]
        tail[:, 0] = 1
        power = 10 ** (x * DECIBELS / 10)
        power = F.conv1d(
            F.pad(power, (REVERB - 1, 0), value=10 ** (FLOOR * DECIBELS / 10)).transpose(0, 1),
            tail.flip(1)[:, None],
            groups=b,
        ).transpose(0, 1)
        return 10 * power.log10() / DECIBELS

    def noise(self, x: Tensor) -> Tensor:
        """Steady noise of a random colour, 3 to 70 dB below the loudest point."""
        b = len(x)
        top = x.amax((1, 2), keepdim=True) * DECIBELS
        tilt = self.u(b, -12, 12, 1, 1) * torch.linspace(-1, 1, N_MELS)[:, None]
        level = top - self.u(b, 3, 70, 1, 1) + tilt
        rough = level + 4 * torch.randn(x.shape, generator=self.rng)
        power = 10 ** (x * DECIBELS / 10) + 10 ** (rough / 10)
        return 10 * power.log10() / DECIBELS

    def band_limit(self, x: Tensor) -> Tensor:
        """Some as over a telephone or at 8 kHz: nothing above, or nothing below."""
        b = len(x)
        high = torch.where(self.u(b, 0, 1) < 0.5, self.u(b, 3400, 4000), torch.full((b,), 9e9))
        low = torch.where(self.u(b, 0, 1) < 0.2, self.u(b, 100, 350), torch.zeros(b))
        out = (self.hertz > high[:, None]) | (self.hertz < low[:, None])
        return x.masked_fill(out[:, :, None], -9.0)

    def mask(self, x: Tensor) -> Tensor:
        """A stretch of time and one of frequency left out (SpecAugment; Park et al. 2019)."""
        for axis, most in ((1, 10), (2, 10)):
            size = x.shape[axis]
            begin, wide = self.u(len(x), 0, size)[:, None], self.u(len(x), 0, most)[:, None]
            at = torch.arange(size)
            out = (at >= begin) & (at < begin + wide)
            x = x.masked_fill(out.unsqueeze(3 - axis), FLOOR)
        return x
