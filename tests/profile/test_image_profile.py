"""The profile of a picture tells what was put into it: levels, noise, storage; in tiles as in one piece."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from mmagent.profile import ASPECTS
from mmagent_image import profile as module
from mmagent_image.reader import ImageReader


def profiled(source, reader=None):
    """The aspects of whatever the reader reads."""
    reader = reader or ImageReader()
    return reader.profile(reader.load(source)).aspects


def encoded(image, kind, **more):
    stream = BytesIO()
    image.save(stream, kind, **more)
    return stream.getvalue()


def noisy(sigma, shape=(200, 300), level=128):
    values = np.random.default_rng(0).normal(level, sigma, shape)
    return Image.fromarray(values.clip(0, 255).round().astype(np.uint8))


def test_every_aspect_is_told_of_every_kind_of_source(tmp_path):
    image = noisy(20)
    path = tmp_path / "x.png"
    image.save(path)
    for source in (path, path.read_bytes(), image, np.asarray(image)):
        aspects = profiled(source)
        assert list(aspects) == list(ASPECTS)
        assert aspects["sampling"]["width (pixels)"] == 300
        assert aspects["noise"]["Gaussian noise, sigma (grey levels)"] == pytest.approx(20, rel=0.05)


@pytest.mark.parametrize("sigma", [2, 10, 40])
def test_noise_is_measured_in_spite_of_edges(sigma):
    flat = noisy(sigma)
    squares = np.asarray(flat).astype(int) // 2 + 64
    squares[:, 100:200] -= 40
    expected = pytest.approx(sigma, rel=0.06, abs=0.3)
    assert profiled(flat)["noise"]["Gaussian noise, sigma (grey levels)"] == expected
    edged = profiled(Image.fromarray(squares.clip(0, 255).astype(np.uint8)))
    assert edged["noise"]["Gaussian noise, sigma (grey levels)"] == pytest.approx(sigma / 2, rel=0.1, abs=0.3)


def test_levels_and_information_of_known_pictures():
    black_white = np.zeros((64, 64), np.uint8)
    black_white[:, 32:] = 255
    told = profiled(black_white)
    assert told["elements"]["black share (clipped)"] == told["elements"]["white share (clipped)"] == 0.5
    assert told["elements"]["brightness, mean (0 to 255)"] == 127.5
    assert told["elements"]["brightness, spread"] == 127.5
    assert told["elements"]["distinct colours"] == 2
    assert told["information"]["entropy of grey levels (bits, at most 8)"] == 1
    assert told["structure"]["edge density (share of pixels)"] == pytest.approx(2 / 62)
    uniform = np.random.default_rng(1).integers(0, 256, (256, 256), dtype=np.uint8)
    told = profiled(uniform)["information"]
    assert told["entropy of grey levels (bits, at most 8)"] == pytest.approx(8, abs=0.01)
    assert told["entropy of differences (bits)"] > 8
    assert told["redundancy of grey levels (share)"] == pytest.approx(0, abs=0.01)


def test_a_photograph_like_picture_is_redundant_and_its_file_says_how_much():
    ramp = np.add.outer(np.arange(200), np.arange(300)) // 2 % 256
    data = encoded(Image.fromarray(ramp.astype(np.uint8)), "PNG")
    told = profiled(data)["information"]
    assert told["entropy of differences (bits)"] < 1.1 < told["entropy of grey levels (bits, at most 8)"]
    assert told["redundancy of grey levels (share)"] > 0.8
    assert told["stored (bits per pixel)"] == 8 * len(data) / 60_000
    assert told["stored / raw"] == pytest.approx(len(data) / 60_000)


@pytest.mark.parametrize("quality", [10, 50, 75, 95])
def test_the_quality_of_a_jpeg_is_estimated(quality):
    told = profiled(encoded(noisy(20), "JPEG", quality=quality))
    assert told["noise"]["JPEG quality (1 to 100, estimated)"] == pytest.approx(quality, abs=1)
    assert told["structure"]["file format"] == "JPEG"


def test_storage_is_told_as_it_was_before_it_became_rgb():
    exif = Image.Exif()
    exif[274] = 6
    told = profiled(encoded(Image.new("RGB", (40, 20), "red"), "JPEG", exif=exif, dpi=(300, 300)))
    assert told["structure"]["EXIF orientation"] == "6 (turned right to be shown)"
    assert (told["sampling"]["width (pixels)"], told["sampling"]["height (pixels)"]) == (20, 40)
    assert told["sampling"]["resolution (dots per inch)"] == 300
    deep = profiled(encoded(Image.fromarray(np.full((9, 9), 40_000, np.uint16)), "PNG"))
    assert (deep["elements"]["bits per channel"], deep["elements"]["channels"]) == (16, 1)
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    moving = profiled(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert moving["structure"]["frames"] == 3
    assert moving["elements"]["mode"] == "palette"


def test_what_cannot_be_seen_is_missing():
    half = Image.new("RGBA", (10, 10), "blue")
    half.paste((0, 0, 0, 0), (0, 0, 10, 4))
    told = profiled(encoded(half, "PNG"))
    assert told["structure"]["alpha channel"] is True
    assert told["noise"]["transparent share"] == 0.4
    values = np.zeros((10, 10), np.float32)
    values[0] = np.nan
    torn = profiled(encoded(Image.fromarray(values), "TIFF"))
    assert torn["noise"]["missing share (not a number)"] == pytest.approx(0.1)


def test_tiles_make_no_difference(monkeypatch):
    image = Image.fromarray(np.random.default_rng(2).integers(0, 256, (70, 90, 3), dtype=np.uint8))
    whole = profiled(image)
    monkeypatch.setattr(module, "TILE", 32)
    cut = profiled(image)
    for aspect in ("elements", "structure", "noise"):
        assert cut[aspect] == pytest.approx(whole[aspect]), aspect
    names = ["entropy of grey levels (bits, at most 8)", "entropy of differences (bits)"]
    assert [cut["information"][name] for name in names] == [whole["information"][name] for name in names]


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (300, 1)])
def test_the_smallest_pictures_have_a_profile(size):
    told = profiled(Image.new("RGB", size, "white"))
    assert told["noise"]["Gaussian noise, sigma (grey levels)"] is None
    assert told["elements"]["white share (clipped)"] == 1


def test_what_is_remembered_of_the_file_changes_no_pixel_and_no_fingerprint():
    reader, image = ImageReader(), noisy(5)
    raw = reader.load(encoded(image, "PNG"))
    again = reader.load(raw)
    assert reader.fingerprint(raw) == reader.fingerprint(again) == reader.fingerprint(reader.load(image))
    assert reader.profile(again).aspects == reader.profile(raw).aspects
