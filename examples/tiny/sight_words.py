"""Visual words: what an encoder sees, written as words that the core knows from text.

A picture's feature vector is projected on `N_WORDS` standardised directions; each direction is cut into
`N_LEVELS` equally likely levels, and level l of direction i is the word <v{i}.{l}> (product quantisation,
Jegou et al. 2011; finite scalar levels, Mentzer et al. 2023). The core meets these words long before there
is an encoder: a class is a random point, its examples are noisy copies, written in words. So it learns from
text alone to compare near matches.
"""

from __future__ import annotations

import random
from statistics import NormalDist

N_WORDS = 16
N_LEVELS = 8
THRESHOLDS = tuple(NormalDist().inv_cdf(k / N_LEVELS) for k in range(1, N_LEVELS))
WORDS = tuple(f"<v{i}.{level}>" for i in range(N_WORDS) for level in range(N_LEVELS))


def write(point: list[float]) -> str:
    """(N_WORDS,) standard coordinates to their words, without spaces."""
    return "".join(f"<v{i}.{sum(x > t for t in THRESHOLDS)}>" for i, x in enumerate(point))


class Look:
    """A class of invented looks: examples share a centre and differ by noise of variance `noise` (of 1 in
    all).

    Directions differ in how much they tell, as those of a real encoder do.
    """

    def __init__(self, rng: random.Random, noise: list[float]) -> None:
        self.noise = noise
        self.centre = [rng.gauss(0, (1 - w) ** 0.5) for w in noise]

    def example(self, rng: random.Random) -> str:
        """The words of one more example."""
        return write([c + rng.gauss(0, w**0.5) for c, w in zip(self.centre, self.noise, strict=True)])


def noise_profile(rng: random.Random, at_most: float) -> list[float]:
    """Noise variance of each direction of one episode: a common level, some directions worse than others."""
    level = rng.uniform(0, at_most)
    return [min(0.9, max(0.0, level * rng.uniform(0.4, 1.6))) for _ in range(N_WORDS)]
