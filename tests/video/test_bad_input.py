"""Broken clips: one clear line each, soon, and before anything large is allocated."""

from __future__ import annotations

import builtins
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmagent.errors import UserError
from mmagent_video.clip import SAMPLED
from mmagent_video.reader import VideoReader

Make = Callable[..., Any]


def said(source: object) -> str:
    """What is said about a clip that is refused when it is loaded, or when its frames are first drawn."""
    begun = time.process_time()
    with pytest.raises(UserError) as caught:
        VideoReader().fingerprint(VideoReader().load(source))
    assert time.process_time() - begun < 3
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    return str(caught.value)


def gif_header(width: int, height: int) -> bytes:
    """A GIF that announces a size and holds one frame of it, of no data."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    return head + b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x00\x3b"


def png_of_frames(width: int, height: int) -> bytes:
    """An animated PNG that announces a size and holds next to nothing."""
    chunks = b""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    control = struct.pack(">IIIIIHHBB", 0, width, height, 0, 0, 1, 10, 0, 0)
    parts = (b"IHDR", header), (b"acTL", struct.pack(">II", 1, 0)), (b"fcTL", control)
    for name, body in (*parts, (b"IDAT", zlib.compress(bytes(64))), (b"IEND", b"")):
        chunks += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return b"\x89PNG\r\n\x1a\n" + chunks


CASES = {
    "nothing": (b"", "is empty (0 bytes)"),
    "text": (b"a story of a film\n" * 9, "is not a video: it starts like text. Clips are GIF"),
    "a PDF": (b"%PDF-1.7 ....", "it starts like a PDF"),
    "a HEIC picture": (b"\x00\x00\x00\x18ftypheic" + bytes(64), "it starts like a HEIC picture"),
    "a GIF without a frame": (b"GIF89a\x10\x00\x10\x00\x00\x00\x00\x3b", "holds no frame (GIF, 0 frames)"),
    "a GIF without pixels": (gif_header(0, 16), "has no pixels: its frames are 0 x 16"),
    "a GIF of 60,000 x 60,000": (gif_header(60_000, 60_000), "60,000 x 60,000 pixels; at most 64 million"),
    "a PNG of 100,000 x 100,000": (png_of_frames(100_000, 100_000), "100,000 x 100,000 pixels"),
    "a GIF whose frame has no data": (gif_header(16, 16), "is damaged at frame 1 of 1 (GIF"),
    "a frame larger than its screen": (
        gif_header(16, 16).replace(b"\x2c\x00\x00\x00\x00\x10\x00\x10\x00", b"\x2c\0\0\0\0\xff\xff\xff\xff"),
        "is damaged at frame 1 of 1 (GIF",
    ),
    "a head alone": (b"GIF89a", "is cut off"),
    "a WebM of nothing": (b"\x1a\x45\xdf\xa3" + bytes(64), "is damaged or cut off (WebM"),
    "an MP4 of nothing": (b"\x00\x00\x00\x18ftypisom" + bytes(64), "is damaged or cut off (MP4"),
    "another object": (7, "a clip cannot be made of a int. Give a path"),
    "a mapping of other things": ({"pixels": 3}, "a mapping with the entries pixels"),
    "a picture": (np.zeros((16, 16), np.uint8), "has the shape (16, 16), which is no clip"),
    "channels first": (np.zeros((4, 3, 16, 16), np.uint8), "array.transpose(0, 2, 3, 1)"),
    "no frames": (np.zeros((0, 16, 16, 3), np.uint8), "holds no frame"),
    "NaN": (np.full((2, 4, 4, 3), np.nan), "holds values from nan to nan; they must lie from 0 to 1"),
    "whole numbers": (np.zeros((2, 4, 4, 3), np.int64), "holds int64 values, which are no pixels"),
    "a rate of NaN": ({"frames": np.zeros((2, 4, 4, 3), np.uint8), "fps": np.nan}, "rate (fps) is nan"),
    "a rate below 0": ({"frames": np.zeros((2, 4, 4, 3), np.uint8), "fps": -5}, "says that it has -5 frames"),
    "an absurd rate": ({"frames": np.zeros((2, 4, 4, 3), np.uint8), "fps": 1e9}, "1e+09 frames a second"),
    "no such file": ("/nowhere/clip.mp4", "there is no file /nowhere/clip.mp4. There is no folder"),
    "an address": ("https://example.org/a.mp4", "is an address, and clips are read from files"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_no_clip_is_told_in_one_line(case: str, needs: Make) -> None:
    source, told = CASES[case]
    if case.startswith("a WebM"):
        source, told = source, "is damaged or cut off (Matroska"
    if case.endswith("of nothing"):
        needs("av")
    assert told in said(source)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_animated_pictures_that_are_cut_off(moving: Make, animation: Make, kind: str, share: float) -> None:
    data = animation(np.random.default_rng(0).integers(0, 255, (6, 24, 24, 3), dtype=np.uint8), kind)
    assert "is cut off" in said(data[: int(len(data) * share)])


@pytest.mark.parametrize(
    ("container", "codec", "options"),
    [
        *(("mp4", "libx264", {}), ("mp4", "libx264", {"movflags": "faststart"})),
        *(("webm", "libvpx-vp9", {}), ("avi", "mpeg4", {})),
    ],
)
@pytest.mark.parametrize("share", [0.4, 0.85])
def test_films_that_are_cut_off(
    moving: Make, film: Make, container: str, codec: str, options: dict[str, str], share: float
) -> None:
    data = film(moving(n=40, step=1), container, codec, container_options=options)
    assert "cut off" in said(data[: int(len(data) * share)])


def test_zeros_in_the_middle_of_a_film(moving: Make, film: Make) -> None:
    data = bytearray(film(np.random.default_rng(0).integers(0, 255, (20, 48, 64, 3), dtype=np.uint8)))
    middle = slice(len(data) // 4, len(data) * 3 // 4)
    data[middle] = bytes(middle.stop - middle.start)
    assert "damaged" in said(bytes(data))


def test_a_coding_that_nobody_reads(moving: Make, film: Make) -> None:
    data = film(moving()).replace(b"avc1", b"zzz9")
    assert "coded in a way not read here" in said(data)


def test_a_film_of_absurd_size_is_refused_by_its_header(moving: Make, film: Make) -> None:
    data = bytearray(film(moving(), "avi", "ffv1", pixels="bgr0"))
    at = data.find(b"strf") + 12  # width and height of the bitmap
    for side, told in ((9_000, "9,000 x 9,000 pixels; at most 64 million"), (100_000, "cut off (AVI")):
        data[at : at + 8] = struct.pack("<ii", side, side)
        assert told in said(bytes(data))


def test_sound_alone_is_no_film(tmp_path: Path, needs: Make) -> None:
    av = needs("av")
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.rate = 8000
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    assert f"{path} holds no video: its streams are audio" in said(path)


def test_without_pyav_the_line_says_what_to_install(
    moving: Make, animation: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name == "av":
            raise ImportError("No module named 'av'")
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    assert "pip install 'mmagent[video]'" in said(b"\x00\x00\x00\x18ftypisom" + bytes(64))
    assert VideoReader().load(animation(moving())).film.n_frames == 12


def test_a_hundred_thousand_frames_are_bounded_by_sampling(animation: Make) -> None:
    two = animation(np.stack([np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8)]))
    body = two[two.find(b"\x21\xf9") : -1]
    begun = time.process_time()
    clip = VideoReader().load(two[: two.find(b"\x21\xf9")] + body * 50_000 + b";")
    assert clip.film.n_announced == 100_000
    assert "100,000 frames (the first 5,000 are read)" in VideoReader().describe(clip)
    assert len(clip.sample.frames) == SAMPLED
    assert time.process_time() - begun < 8
