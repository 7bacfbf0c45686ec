"""A sound as it might have been made: a little faster or slower, louder or softer, with some noise."""

from __future__ import annotations

import numpy as np
import torch

from mmagent_audio.resample import resample
from mmagent_audio.sound import Sound, from_array

__all__ = ["vary"]

LONGEST = 60.0  # seconds; what lasts longer stays as it is
SPEED = 10  # per cent at most faster or slower; pitch goes with it (Ko et al. 2015)
LOUDNESS = 6.0  # dB at most, up or down
NOISE = (20.0, 60.0)  # dB below the sound


def vary(sound: Sound, seed: int) -> Sound:
    """Another sound that means the same, of the same rate, in mono; equal seeds give equal sounds."""
    if sound.seconds > LONGEST:
        return sound
    rng = np.random.default_rng(seed)
    percent = 100 + int(rng.integers(-SPEED, SPEED + 1))
    wave = resample(torch.cat(list(sound.mono())), percent, 100).numpy()
    level = float(np.sqrt(np.square(wave).mean()))
    noise = rng.standard_normal(len(wave)) * level * 10 ** (-rng.uniform(*NOISE) / 20)
    gain = 10 ** (LOUDNESS * rng.uniform(-1, 1) / 20)
    made = np.clip((wave + noise) * gain, -1, 1).astype(np.float32)
    return from_array(made, sound.rate, sound.name)
