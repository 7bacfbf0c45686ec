"""The embedded encoder's network: log-mel spectra to a few vectors in the order of time.

Two convolutions over frequency and time, then residual convolutions over time. What they give is averaged
over `n_segments` stretches of equal *activity*: the network says of each frame how much of the sound is in
it, and the share of activity that has gone by is a clock that runs alike in slow and fast, short and padded
sounds.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmagent_audio.melspec import N_MELS

__all__ = ["EDGE", "Cepstrum", "NetworkConfig", "SoundNetwork", "levelled"]

RANGE = 70.0  # dB below the loudest point of a window are heard
EDGE = 8  # frames of silence put before and after a window
EPSILON = 1e-3
HEARD, SOFTNESS = 1.25, 0.15  # of 20 dB: a frame so far below the loudest counts by a half, and how sharply


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the network.

    channels    of the two convolutions over frequency and time
    width       channels of the convolutions over time
    dilations   one residual block each
    n_segments  stretches of time that are averaged
    d_segment   numbers that each of them gives
    """

    channels: tuple[int, int] = (16, 32)
    width: int = 128
    dilations: tuple[int, ...] = (1, 2, 1, 2)
    n_segments: int = 6
    d_segment: int = 64

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        object.__setattr__(self, "dilations", tuple(self.dilations))


class Residual(nn.Module):
    """Convolution over time, batch norm, ReLU, beside a straight way."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation, bias=False)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, T) to the same."""
        return x + torch.relu(self.norm(self.conv(x)))


class SoundNetwork(nn.Module):
    """(B, N_MELS, T) levelled log-mel spectra to segments (B, n_segments, d_segment)."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        first, second = config.channels
        self.plane = nn.Sequential(
            nn.Conv2d(1, first, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(),
            nn.Conv2d(first, second, 3, stride=(2, 1), padding=1, bias=False),
            nn.BatchNorm2d(second),
            nn.ReLU(),
        )
        self.mix = nn.Sequential(
            nn.Conv1d(second * N_MELS // 4, config.width, 1, bias=False),
            nn.BatchNorm1d(config.width),
            nn.ReLU(),
        )
        self.time = nn.Sequential(*(Residual(config.width, dilation) for dilation in config.dilations))
        self.out = nn.Conv1d(config.width, config.d_segment + 1, 1)  # the last channel is the activity

    def forward(self, mel: Tensor) -> Tensor:
        """(B, N_MELS, T) to (B, n_segments, d_segment)."""
        out = self.out(self.time(self.mix(self.plane(mel.unsqueeze(1)).flatten(1, 2))))  # (B, d + 1, T / 2)
        return segments(out[:, :-1], torch.sigmoid(out[:, -1]), self.config.n_segments)


class Cepstrum(nn.Module):
    """The same without training: cepstral coefficients of each frame, its loudness as its activity."""

    basis: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.config = NetworkConfig(channels=(0, 0), width=0, dilations=(), d_segment=20)
        band, order = torch.arange(N_MELS) + 0.5, torch.arange(self.config.d_segment)
        self.register_buffer(
            "basis", torch.cos(torch.pi / N_MELS * order[:, None] * band) * (2 / N_MELS) ** 0.5
        )

    def forward(self, mel: Tensor) -> Tensor:
        """(B, N_MELS, T) to (B, n_segments, d_segment)."""
        loudness = mel.amax(1)
        below = loudness.amax(1, keepdim=True) - loudness  # of 20 dB
        return segments(self.basis @ mel, torch.sigmoid((HEARD - below) / SOFTNESS), self.config.n_segments)


def segments(frames: Tensor, activity: Tensor, n: int) -> Tensor:
    """Means (B, n, d) of frames (B, d, T) over stretches of equal activity (B, T) that overlap by a half."""
    gone = (activity.cumsum(1) - activity / 2) / activity.sum(1, keepdim=True)  # (B, T) in 0..1
    centres = torch.arange(n, device=frames.device, dtype=frames.dtype) + 0.5
    near = (1 - (gone.unsqueeze(1) * n - centres[:, None]).abs()).clamp(min=0)  # (B, n, T)
    weight = near * activity.unsqueeze(1)
    weight = weight / (weight.sum(2, keepdim=True) + EPSILON)
    return weight @ frames.transpose(1, 2)


def levelled(mel: Tensor) -> Tensor:
    """Spectra (..., N_MELS, T) in dB, whatever their loudness, to -1.75..1.75, the loudest point."""
    top = mel.amax((-2, -1), keepdim=True)
    return ((mel - top).clamp(min=-RANGE) + RANGE / 2) / 20
