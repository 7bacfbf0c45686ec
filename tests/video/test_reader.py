"""Where clips come from, and that the same frames are the same clip in every container."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageColor

from mmagent_video import sniff, video_format
from mmagent_video.clip import SAMPLED, Clip
from mmagent_video.reader import VideoReader

Make = Callable[..., Any]


def decoded(clip: Clip) -> np.ndarray:
    """All frames of a clip, (T, H, W, 3)."""
    return np.stack([frame.pixels for frame in clip.film.frames(range(clip.film.n_frames))])


def test_every_kind_of_source_gives_the_same_clip(
    moving: Make, animation: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, data = VideoReader(), animation(frames := moving())
    path = tmp_path / "a clip.txt"
    path.write_bytes(data)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(BytesIO(data)))
    with path.open("rb") as stream:
        sources: list[object] = [
            *(path, str(path), data, bytearray(data), memoryview(data), "-", stream, BytesIO(data)),
            *({"bytes": data, "path": None}, {"bytes": None, "path": str(path)}),
            *({"frames": frames, "fps": 10}, frames, frames / 255.0, reader.load(path)),
        ]
        assert len({reader.fingerprint(reader.load(source)) for source in sources}) == 1


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_animated_pictures_have_the_frames_that_were_written(
    moving: Make, animation: Make, kind: str
) -> None:
    frames = moving("down", 9)
    clip = VideoReader().load(animation(frames, kind, duration=[50] * 8 + [400]))
    assert np.array_equal(decoded(clip), frames)
    assert clip.film.seconds == pytest.approx(0.8)
    assert [frame.seconds for frame in clip.film.frames([0, 4, 8])] == pytest.approx([0, 0.2, 0.4])


@pytest.mark.parametrize(("disposal", "left"), [(1, "blue"), (2, "white"), (3, "red")])
def test_a_gif_frame_stands_on_what_the_last_one_left(disposal: int, left: str) -> None:
    stream = BytesIO()
    red, dots = Image.new("RGBA", (8, 8), "red"), []
    for at in range(3):
        dots.append(Image.new("RGBA", (8, 8), (0, 0, 0, 0)))
        dots[-1].putpixel((at, at), (0, 0, 255, 255))
    disposals = [1, *[disposal] * len(dots)]
    red.save(stream, "GIF", save_all=True, append_images=dots, duration=100, loop=0, disposal=disposals)
    last = decoded(VideoReader().load(stream.getvalue()))[-1]
    assert tuple(last[2, 2]) == ImageColor.getrgb("blue")  # its own dot, and where that of the first was
    assert tuple(last[0, 0]) == ImageColor.getrgb(left)


@pytest.mark.parametrize(
    ("container", "codec", "kind"),
    [
        ("mp4", "libx264", "MP4"),
        ("mp4", "mpeg4", "MP4"),
        ("webm", "libvpx-vp9", "WebM"),
        ("matroska", "ffv1", "Matroska"),
        ("avi", "ffv1", "AVI"),
    ],
)
def test_containers_give_frames_size_rate_and_length(
    moving: Make, film: Make, container: str, codec: str, kind: str
) -> None:
    frames = moving("right", 30, step=1)
    pixels = "bgr0" if codec == "ffv1" else "yuv420p"
    data = film(frames, container, codec, pixels=pixels)
    reader = VideoReader()
    clip = reader.load(data)
    assert (clip.film.kind, clip.film.width, clip.film.height) == (kind, 64, 48)
    assert clip.film.n_frames == 30
    assert clip.film.fps == pytest.approx(10)
    assert clip.film.seconds == pytest.approx(3)
    assert "64 x 48 pixels, 30 frames, 10 a second, 3 s" in reader.describe(clip)
    assert np.abs(decoded(clip).astype(int) - frames).mean() < 3
    if codec == "ffv1":  # without loss: the very same clip as the array
        assert reader.fingerprint(clip) == reader.fingerprint(reader.load(frames))


def test_frames_of_a_long_clip_are_found_by_seeking(moving: Make, film: Make, tmp_path: Path) -> None:
    frames = moving("right", 400, size=(32, 448), step=1, start=(0, 10))
    path = tmp_path / "long.mp4"
    path.write_bytes(film(frames, options={"g": "20", "bf": "2"}))
    clip = VideoReader().load(path)
    wanted = [0, 3, 150, 151, 399]
    found = list(clip.film.frames(wanted))
    assert [frame.number for frame in found] == wanted
    for frame in found:
        assert np.abs(frame.pixels.astype(int) - frames[frame.number]).mean() < 1.5
    assert len(clip.sample.frames) == SAMPLED
    assert clip.sample.frames[0].shape == (18, 256, 3)  # kept small
    assert clip.sample.seconds[-1] == pytest.approx(39.9)


def test_what_was_filmed_sideways_is_turned(moving: Make, film: Make) -> None:
    data = bytearray(film(moving("right", 3)))
    at = data.find(b"tkhd") + 4 + 40  # the display matrix of the track's header, ISO/IEC 14496-12, 8.3.2
    turn = [0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30]
    data[at : at + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in turn)
    assert next(VideoReader().load(bytes(data)).film.frames([0])).pixels.shape == (64, 48, 3)


def test_one_frame_is_allowed_and_said(moving: Make) -> None:
    reader = VideoReader()
    stream = BytesIO()
    Image.fromarray(moving()[0]).save(stream, "GIF")
    for source in (moving()[:1], stream.getvalue()):
        clip = reader.load(source)
        assert "one frame, so nothing moves" in reader.describe(clip)
        assert len(clip.sample.frames) == 1


def test_an_animation_is_a_clip_and_a_still_is_none(moving: Make, animation: Make, film: Make) -> None:
    from mmagent_image import sniff as image_sniff

    for kind in ("GIF", "WEBP", "PNG"):
        stream = BytesIO()
        Image.fromarray(moving()[0]).save(stream, kind)
        still, clip = stream.getvalue()[:4096], animation(moving(), kind)[:4096]
        assert (sniff(still), image_sniff(still)) == (False, True)
        assert (sniff(clip), image_sniff(clip)) == (True, False)
    assert sniff(film(moving())[:4096])
    assert not any(map(sniff, (b"", b"hello", b"\x00\x00\x00\x18ftypheic", b"RIFF____WAVE", b"%PDF-1.7")))
    assert video_format(b"\x00\x00\x00\x18ftypM4A ") is None


def test_a_folder_of_clips_is_told_from_one_of_pictures(
    moving: Make, animation: Make, tmp_path: Path
) -> None:
    from mmagent.data.read import read_labelled
    from mmagent.plugins import load_plugins

    for at, way in enumerate(("left", "right")):
        (tmp_path / way).mkdir()
        (tmp_path / way / f"{at}.gif").write_bytes(animation(moving(way)))
    found = read_labelled(tmp_path, load_plugins().modalities)
    assert list(found.modalities) == ["video"]
    assert [one.answer for one in found] == ["left", "right"]
