"""Another sampling rate, in a stream: a windowed-sinc low-pass filter as one matrix product.

Output sample k lies at k * M / L input samples, L / M being the ratio of the rates in lowest terms; so L
filters (one per phase), each applied every M samples, give L outputs per M inputs (polyphase; Crochiere and
Rabiner, Multirate Digital Signal Processing, 1983, section 3.3; the layout as in torchaudio's `resample`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction

import torch
from torch import Tensor

__all__ = ["Resampler", "resample", "resampled"]

ZERO_CROSSINGS = 24  # of the sinc on either side: the pass band ends at about 0.95 of the lower Nyquist rate
ROLLOFF = 0.97  # of the lower Nyquist rate is the filter's cut-off
LARGEST = 16_000_000  # weights of a filter bank; where it would have more, the nearest ratio is taken


class Resampler:
    """Mono samples in, pieces of any length; samples at the target rate out, the same whatever the pieces.

    Before the first and after the last sample there is silence. N samples give ceil(N * target / rate). Rates
    without a common measure are taken at the nearest ratio, off by less than 2e-4 (a third of a cent).
    """

    def __init__(self, rate: float, target: float) -> None:
        if rate <= 0 or target <= 0:
            raise ValueError(f"rates are positive, not {rate} and {target}")
        apart = max(rate, target) / min(rate, target)
        more = Fraction(apart).limit_denominator(max(1, int((LARGEST / apart) ** 0.5)))
        large, small = more.numerator, more.denominator
        self.up, self.down = (small, large) if rate > target else (large, small)  # L, M
        self._kernel, self._width = _kernel(self.up, self.down)
        self._held = torch.zeros(self._width)
        self._seen = self._given = 0

    def push(self, samples: Tensor) -> Tensor:
        """The samples (any number) that can be given now, after these have come in. samples (n,) float32."""
        self._seen += len(samples)
        return self._give(samples)

    def flush(self) -> Tensor:
        """What is left once the last sample has come in."""
        wanted = math.ceil(self._seen * self.up / self.down) - self._given
        return self._give(torch.zeros(self._width + 2 * self.down + self._kernel.shape[-1]))[:wanted]

    def _give(self, samples: Tensor) -> Tensor:
        self._held = torch.cat([self._held, samples])
        size = self._kernel.shape[-1]
        steps = (len(self._held) - size) // self.down + 1
        if steps <= 0:
            return samples.new_zeros(0)
        made = self._held.unfold(0, size, self.down) @ self._kernel.T  # (steps, L)
        self._held = self._held[steps * self.down :].clone()
        self._given += made.numel()
        return made.reshape(-1)


def resampled(pieces: Iterable[Tensor], rate: float, target: float) -> Iterator[Tensor]:
    """Pieces of a mono sound at another rate; each (n,) float32."""
    if rate == target:
        yield from pieces
        return
    stream = Resampler(rate, target)
    for piece in pieces:
        yield stream.push(piece)
    yield stream.flush()


def resample(samples: Tensor, rate: float, target: float) -> Tensor:
    """A whole mono sound (N,) at another rate."""
    return torch.cat(list(resampled([samples], rate, target)))


def _kernel(up: int, down: int) -> tuple[Tensor, int]:
    """Filters (L, M + 2 * width) of all phases, and how many input samples they reach back."""
    cutoff = ROLLOFF * min(1.0, up / down)  # as a share of the input's Nyquist rate
    width = math.ceil(ZERO_CROSSINGS / cutoff)
    at = torch.arange(-width, down + width, dtype=torch.float64)  # input samples
    phase = torch.arange(up, dtype=torch.float64) * down / up  # where each output lies
    distance = (at - phase[:, None]) * cutoff
    window = torch.cos(distance.clamp(-ZERO_CROSSINGS, ZERO_CROSSINGS) * math.pi / ZERO_CROSSINGS / 2) ** 2
    filters = torch.sinc(distance) * window
    return (filters / filters.sum(1, keepdim=True)).float(), width  # a constant stays as it is
