"""Another rate: against scipy, piece by piece, at the edges; and sounds that are varied."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mmagent_audio.melspec import N_MELS, log_mel, mel_centres
from mmagent_audio.reader import AudioReader
from mmagent_audio.resample import Resampler, resample
from mmagent_audio.sound import from_array

RATES = (8000, 11_025, 22_050, 44_100, 48_000, 96_000)


def sine(hertz: float, rate: float, count: int) -> torch.Tensor:
    """A tone, computed in double precision."""
    return torch.sin(2 * math.pi * hertz * torch.arange(count, dtype=torch.float64) / rate).float()


@pytest.mark.parametrize("rate", RATES)
def test_a_tone_stays_what_it_is(rate: int) -> None:
    for hertz in (100.0, 0.4 * min(rate, 16_000)):
        made = resample(sine(hertz, rate, rate), rate, 16_000)
        assert len(made) == 16_000
        wanted = sine(hertz, 16_000, 16_000)
        assert (made - wanted)[200:-200].abs().max() < 2e-3
    assert torch.allclose(resample(torch.ones(rate), rate, 16_000)[200:-200], torch.ones(1), atol=1e-4)


def test_what_the_new_rate_cannot_hold_is_gone() -> None:
    for hertz in (8600.0, 12_000.0, 20_000.0):
        assert resample(sine(hertz, 44_100, 44_100), 44_100, 16_000)[200:-200].abs().max() < 3e-3


def test_it_is_near_to_scipy() -> None:
    signal = pytest.importorskip("scipy.signal", reason="scipy is not installed")
    noise = np.random.default_rng(0).standard_normal(44_100)
    spectrum = np.fft.rfft(noise)
    spectrum[7000:] = 0
    smooth = np.fft.irfft(spectrum)
    ours = resample(torch.from_numpy(smooth).float(), 44_100, 16_000).numpy()
    theirs = signal.resample_poly(smooth, 160, 441, window=("kaiser", 12.0))
    assert np.abs(ours - theirs)[500:-500].max() < 0.03 * np.abs(theirs).max()


@pytest.mark.parametrize("size", [1, 160, 777, 100_000])
def test_pieces_change_nothing(size: int) -> None:
    wave = torch.randn(3000, generator=torch.Generator().manual_seed(0))
    for rate in (8000, 44_100, 767_999):
        stream = Resampler(rate, 16_000)
        made = torch.cat([*(stream.push(piece) for piece in wave.split(size)), stream.flush()])
        assert torch.allclose(made, resample(wave, rate, 16_000), atol=1e-5)
        assert len(made) == math.ceil(3000 * stream.up / stream.down)


def test_odd_rates_need_no_huge_filters() -> None:
    for rate in (1009, 15_999, 16_016, 44_056, 767_999):
        stream = Resampler(rate, 16_000)
        assert stream.up / stream.down == pytest.approx(16_000 / rate, rel=2e-4)
        assert stream._kernel.numel() < 2e7


def test_mel_bands_hear_their_frequencies() -> None:
    centres = mel_centres()[1:-1]
    for band in (5, 20, 40, 60):
        heard = log_mel(0.5 * sine(float(centres[band]), 16_000, 16_000))
        assert heard.shape == (N_MELS, 101)
        assert abs(int(heard[:, 50].argmax()) - band) <= 1
    assert log_mel(torch.zeros(1)).shape == (N_MELS, 1)
    assert float(log_mel(torch.zeros(400)).max()) == pytest.approx(-100)


def test_varied_sounds_mean_the_same() -> None:
    reader, rate = AudioReader(), 8000
    sound = from_array(0.3 * sine(440, rate, rate).numpy(), rate)
    made = [reader.vary(sound, seed) for seed in range(8)]
    assert len({reader.fingerprint(one) for one in made}) == 8
    assert reader.fingerprint(reader.vary(sound, 3)) == reader.fingerprint(made[3])
    for one in made:
        assert one.rate == rate
        assert 0.9 <= one.seconds <= 1.12
        pitch = reader.profile(one).aspects["structure"]["fundamental, median (Hz)"]
        assert 440 / 1.12 < float(pitch or 0) < 440 * 1.12
    assert max(one.seconds for one in made) - min(one.seconds for one in made) > 0.05
