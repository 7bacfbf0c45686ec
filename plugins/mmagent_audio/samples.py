"""A few sounds that the reader can be checked with, and what must not change what is heard in them."""

from __future__ import annotations

import io
import wave
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmagent_audio.sound import Sound, from_array

__all__ = ["channels_turned", "samples"]


def samples() -> Sequence[bytes]:
    """WAV files: a tone, a stereo chord that fades, noise; of several lengths and rates."""
    rng = np.random.default_rng(0)
    t = np.arange(24_000) / 16_000
    chord = (
        np.stack([np.sin(2 * np.pi * hertz * t) for hertz in (330.0, 495.0)], axis=1) * np.exp(-t)[:, None]
    )
    return [
        _wav(0.5 * np.sin(2 * np.pi * 440 * np.arange(2400) / 8000)[:, None], 8000),
        _wav(0.4 * chord, 16_000),
        _wav(0.1 * rng.standard_normal((11_025, 1)), 11_025),
    ]


def channels_turned(sound: Sound, seed: int) -> Sound:
    """The same sound with its channels in another order."""
    order = np.random.default_rng(seed).permutation(sound.channels)
    return from_array(np.concatenate(list(sound.blocks()))[:, order], sound.rate, sound.name)


def _wav(values: NDArray[np.float64], rate: int) -> bytes:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(values.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((values.clip(-1, 1) * 32767).astype("<i2").tobytes())
    return stream.getvalue()
