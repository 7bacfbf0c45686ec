"""The profile tells what was put into a series, and the picture shows it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mmagent.profile import ASPECTS, Profile
from mmagent_series.reader import SeriesReader


@pytest.fixture(scope="module")
def made() -> Profile:
    """Of a tone with noise, a ramp with a gap, a copy of the ramp and a still channel, 30 s at 100 Hz."""
    rng = np.random.default_rng(0)
    time = np.arange(3000) / 100
    tone = 4 * np.sin(2 * np.pi * 12.5 * time) + rng.normal(scale=0.05, size=3000)
    ramp = 50 + 2 * time + rng.normal(scale=0.1, size=3000)
    array = np.stack([tone, ramp, -3 * ramp, np.full(3000, 7.0)], axis=1)
    array[600:900, 1] = np.nan
    told = {"values": array, "channels": ["a (V)", "b (N)", "c", "d"], "rate": 100}
    return SeriesReader().profile(SeriesReader().load(told))


def test_every_aspect_is_told_and_is_json(made: Profile):
    assert set(made.aspects) == set(ASPECTS)
    assert all(made.aspects.values())
    assert json.loads(json.dumps(made.aspects)) == made.aspects
    assert made.summary == "series, 3,000 samples of 4 channels, 100 Hz, 30 s"


def test_figures_are_those_of_the_series(made: Profile):
    elements, sampling, structure, information, noise = (made.aspects[name] for name in ASPECTS)
    assert "50 to 110" not in str(elements)
    assert str(elements["b (N)"]).startswith("mean 8")
    assert (sampling["rate (Hz)"], sampling["duration (s)"], sampling["highest frequency (Hz)"]) == (
        100,
        30,
        50,
    )
    assert structure["channels that never change"] == 1
    assert structure["dominant frequency (Hz)"] == pytest.approx(12.5, abs=0.1)
    assert structure["dominant frequency in"] == "a (V)"
    assert structure["strongest trend (deviations over the whole length)"] == pytest.approx(-3.46, abs=0.05)
    assert structure["strongest trend in"] == "c"
    assert str(structure["stationarity"]).startswith("drifts")
    assert information["strongest correlation"] == pytest.approx(-1, abs=0.01)
    assert information["strongest correlation between"] == "b (N) and c"
    assert noise["missing share"] == pytest.approx(300 / 12000)
    assert noise["longest gap (samples)"] == 300
    assert noise["white noise in b (N)"] == pytest.approx(0.1, rel=0.15)


def test_a_line_has_no_frequency_made_of_rounding(reader: SeriesReader):
    lines = np.stack([0.1 * np.arange(500), np.arange(500) + 1e4, np.full(500, 0.3)], axis=1)
    told = reader.profile(reader.load(lines)).aspects
    assert not any(name.startswith("dominant") for name in told["structure"])
    assert told["information"]["spectral entropy (0 a tone, 1 noise, mean)"] is None
    lines[:, 1] += 1e-3 * np.sin(np.arange(500))
    assert reader.profile(reader.load(lines)).aspects["structure"]["dominant frequency in"] == "channel 2"


def test_tone_and_noise_lie_at_the_ends_of_spectral_entropy(reader: SeriesReader):
    tone, noise = np.sin(np.arange(2000) / 3), np.random.default_rng(0).normal(size=2000)
    key = "spectral entropy (0 a tone, 1 noise, mean)"
    found = [reader.profile(reader.load(one)).aspects["information"][key] for one in (tone, noise)]
    assert found[0] < 0.25 < 0.9 < found[1]  # type: ignore[operator]
    stationary = reader.profile(reader.load(noise)).aspects["structure"]["stationarity"]
    assert str(stationary).startswith("looks stationary")


def test_an_irregular_clock_is_told(reader: SeriesReader):
    rows = "".join(f"{at + (at > 20) * 3},{at}\n" for at in range(40))
    sampling = reader.profile(reader.load(f"time,a\n{rows}".encode())).aspects["sampling"]
    assert sampling["regular"] is False
    assert sampling["steps longer than one and a half"] == 1


def test_gaps_across_blocks_are_one(reader: SeriesReader, monkeypatch: pytest.MonkeyPatch):
    array = np.arange(100.0).reshape(50, 2)
    array[5:30, 1] = np.nan
    series = reader.load(array)
    whole = reader.profile(series).aspects
    blocks = type(series).blocks
    monkeypatch.setattr(type(series), "blocks", lambda self: blocks(self, size=7))
    in_pieces = reader.profile(series).aspects
    assert whole["noise"]["longest gap (samples)"] == 25
    for name in ("noise", "elements", "sampling"):
        assert in_pieces[name] == pytest.approx(whole[name], nan_ok=True) or in_pieces[name] == whole[name]


@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (3, 2), (10, 100), (5000, 7)])
def test_series_of_every_size_are_drawn(reader: SeriesReader, shape: tuple[int, int]):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    array = np.random.default_rng(0).normal(size=shape)
    array[:, 0] = 4
    found = reader.profile(reader.load({"values": array, "rate": 10}))
    assert all(found.aspects.values())
    figure = Figure(figsize=(10, 5), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    assert found.draw is not None
    found.draw(figure)
    canvas.draw()
    last = figure.axes[min(shape[1], 6) - 1]
    assert last.get_xlabel() == "time (s)"
    assert figure.axes[-1].get_xlabel() == "frequency (Hz)"
