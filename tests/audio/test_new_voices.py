"""Words are told apart in voices that were never heard: what colours a voice or a microphone says little."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mmagent_audio.reader import AudioReader
from mmagent_audio.sound import Sound, from_array

RATE = 8000
WORDS = ((300, 2400), (2400, 300), (300, 1200, 300), (1200, 300, 1200), (700, 1800, 3200), (3200, 1800, 700))
KNOWN, VOICES, TIMES = 2, 5, 3  # voices to learn from, of so many, each saying every word so often


def said(word: tuple[int, ...], colour: NDArray[np.float64], rng: np.random.Generator) -> Sound:
    """Tones one after the other, never twice alike, through a filter of gains in dB."""
    parts = []
    for hertz in word:
        n = int(rng.uniform(0.1, 0.2) * RATE)
        parts.append(
            np.sin(2 * np.pi * hertz * rng.uniform(0.93, 1.07) * np.arange(n) / RATE) * np.hanning(n)
        )
    wave = np.concatenate(parts)
    spectrum = np.fft.rfft(wave + 0.02 * rng.standard_normal(len(wave)))
    places = np.linspace(0, 1, len(colour))
    gains = 10 ** (np.interp(np.linspace(0, 1, len(spectrum)), places, colour) / 20)
    return from_array((np.fft.irfft(spectrum * gains, len(wave)) / 4).astype(np.float32), RATE)


def test_a_linear_probe_knows_the_words_of_voices_of_another_colour() -> None:
    model = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is not installed")
    encoder = AudioReader().load_encoder("builtin", device=torch.device("cpu"), dtype=torch.float32)
    right = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        sounds, words, voices = [], [], []
        for voice in range(VOICES):
            colour = rng.normal(0, 12, 12)
            for number, word in enumerate(WORDS):
                sounds += [said(word, colour, rng) for _ in range(TIMES)]
                words += TIMES * [number]
                voices += TIMES * [voice]
        x, y, new = encoder.encode(sounds).pooled.numpy(), np.array(words), np.array(voices) >= KNOWN
        x = (x - x[~new].mean(axis=0)) / (x[~new].std(axis=0) + 1e-6)
        probe = model.LogisticRegression(C=0.01, max_iter=300).fit(x[~new], y[~new])
        right.append(probe.score(x[new], y[new]))
    assert np.mean(right) > 0.9  # 0.83 where the figures of each of 64 mel bands stand beside the words
