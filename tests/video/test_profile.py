"""What `mmagent inspect` says about a clip is computed from its frames."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmagent.profile import ASPECTS
from mmagent_video.profile import PROFILED, STRETCHES, looked_at
from mmagent_video.reader import VideoReader

Make = Callable[..., Any]


def told(source: object) -> dict[str, Any]:
    """Everything that a profile says, by its name."""
    found = VideoReader().profile(VideoReader().load(source))
    assert list(found.aspects) == list(ASPECTS)
    return {"summary": found.summary} | {k: v for one in found.aspects.values() for k, v in one.items()}


@pytest.mark.parametrize("way", ["left", "right", "up", "down"])
def test_which_way_things_move(moving: Make, animation: Make, way: str) -> None:
    found = told(animation(moving(way, 9)))
    assert found["direction"] == way
    assert found["direction agrees (0 to 1)"] > 0.9
    assert found["summary"].endswith(f"64 x 48, 9 frames at 10 a second, 0.90 s; moves {way}")
    assert (found["frames"], found["file format"], found["coding"]) == (9, "GIF", "LZW")


def test_colours_are_shares_of_the_picture(moving: Make) -> None:
    """An even ground is one colour, though it lies between two names; the square is a sixteenth of it."""
    assert told(np.full((3, 8, 8, 3), 30, np.uint8))["colours, by area"] == "black 100 %"
    square = moving("right", 3, size=(48, 48), step=0)
    assert told(square)["colours, by area"] == "white 94 %, red 6 %"


def test_a_cut_is_found_where_it_is(moving: Make) -> None:
    frames = np.concatenate([moving("left", 10), 255 - moving("left", 10)])
    found = told({"frames": frames, "fps": 10})
    assert (found["cuts"], found["cuts at (s)"]) == (1, "1.00")
    assert told({"frames": frames[:10], "fps": 10})["cuts"] == 0


def test_repeated_frames_are_redundancy(moving: Make) -> None:
    frames = moving("left", 10)
    doubled = np.repeat(frames, 2, axis=0)
    once, twice = told(frames), told(doubled)
    assert once["frames equal to the one before (share)"] == 0
    assert twice["frames equal to the one before (share)"] == pytest.approx(10 / 19, abs=1e-3)
    assert twice["redundancy between frames (share)"] > once["redundancy between frames (share)"]
    there_and_back = told(np.concatenate([frames, frames[::-1]]))
    assert there_and_back["frames equal to an earlier one (share)"] == 0.5


def test_noise_and_entropy_are_measured(moving: Make) -> None:
    rng = np.random.default_rng(0)
    frames = moving("left", 6).astype(float)
    grey = rng.normal(0, 6, frames.shape[:3])[..., None]
    noisy = told((frames + grey).clip(0, 255).astype(np.uint8))
    clean = told(moving("left", 6))
    assert clean["noise of brightness (standard deviation, 0 to 255)"] == 0
    assert noisy["noise of brightness (standard deviation, 0 to 255)"] == pytest.approx(6, rel=0.15)
    assert noisy["entropy of brightness (bits/pixel)"] > clean["entropy of brightness (bits/pixel)"] + 2


def test_a_long_clip_is_looked_at_in_stretches_of_neighbours(moving: Make) -> None:
    numbers = looked_at(10_000)
    assert len(numbers) == PROFILED
    assert (numbers[0], numbers[-1]) == (0, 9_999)
    assert sum(b != a + 1 for a, b in itertools.pairwise(numbers)) == STRETCHES - 1
    frames = np.tile(moving("left", 10, size=(16, 32), side=4), (100, 1, 1, 1))
    found = told({"frames": frames, "fps": 10})
    assert (found["frames"], found["frames looked at"]) == (1000, PROFILED)
    assert found["frames equal to an earlier one (share)"] == pytest.approx(590 / 600, abs=1e-3)
    assert found["gaps in time"] == 0


def test_gaps_and_what_is_missing(moving: Make, animation: Make) -> None:
    found = told(animation(moving("left", 6), duration=[100, 100, 900, 100, 100, 100]))
    assert found["gaps in time"] == 1
    assert found["missing at the end (frames)"] == 0


def test_one_frame_says_nothing_of_motion(moving: Make) -> None:
    found = told(moving()[:1])
    assert found["summary"] == "clip, 64 x 48, 1 frame, of unknown length; one frame"
    assert found["direction"] is None
    assert found["motion energy (mean, 0 to 1)"] is None


@pytest.mark.parametrize("n", [1, 3, 30])
def test_the_picture_shows_frames_with_times_and_a_curve(moving: Make, n: int) -> None:
    figure_module = pytest.importorskip("matplotlib.figure")
    figure = figure_module.Figure(figsize=(6, 4))
    profile = VideoReader().profile(VideoReader().load({"frames": moving("left", n), "fps": 10}))
    assert profile.draw is not None
    profile.draw(figure)
    stream = BytesIO()
    figure.savefig(stream, format="png")
    assert len(np.unique(np.asarray(Image.open(stream).convert("RGB")).reshape(-1, 3), axis=0)) > 10
    axes = [one for part in (figure.subfigs or [figure]) for one in part.axes]
    titles = [one.get_title() for one in axes]
    assert titles[0] == "0.00 s"
    assert len(titles) == {1: 1, 3: 4, 30: 9}[n]
    if n > 1:
        [line] = next(one for one in axes if one.lines).lines
        assert len(line.get_xdata()) == n - 1
        assert "time (s)" in axes[-1].get_xlabel()
