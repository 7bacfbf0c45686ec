"""Every kind of picture becomes the RGB pixels a person would see."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmagent.errors import UserError
from mmagent_image.pixels import from_array
from mmagent_image.reader import ImageReader

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The file content of a picture."""
    stream = BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def load(image: Image.Image, kind: str = "PNG", **options: Any) -> Image.Image:
    """The picture as the reader gives it from a file of that kind."""
    return ImageReader().load(encoded(image, kind, **options))


def pixel(image: Image.Image, at: tuple[int, int] = (0, 0)) -> tuple[int, ...]:
    """One RGB pixel."""
    assert image.mode == "RGB"
    found = image.getpixel(at)
    assert isinstance(found, tuple)
    return found


def near(found: tuple[int, ...], wanted: tuple[int, ...], by: int = 12) -> bool:
    """Whether two colours agree but for what lossy compression does."""
    return all(abs(a - b) <= by for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_every_format_gives_size_and_colour(kind: str) -> None:
    found = load(Image.new("RGB", (20, 10), (200, 30, 60)), kind)
    assert found.size == (20, 10)
    assert near(pixel(found, (10, 5)), (200, 30, 60))


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_deflate", "packbits"])
def test_tiff_compressions(compression: str) -> None:
    assert pixel(load(Image.new("RGB", (8, 8), RED), "TIFF", compression=compression)) == RED


@pytest.mark.parametrize(
    ("mode", "colour", "wanted"),
    [
        ("1", 1, WHITE),
        ("1", 0, BLACK),
        ("L", 100, (100, 100, 100)),
        ("RGB", (1, 2, 3), (1, 2, 3)),
        ("RGBA", (255, 0, 0, 255), RED),
        ("RGBA", (0, 0, 0, 0), WHITE),
        ("RGBA", (255, 0, 0, 128), (255, 127, 127)),
        ("LA", (0, 0), WHITE),
        ("LA", (50, 255), (50, 50, 50)),
        ("I;16", 65535, WHITE),
        ("I;16", 0, BLACK),
        ("I;16", 100 * 257, (100, 100, 100)),
        ("I;16", 257, (1, 1, 1)),
    ],
)
def test_png_modes(mode: str, colour: Any, wanted: tuple[int, ...]) -> None:
    assert pixel(load(Image.new(mode, (4, 4), colour))) == wanted


@pytest.mark.parametrize(
    ("mode", "colour", "wanted"),
    [
        ("I;16B", 65535, WHITE),
        ("I", 200, (200, 200, 200)),
        ("I", 65535, WHITE),
        ("F", 0.5, (128, 128, 128)),
        ("F", 255.0, WHITE),
        ("F", float("nan"), BLACK),
        ("HSV", (0, 255, 255), RED),
        ("YCbCr", (255, 128, 128), WHITE),
        ("La", (0, 0), WHITE),
        ("RGBa", (0, 0, 0, 0), WHITE),
        ("RGBX", (255, 0, 0, 0), RED),
    ],
)
def test_modes_handed_over_as_pil(mode: str, colour: Any, wanted: tuple[int, ...]) -> None:
    assert near(pixel(ImageReader().load(Image.new(mode, (4, 4), colour))), wanted, by=1)


def test_a_lab_picture_is_converted_by_its_meaning() -> None:
    lab = Image.new("LAB", (2, 2), (255, 128, 128))  # full lightness, no colour
    assert near(pixel(ImageReader().load(lab)), WHITE, by=3)


def test_wide_ranges_are_stretched() -> None:
    values = np.array([[-5.0, 0.0, 5.0]], dtype=np.float32)
    found = np.asarray(ImageReader().load(Image.fromarray(values)))
    assert found[0, :, 0].tolist() == [0, 128, 255]


def test_cmyk_jpeg_and_tiff() -> None:
    inks = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # magenta and yellow make red
    assert near(pixel(load(inks, "TIFF")), RED)
    assert near(pixel(load(inks, "JPEG", quality=95)), RED)


def test_palette_with_and_without_transparency() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 0), 1)
    assert [pixel(load(image), (x, 0)) for x in (0, 1)] == [RED, GREEN]
    assert [pixel(load(image, transparency=0), (x, 0)) for x in (0, 1)] == [WHITE, GREEN]
    assert [pixel(load(image, "GIF", transparency=1), (x, 0)) for x in (0, 1)] == [RED, WHITE]


def test_a_transparent_colour_key_becomes_white() -> None:
    assert pixel(load(Image.new("RGB", (2, 2), BLUE), transparency=BLUE)) == WHITE
    assert pixel(load(Image.new("L", (2, 2), 7), transparency=7)) == WHITE
    assert pixel(load(Image.new("I;16", (2, 2), 300), transparency=300)) == WHITE


def test_twelve_bit_tiff_white_is_white() -> None:
    image = Image.new("I;16", (2, 2), 4095)
    image.tag_v2 = {258: (12,)}  # as Pillow's reader leaves it for a camera's 12-bit file
    assert pixel(ImageReader().load(image)) == WHITE


def test_of_an_animation_the_first_frame() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE)]
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        found = load(frames[0], kind, save_all=True, append_images=frames[1:])
        assert near(pixel(found, (4, 4)), RED), kind


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone_once(kind: str, orientation: int) -> None:
    upright = Image.new("RGB", (48, 32), WHITE)
    upright.paste(RED, (0, 0, 16, 16))  # red is at the upper left, green at the upper right
    upright.paste(GREEN, (32, 0, 48, 16))
    stored = {
        1: upright,
        2: upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: upright.transpose(Image.Transpose.ROTATE_180),
        4: upright.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: upright.transpose(Image.Transpose.TRANSPOSE),
        6: upright.transpose(Image.Transpose.ROTATE_90),
        7: upright.transpose(Image.Transpose.TRANSVERSE),
        8: upright.transpose(Image.Transpose.ROTATE_270),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = load(stored, kind, exif=exif)
    assert found.size == (48, 32)
    assert near(pixel(found, (8, 8)), RED, by=40)
    assert near(pixel(found, (40, 8)), GREEN, by=40)
    assert near(pixel(found, (8, 24)), WHITE, by=40)


def test_a_phone_jpeg_of_two_pictures() -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, BLUE)]
    assert near(pixel(load(frames[0], "MPO", save_all=True, append_images=frames[1:])), RED)


def test_damaged_exif_does_not_lose_the_picture() -> None:
    found = load(Image.new("RGB", (16, 16), RED), "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff\x00")
    assert near(pixel(found), RED)


def test_a_handed_over_picture_is_not_changed() -> None:
    given = Image.new("RGB", (4, 4), RED)
    ImageReader().load(given).putpixel((0, 0), BLUE)
    assert given.getpixel((0, 0)) == RED


ARRAYS: list[tuple[Any, tuple[int, ...]]] = [
    (np.full((4, 5), 7, np.uint8), (7, 7, 7)),
    (np.full((4, 5, 1), 7, np.uint8), (7, 7, 7)),
    (np.full((4, 5, 3), 7, np.uint8), (7, 7, 7)),
    (np.tile(np.array([255, 0, 0, 128], np.uint8), (4, 5, 1)), (255, 127, 127)),
    (np.full((4, 5), 65535, np.uint16), WHITE),
    (np.full((4, 5, 3), 100 * 257, np.uint16), (100, 100, 100)),
    (np.full((4, 5), 0.5, np.float32), (128, 128, 128)),
    (np.full((4, 5, 3), 1.0, np.float64), WHITE),
    (np.tile(np.array([0.0, 0.0, 0.0, 0.0], np.float16), (4, 5, 1)), WHITE),
    (np.full((4, 5), True), WHITE),
    (np.full((4, 5), 9, np.int64), (9, 9, 9)),
    (np.full((8, 10), 7, np.uint8)[::2, ::2], (7, 7, 7)),
]


@pytest.mark.parametrize(("array", "wanted"), ARRAYS)
def test_arrays(array: Any, wanted: tuple[int, ...]) -> None:
    found = ImageReader().load(array)
    assert found.size == (5, 4)
    assert pixel(found, (4, 3)) == wanted


def test_array_axes_are_height_width_channels() -> None:
    array = np.zeros((2, 3, 3), np.uint8)
    array[0, 2] = RED
    assert pixel(from_array(array), (2, 0)) == RED


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros(5, np.uint8), "shape (5,)"),
        (np.zeros((3, 8, 8), np.uint8), "transpose(1, 2, 0)"),
        (np.zeros((2, 8, 8, 3), np.uint8), "shape (2, 8, 8, 3)"),
        (np.zeros((0, 8), np.uint8), "no pixels"),
        (np.full((4, 4), 1.5), "from 1.5 to 1.5; they must lie from 0 to 1"),
        (np.full((4, 4), np.nan), "from nan to nan"),
        (np.full((4, 4), -0.1), "from -0.1"),
        (np.full((4, 4), 256, np.int32), "must lie from 0 to 255"),
        (np.full((4, 4), "x"), "no pixels"),
        (np.full((4, 4), 1j), "complex128"),
    ],
)
def test_arrays_that_are_no_pictures(array: Any, said: str) -> None:
    with pytest.raises(UserError) as caught:
        ImageReader().load(array)
    assert said in str(caught.value)


def test_a_picture_without_pixels() -> None:
    with pytest.raises(UserError, match="0 x 5"):
        ImageReader().load(Image.new("RGB", (0, 5)))
