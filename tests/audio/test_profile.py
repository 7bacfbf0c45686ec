"""What a profile says of sounds whose figures are known, and its picture."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmagent.profile import ASPECTS, Profile
from mmagent_audio.reader import AudioReader
from mmagent_audio.sound import from_array
from mmagent_audio.survey import Survey

RATE = 16_000
TIME = np.arange(RATE) / RATE
NOISE = np.random.default_rng(0).standard_normal(RATE)


def told(samples: Any, rate: int = RATE) -> dict[str, Any]:
    """Everything that is told of samples, whatever its aspect."""
    profile = of(samples, rate)
    assert list(profile.aspects) == list(ASPECTS)
    return {name: value for aspect in profile.aspects.values() for name, value in aspect.items()}


def of(samples: Any, rate: int = RATE) -> Profile:
    """The profile of samples."""
    return AudioReader().profile(from_array(np.asarray(samples, np.float32), rate))


def test_levels() -> None:
    wave = 0.5 * np.sin(2 * np.pi * 400 * TIME)
    found = told(wave)
    assert found["peak (dBFS)"] == pytest.approx(-6.02, abs=0.01)
    assert found["level, RMS (dBFS)"] == pytest.approx(-9.03, abs=0.01)
    assert found["crest factor (dB)"] == pytest.approx(3.01, abs=0.01)
    assert found["DC offset (of full scale)"] == pytest.approx(0, abs=1e-6)
    assert told(wave + 0.25)["DC offset (of full scale)"] == pytest.approx(0.25, abs=1e-6)
    assert found["clipped samples (share)"] == 0
    loud = np.clip(2 * np.sin(2 * np.pi * 400 * TIME), -1, 1)  # beyond 1 for two thirds of the time
    assert told(loud)["clipped samples (share)"] == pytest.approx(2 / 3, abs=0.03)


def test_frequencies() -> None:
    for hertz in (82.4, 220.0, 440.0, 880.0):
        wave = sum(0.3 / k * np.sin(2 * np.pi * k * hertz * TIME) for k in (1, 2, 3))
        found = told(wave)
        assert found["fundamental, median (Hz)"] == pytest.approx(hertz, rel=0.01)
        assert found["frames with a pitch (share)"] == 1
        assert hertz < found["spectral centroid (Hz)"] < 2 * hertz
        assert found["spectral flatness (0 tone, 1 white noise)"] < 0.01
        assert of(wave).summary.startswith("steady tone, 1.00 s, 16,000 Hz, mono")
    noisy = told(0.1 * NOISE)
    assert noisy["spectral centroid (Hz)"] == pytest.approx(4000, rel=0.05)
    assert noisy["spectral rolloff, 85 % (Hz)"] == pytest.approx(0.85 * 8000, rel=0.05)
    assert noisy["spectral flatness (0 tone, 1 white noise)"] > 0.9
    assert noisy["fundamental, median (Hz)"] is None
    assert of(0.1 * NOISE).summary.startswith("noise-like sound")


def test_noise_and_silence() -> None:
    wave = 0.5 * np.sin(2 * np.pi * 400 * TIME)
    for share in (0.05, 0.005):
        wanted = 20 * math.log10(0.5 / math.sqrt(2) / share)
        assert told(wave + share * NOISE)["sound to noise, estimated (dB)"] == pytest.approx(wanted, abs=2)
    assert told(0.1 * NOISE)["sound to noise, estimated (dB)"] == pytest.approx(0, abs=2.5)
    found = told(np.concatenate([wave, np.zeros(RATE)]))
    assert found["silence (share of time)"] == pytest.approx(0.5, abs=0.03)
    assert found["digital silence (share of samples)"] == pytest.approx(0.5, abs=0.01)
    silence = told(np.zeros(RATE))
    assert silence["level, RMS (dBFS)"] is None
    assert of(np.zeros(RATE)).summary.startswith("silence")


def test_information() -> None:
    wave = 0.5 * np.sin(2 * np.pi * 400 * TIME)
    same, other = (told(np.stack([wave, right], 1)) for right in (wave, 0.1 * NOISE))
    assert same["correlation of left and right"] == pytest.approx(1)
    assert abs(other["correlation of left and right"]) < 0.05
    assert told(wave)["correlation of left and right"] is None
    assert told(np.zeros(RATE))["entropy of a sample (bits, of 8)"] == 0
    even = np.random.default_rng(0).uniform(-1, 1, RATE)
    assert told(even)["entropy of a sample (bits, of 8)"] == pytest.approx(8, abs=0.05)
    packed = "compressed by zlib to (share of 16-bit samples)"
    assert told(wave)[packed] < 0.1 < 0.9 < told(even)[packed]
    assert told(wave)["correlation of neighbouring samples"] == pytest.approx(
        math.cos(2 * math.pi * 400 / RATE), abs=1e-3
    )


def test_the_stored_form_is_told(written: Callable[..., bytes], tone: Callable[..., Any]) -> None:
    reader = AudioReader()
    found = reader.profile(reader.load(written(tone(rate=44_100, channels=2), 44_100, "WAV", "PCM_24")))
    assert found.aspects["elements"]["bit depth (bits)"] == 24
    assert found.aspects["sampling"]["sampling rate (Hz)"] == 44_100
    assert found.aspects["sampling"]["duration (s)"] == 0.5
    assert found.summary.endswith("0.50 s, 44,100 Hz, stereo")


def test_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = from_array((0.1 * NOISE).astype(np.float32), RATE)
    whole = AudioReader().profile(sound)
    blocks = type(sound).blocks
    monkeypatch.setattr(type(sound), "blocks", lambda self, size=777: blocks(self, 777))
    pieces = AudioReader().profile(sound)
    for aspect in ASPECTS:
        for name, value in whole.aspects[aspect].items():
            assert pieces.aspects[aspect][name] == pytest.approx(value), name


def test_the_picture_has_axes_with_units(tmp_path: Path) -> None:
    figures = pytest.importorskip("matplotlib.figure", reason="matplotlib is not installed")
    wave = np.concatenate([np.zeros(RATE), 0.5 * np.sin(2 * np.pi * 1000 * TIME)])
    for samples, unit in ((wave, "s"), (np.tile(wave, 160), "min"), (wave[:1], "s")):
        figure = figures.Figure(figsize=(8, 5), layout="constrained")
        profile = of(samples)
        assert profile.draw is not None
        profile.draw(figure)
        figure.savefig(tmp_path / "sound.png")
        above, below = figure.axes[:2]
        assert below.get_xlabel() == f"time ({unit})"
        assert "Hz" in below.get_ylabel()
        assert "full scale" in above.get_ylabel()
        assert above.get_ylim()[1] > np.abs(samples).max()
    assert (tmp_path / "sound.png").stat().st_size > 5000


def test_the_spectrogram_shows_when_and_how_high() -> None:
    found = Survey(from_array(np.concatenate([np.zeros(RATE), np.sin(2000 * np.pi * TIME)]), RATE))
    early, late = (found.columns[:, part] for part in (slice(0, 400), slice(500, 900)))
    assert np.nanmax(early) < 1e-6 < np.nanmax(late)
    line = int(np.nanargmax(np.nanmean(late, axis=1)))
    assert line * RATE / found.n_fft == pytest.approx(1000, abs=RATE / found.n_fft)


@pytest.mark.parametrize("frames", [1, 10])
def test_of_a_handful_of_samples_little_is_told_and_each_is_drawn(frames: int) -> None:
    made = of(0.1 * NOISE[:frames])
    found = {name: value for aspect in made.aspects.values() for name, value in aspect.items()}
    assert made.summary.startswith("sound, ")
    for name in (
        "fundamental, median (Hz)",
        "entropy of the spectrum (bits)",
        "sound to noise, estimated (dB)",
    ):
        assert found[name] is None
    figure = pytest.importorskip("matplotlib.figure").Figure()
    assert made.draw is not None
    made.draw(figure)
    dots = [line for line in figure.axes[0].lines if line.get_marker() == "."]
    assert [len(np.asarray(line.get_xdata())) for line in dots] == [frames]


def test_channels_that_cancel_are_no_silence() -> None:
    left = 0.5 * np.sin(2 * np.pi * 440 * TIME)
    made = of(np.stack([left, -left], axis=1))
    assert made.summary.startswith("sound whose channels cancel each other, 1.00 s")
    assert made.aspects["structure"]["silence (share of time)"] is None
    assert made.aspects["information"]["correlation of left and right"] == pytest.approx(-1)


def test_what_nobody_hears_moves_no_pitch() -> None:
    t = np.arange(96_000) / 96_000
    both = np.stack([0.5 * np.sin(2 * np.pi * hertz * t) for hertz in (440, 30_000)], axis=1)
    assert told(both, 96_000)["fundamental, median (Hz)"] == pytest.approx(440, abs=1)
    assert told(both[:, 1], 96_000)["fundamental, median (Hz)"] is None
