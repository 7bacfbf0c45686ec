"""Log-mel spectra of mono sound: what the embedded encoder hears.

Hann window of 25 ms every 10 ms, power spectrum, triangular filters evenly spread on the mel scale (HTK's:
2595 log10(1 + f / 700)), in decibels.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

__all__ = ["HOP", "N_MELS", "RATE", "WINDOW", "log_mel", "mel_centres"]

RATE = 16_000  # Hz
WINDOW, HOP, N_FFT = 400, 160, 512  # samples
N_MELS = 64
LOWEST, HIGHEST = 60.0, 7600.0  # Hz
SILENCE = 1e-10  # power; -100 dB


def log_mel(samples: Tensor) -> Tensor:
    """(N,) float32 in -1..1 at 16 kHz to (N_MELS, T) in dB, T = N // HOP + 1; the first frame is centred on
    the first sample.
    """
    padded = torch.nn.functional.pad(samples, (WINDOW // 2, WINDOW // 2 + HOP))
    frames = padded.unfold(0, WINDOW, HOP)[: len(samples) // HOP + 1]
    power = torch.fft.rfft(frames * torch.hann_window(WINDOW), N_FFT).abs().square()  # (T, N_FFT // 2 + 1)
    banded: Tensor = power @ _filters() / WINDOW
    return 10 * (banded + SILENCE).log10().T


@lru_cache
def mel_centres() -> Tensor:
    """(N_MELS + 2,) Hz: the filters' centres, and the ends of the first and the last of them."""
    low, high = (2595 * math.log10(1 + f / 700) for f in (LOWEST, HIGHEST))
    return 700 * (10 ** (torch.linspace(low, high, N_MELS + 2, dtype=torch.float64) / 2595) - 1)


@lru_cache
def _filters() -> Tensor:
    """(N_FFT // 2 + 1, N_MELS) triangles of height 1, each at least as wide as one line of the spectrum."""
    lines = torch.linspace(0, RATE / 2, N_FFT // 2 + 1, dtype=torch.float64)[:, None]
    edges, least = mel_centres(), RATE / N_FFT
    below = torch.maximum(edges[1:-1] - edges[:-2], torch.tensor(least))
    above = torch.maximum(edges[2:] - edges[1:-1], torch.tensor(least))
    offset = lines - edges[1:-1]
    return torch.minimum(1 + offset / below, 1 - offset / above).clamp(min=0).float()
