"""Where pictures come from, and one clear sentence for everything that is none."""

from __future__ import annotations

import io
import os
import struct
import sys
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmagent.errors import UserError
from mmagent_image import image_format, sniff
from mmagent_image.reader import ImageReader


def encoded(kind: str, size: tuple[int, int] = (64, 48)) -> bytes:
    """A picture with some detail, so that cutting its file off cuts pixels off."""
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    stream = BytesIO()
    Image.fromarray(noise).save(stream, kind)
    return stream.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces a size and holds next to nothing."""
    chunks = b""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\x00" * 64)), (b"IEND", b"")):
        chunks += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return b"\x89PNG\r\n\x1a\n" + chunks


def said(source: object) -> str:
    """What the reader says about something that it refuses."""
    with pytest.raises(UserError) as caught:
        ImageReader().load(source)
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.exit_code == 2
    return message


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A PNG file."""
    path = tmp_path / "a picture.png"
    path.write_bytes(encoded("PNG"))
    return path


def test_every_kind_of_source_gives_the_same_picture(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, data = ImageReader(), picture.read_bytes()
    wanted = reader.fingerprint(reader.load(picture))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(BytesIO(data)))
    with picture.open("rb") as stream:
        sources: list[object] = [
            *(str(picture), data, bytearray(data), memoryview(data), "-", stream, BytesIO(data)),
            *(Image.open(picture), np.asarray(Image.open(picture))),
        ]
        assert {reader.fingerprint(reader.load(source)) for source in sources} == {wanted}


def test_the_content_decides_and_not_the_suffix(tmp_path: Path) -> None:
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"):
        path = tmp_path / "misnamed.txt"
        path.write_bytes(encoded(kind))
        assert ImageReader().load(path).size == (64, 48)
        assert image_format(path.read_bytes()[:64]) == kind


def test_the_fingerprint_is_of_the_pixels(picture: Path) -> None:
    reader = ImageReader()
    image = reader.load(picture)
    stream = BytesIO()
    image.save(stream, "BMP")
    assert reader.fingerprint(reader.load(stream.getvalue())) == reader.fingerprint(image)
    other = image.copy()
    other.putpixel((0, 0), (1, 2, 3))
    assert reader.fingerprint(other) != reader.fingerprint(image)
    flat = Image.new("RGB", (2, 8)), Image.new("RGB", (8, 2))
    assert reader.fingerprint(flat[0]) != reader.fingerprint(flat[1])


def test_describe(picture: Path) -> None:
    assert ImageReader().describe(ImageReader().load(picture)) == "picture, 64 x 48 pixels"


def test_a_missing_file_says_what_the_folder_holds(picture: Path) -> None:
    message = said(picture.with_name("a pictur.png"))
    assert message.endswith("The folder holds: a picture.png. Did you mean 'a picture.png'?")
    assert "no folder" in said(picture.parent / "nowhere" / "x.png")
    assert "no file" in said(picture / "x.png")


def test_a_directory(tmp_path: Path) -> None:
    assert "is a directory" in said(tmp_path)


def test_no_permission(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert "permission denied" in said(picture)


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="this system has no /dev/null")
def test_a_device() -> None:
    assert "is a device" in said("/dev/null")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_is_read(tmp_path: Path) -> None:
    import threading

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(encoded("PNG"),))
    writer.start()
    assert ImageReader().load(pipe).size == (64, 48)
    writer.join()


def test_an_empty_file_and_an_empty_name(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"")
    assert "is empty (0 bytes)" in said(tmp_path / "x.jpg")
    assert "name of the picture is empty" in said("")


def test_an_address() -> None:
    assert "Download it first" in said("https://example.org/x.jpg")


def test_another_kind_of_object() -> None:
    assert "cannot be made of a int" in said(3)
    assert "mode 'rb'" in said(io.StringIO("text"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_a_file_that_was_cut_off(kind: str, share: float) -> None:
    data = encoded(kind)
    message = said(data[: max(20, int(len(data) * share))])
    assert "damaged or cut off" in message
    assert kind in message


def test_noise_in_the_middle_never_escapes_as_another_error() -> None:
    rng, messages = np.random.default_rng(0), []
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"):
        data = encoded(kind)
        for _ in range(20):
            broken = bytearray(data)
            for at in rng.integers(8, min(len(data), 400), 6):
                broken[at] = int(rng.integers(0, 256))
            try:
                ImageReader().load(bytes(broken))
            except UserError as error:
                messages.append(str(error))
    assert len(messages) > 20
    assert all(message and "\n" not in message for message in messages)


@pytest.mark.parametrize(
    ("content", "like"),
    [
        (b"%PDF-1.7\n...", "a PDF"),
        (b"PK\x03\x04....", "a zip archive"),
        (b"only some text\n", "text"),
        ("Füße, naïve".encode(), "text"),
        ("wide text".encode("utf-16"), "text"),
        (b"BMW is a car maker, this is text", "text"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"<svg xmlns='x'/>", "an SVG drawing"),
        (b'{"a": 1}', "JSON"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "a WAV sound"),
        (b"\x00\x00\x00\x18ftypheic", "a HEIC picture"),
        (b"\x00\x00\x00\x18ftypisom", "an MP4 video"),
        (b"\x93NUMPY\x01", "a numpy array"),
        (b"PAR1\x15", "a parquet table"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"\x00\x01\x02\x03\x04\x05\x06\x07\x08", "unknown data (00 01 02 03 ...)"),
    ],
)
def test_something_else_renamed_to_jpg(tmp_path: Path, content: bytes, like: str) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    message = said(path)
    assert "x.jpg is not a picture: it starts like " in message
    assert like in message
    assert not sniff(content)


def test_text_cut_in_the_middle_of_a_character_is_still_text() -> None:
    assert "like text" in said(("x" * 4095 + "é" * 100).encode())


def test_a_decompression_bomb() -> None:
    message = said(png_header(30_000, 30_000))
    assert "too many pixels (30,000 x 30,000)" in message


def test_a_large_picture_below_the_limit_is_read_in_silence(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(
        Image, "MAX_IMAGE_PIXELS", 2_000
    )  # Pillow warns from here, and refuses from twice this
    assert ImageReader().load(encoded("PNG", (60, 50))).size == (60, 50)
    assert not recwarn.list
    assert "too many pixels (70 x 60)" in said(encoded("PNG", (70, 60)))


@pytest.mark.parametrize("size", [(0, 10), (10, 0), (0, 0)])
def test_a_file_without_pixels(size: tuple[int, int]) -> None:
    assert f"it is {size[0]} x {size[1]}" in said(png_header(*size))
    assert "no pixels" in said(b"GIF89a" + struct.pack("<HH", *size) + b"\x00\x00\x00;")


def test_running_out_of_memory_is_not_called_a_damaged_picture(
    picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image, "open", exhausted)
    with pytest.raises(MemoryError):
        ImageReader().load(picture)
