"""Features of clips: the order of frames counts, the container does not, and neither does the batch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmagent.errors import UserError
from mmagent_video import motion
from mmagent_video.clip import Clip
from mmagent_video.encoder import BLOCKS, VideoEncoder
from mmagent_video.reader import VideoReader

Make = Callable[..., Any]
CPU = torch.device("cpu")


def load(frames: Any) -> Clip:
    return VideoReader().load(frames)


def encoder(location: str = "builtin") -> Any:
    return VideoReader().load_encoder(location, device=CPU, dtype=torch.float32)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random ResNet that the image plugin loads."""
    from transformers import ResNetConfig, ResNetModel

    place = tmp_path_factory.mktemp("pictures")
    torch.manual_seed(0)
    ResNetModel(
        ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    ).save_pretrained(place)
    processor = {
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": 32, "width": 32},
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    (place / "preprocessor_config.json").write_text(json.dumps(processor))
    return place


@pytest.fixture
def clips(moving: Make) -> list[Clip]:
    """Of several lengths and sizes."""
    kinds = (("left", 12, 48), ("right", 5, 64), ("up", 1, 48), ("down", 40, 48))
    return [load(moving(way, n, size=(high, 64), step=1)) for way, n, high in kinds]


@pytest.mark.parametrize("with_pictures", [False, True])
def test_a_batch_gives_what_each_clip_gives(clips: list[Clip], pictures: Path, with_pictures: bool) -> None:
    made = encoder(str(pictures) if with_pictures else "builtin")
    width = len(BLOCKS) * (motion.PER_FRAME + (16 if with_pictures else 0))
    together = made.encode(clips)
    assert together.values.shape == (4, 16, width)
    assert together.mask.sum(1).tolist() == [12, 5, 1, 16]
    assert made.d_encoder == width
    assert not together.values[~together.mask].any()
    for at, clip in enumerate(clips):
        alone, n = made.encode([clip]), len(clip.sample.frames)
        assert torch.allclose(alone.pooled[0], together.pooled[at], atol=1e-5)
        assert torch.allclose(alone.values[0], together.values[at, :n], atol=1e-5)
    assert torch.equal(made.encode(clips).pooled, together.pooled)
    assert made.encode([]).pooled.shape == (0, width)


def test_the_image_encoder_sees_the_very_frames(moving: Make, pictures: Path) -> None:
    from mmagent.borrowing import borrowed_encoder

    frames = moving("left", 3)
    reader, own = borrowed_encoder("image", str(pictures), device=CPU, dtype=torch.float32)
    expected = own.encode([reader.load(frame) for frame in frames]).pooled
    seen = encoder(str(pictures)).encode([load(frames)])
    first = motion.PER_FRAME
    assert torch.allclose(seen.values[0, :, first : first + 16], expected, atol=1e-5)
    assert torch.allclose(seen.pooled[0, first : first + 16], expected.mean(0), atol=1e-5)


def test_played_backwards_what_stands_is_the_same_and_what_moves_is_not(moving: Make) -> None:
    frames = moving("right", 12)
    made = encoder()
    there, back = (made.encode([load(one)]).pooled[0].view(len(BLOCKS), -1) for one in (frames, frames[::-1]))
    x = motion.NAMES.index("flow x")
    assert there[0, x] > 0.3
    assert back[0, x] == pytest.approx(-float(there[0, x]), abs=1e-3)
    whole = motion.NAMES.index("whole r")
    assert torch.allclose(there[0, whole:], back[0, whole:], atol=1e-5)  # the mean of the pictures' colours
    ends = BLOCKS.index("last - first")
    assert there[ends, motion.NAMES.index("x")] > 0.1
    assert back[ends, motion.NAMES.index("x")] < -0.1


@pytest.mark.parametrize(("way", "x", "y"), [("left", -1, 0), ("right", 1, 0), ("up", 0, -1), ("down", 0, 1)])
@pytest.mark.parametrize("step", [1, 3])
def test_flow_and_centroid_point_where_things_go(moving: Make, way: str, x: int, y: int, step: int) -> None:
    rows = motion.moments(list(moving(way, 10, size=(64, 64), step=step)))
    flow = rows[:, [motion.NAMES.index("flow x"), motion.NAMES.index("flow y")]].mean(0)
    along, across = flow @ (x, y), abs(flow @ (y, x))
    assert along > 0.3 * min(step, 2)
    assert across < 0.1 * along
    shift = rows[2:, [motion.NAMES.index("shift x"), motion.NAMES.index("shift y")]].mean(0)
    assert shift == pytest.approx(np.array([x, y]) * step * 2 / motion.GRID, abs=0.005)


def test_colours_are_those_of_what_moves(moving: Make) -> None:
    for colour, name in (
        ((250, 0, 0), "moving red"),
        ((0, 250, 0), "moving green"),
        ((0, 0, 250), "moving blue"),
    ):
        row = motion.moments(list(moving("left", 6, colour=colour))).mean(0)
        found = {one: row[motion.NAMES.index(f"moving {one}")] for one in motion.HUES}
        assert f"moving {max(found, key=lambda one: found[one])}" == name


def test_nothing_moves_in_a_still_clip_and_in_one_frame(moving: Make) -> None:
    frame = moving()[:1]
    for clip in (frame, np.repeat(frame, 7, axis=0)):
        found = encoder().encode([load(clip)])
        assert bool(found.values.isfinite().all())
        assert not found.values[0, :, : motion.NAMES.index("whole r")].any()


def test_another_container_gives_about_the_same_features(moving: Make, animation: Make, film: Make) -> None:
    frames, other = moving("right", 24, step=1, size=(64, 96)), moving("up", 24, step=1, size=(64, 96))
    made = encoder()

    def pooled(source: Any) -> torch.Tensor:
        return made.encode([load(source)]).pooled[0]

    away = float((pooled(frames) - pooled(other)).norm())
    for source in (
        animation(frames),
        animation(frames, "WEBP"),
        film(frames, "matroska", "ffv1", pixels="bgr0"),
    ):
        assert torch.equal(pooled(source), pooled(frames))
    for container, codec in (("mp4", "libx264"), ("webm", "libvpx-vp9")):
        coded = pooled(film(frames, container, codec, options={"crf": "18"}))
        assert float((coded - pooled(frames)).norm()) < 0.15 * away


def test_the_id_tells_encoders_apart(pictures: Path) -> None:
    assert encoder().id == encoder().id != encoder(str(pictures)).id
    assert VideoEncoder(None, CPU).id == encoder().id


def test_what_is_no_image_encoder_is_told_by_the_image_sense(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="so no encoder"):
        encoder(str(tmp_path))


def test_features_are_those_that_the_version_stands_for(moving: Make) -> None:
    """Whoever changes a feature raises `VERSION`, so that nothing kept under the old id is taken for new."""
    from mmagent_video.encoder import VERSION

    pooled = encoder().encode([load(moving("right", 8))]).pooled[0]
    assert VERSION == 1
    some = {"energy": 0.0079, "x": -0.0547, "y": 0, "flow x": 3.9403, "moving r": 0.8137, "whole r": 0.8404}
    found = {name: float(pooled[motion.NAMES.index(name)]) for name in some}
    assert found == pytest.approx(some, abs=1e-4)
