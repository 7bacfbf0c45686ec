"""Sources through the embedded encoder and the cache: the same features, each content encoded once."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mmagent.errors import UserError
from mmagent.feature_cache import CachedFeatures, FeatureCache, content_of, encode_cached
from mmagent.feature_cache.encode import encode_evenly
from mmagent.modality import Features
from mmagent_image.reader import ImageReader
from mmagent_tiny import __file__ as tiny

READER = ImageReader()


class Counting:
    """An encoder that remembers how many inputs each of its batches had, those that fill it up aside."""

    def __init__(self, encoder: Any, id: str = "") -> None:
        self.encoder, self.id, self.batches = encoder, id or encoder.id, []
        self.d_encoder = encoder.d_encoder

    batches: list[int]

    def encode(self, batch: Sequence[Any]) -> Features:
        self.batches.append(len({id(one) for one in batch}))
        found: Features = self.encoder.encode(batch)
        return found


@pytest.fixture(scope="module")
def embedded() -> Any:
    """The image encoder of the embedded bundle."""
    place = Path(tiny).parent / "tiny" / "image" / "encoder"
    return READER.load_encoder(str(place), device=torch.device("cpu"), dtype=torch.float32)


@pytest.fixture
def encoder(embedded: Any) -> Counting:
    return Counting(embedded)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "features"


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Three small pictures of noise."""
    found = []
    for seed in range(3):
        pixels = np.random.default_rng(seed).integers(0, 255, (24 + seed, 40, 3), np.uint8)
        found.append(tmp_path / f"{seed}.png")
        Image.fromarray(pixels).save(found[-1])
    return found


def same(one: Features, other: Features) -> bool:
    """Whether two batches are equal bit for bit, shapes and types included."""
    pairs = ((one.values, other.values), (one.mask, other.mask), (one.pooled, other.pooled))
    return all(a.dtype == b.dtype and torch.equal(a, b) for a, b in pairs)


def cached(encoder: Any, sources: Sequence[object], place: Path, **settings: Any) -> CachedFeatures:
    return encode_cached(READER, encoder, sources, FeatureCache(place), **settings)


def test_cached_equals_uncached_bit_for_bit(encoder: Counting, photos: list[Path], place: Path) -> None:
    fresh = encode_evenly(encoder.encoder, [READER.load(photo) for photo in photos])
    for _ in range(2):  # just encoded, then as another run finds it
        found = cached(encoder, photos, place)
        assert len(found) == 3
        assert same(found.batch(range(3)), fresh)
        for at, one in enumerate(found):
            assert same(one, Features(fresh.values[[at]], fresh.mask[[at]], fresh.pooled[[at]]))
    assert encoder.batches == [3]


def test_features_are_the_same_bits_whatever_was_encoded_with_them(
    encoder: Counting, photos: list[Path], place: Path
) -> None:
    together = cached(encoder, photos, place / "together")
    for at, photo in enumerate(photos):
        assert same(cached(encoder, [photo], place / str(at))[0], together[at])


def test_each_content_is_encoded_once_in_batches(
    encoder: Counting, photos: list[Path], place: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.png"
    shutil.copy(photos[0], copy)
    told: list[tuple[int, int]] = []
    sources = [photos[0], str(photos[1]), copy, photos[2].read_bytes(), photos[2], photos[0]]
    found = cached(encoder, sources, place, batch_size=2, progress=lambda *numbers: told.append(numbers))
    assert encoder.batches == [2, 1]
    assert told == [(0, 3), (2, 3), (3, 3)]
    assert same(found[0], found[2])
    assert same(found[3], found[4])
    assert not same(found[0], found[1])
    cached(encoder, sources, place, progress=lambda *numbers: told.append(numbers))
    assert told[3:] == [(3, 3)]
    assert encoder.batches == [2, 1]


def test_pictures_in_memory_go_by_their_pixels(encoder: Counting, photos: list[Path], place: Path) -> None:
    pixels = np.asarray(Image.open(photos[0]))
    other = pixels.copy()
    other[0, 0, 0] ^= 1
    with photos[1].open("rb") as stream:
        found = cached(encoder, [Image.open(photos[0]), pixels, other, stream], place)
    assert encoder.batches == [3]
    assert same(found[0], found[1])
    assert content_of(pixels, READER) != content_of(other, READER)
    assert found[3].values.shape == found[0].values.shape


def test_a_changed_byte_encoder_or_transform_is_encoded_again(
    embedded: Any, photos: list[Path], place: Path
) -> None:
    first = cached(Counting(embedded), photos[:1], place)
    changed = photos[0].with_name("changed.png")
    changed.write_bytes(photos[0].read_bytes() + b"\0")  # decodes to the same picture all the same
    for source, id, transform in ((changed, "", ""), (photos[0], "other", ""), (photos[0], "", "crop")):
        again = Counting(embedded, id)
        found = cached(again, [source], place, transform=transform)
        assert again.batches == [1]
        assert found.keys[0] != first.keys[0]


def test_what_was_encoded_before_an_error_is_kept(encoder: Counting, photos: list[Path], place: Path) -> None:
    broken = photos[0].with_name("broken.png")
    broken.write_bytes(photos[0].read_bytes()[:60])
    with pytest.raises(UserError, match=r"broken\.png"):
        cached(encoder, [photos[0], photos[1], broken], place, batch_size=1)
    encoder.batches.clear()
    cached(encoder, photos, place)
    assert encoder.batches == [1]


def test_a_missing_file_is_told(encoder: Counting, place: Path) -> None:
    with pytest.raises(UserError, match=r"there is no file no\.png"):
        cached(encoder, ["no.png"], place)


def test_what_the_cache_loses_meanwhile_is_encoded_again(
    encoder: Counting, photos: list[Path], place: Path
) -> None:
    found = cached(encoder, photos, place)
    fresh = found.batch([0, 1, 2])
    for shard in place.rglob("*.shard"):
        data = bytearray(shard.read_bytes())
        data[40] ^= 1  # in a record, so that only reading it shows
        shard.unlink()
        shard.write_bytes(data)
    later = cached(encoder, photos, place)
    torch.testing.assert_close(later.batch([0, 1, 2]).values, fresh.values)
    FeatureCache(place).clean()
    encoder.batches.clear()
    later = CachedFeatures(READER, encoder, photos, later.keys, FeatureCache(place))
    assert same(later.batch([0, 1, 2]), fresh)
    assert same(later[1], found[1])
    assert encoder.batches == [3]


def test_a_file_that_changes_meanwhile_is_no_stand_in(
    encoder: Counting, photos: list[Path], place: Path
) -> None:
    found = cached(encoder, photos, place)
    shutil.copy(photos[1], photos[0])
    FeatureCache(place).clean()
    found = CachedFeatures(READER, encoder, photos, found.keys, FeatureCache(place))
    with pytest.raises(UserError, match=r"0\.png changed while its features were in use"):
        found[0]


def test_an_encoder_is_let_go_and_had_again_when_the_cache_loses_something(
    encoder: Counting, photos: list[Path], place: Path
) -> None:
    had: list[Counting] = []

    def again() -> Counting:
        had.append(Counting(encoder.encoder))
        return had[-1]

    passing = Counting(encoder.encoder)
    alive = weakref.ref(passing)
    found = cached(passing, photos, place, again=again)
    del passing
    assert alive() is None
    fresh = found.batch([0, 1, 2])
    assert not had
    FeatureCache(place).clean()
    found = CachedFeatures(READER, encoder, photos, found.keys, FeatureCache(place), again=again)
    found.rest()
    assert same(found.batch([0, 2]), fresh_of(fresh, [0, 2]))
    assert same(found[1], fresh_of(fresh, [1]))
    assert [one.batches for one in had] == [[2, 1]]  # once, for both


def test_an_encoder_that_changed_meanwhile_is_no_stand_in(
    encoder: Counting, photos: list[Path], place: Path
) -> None:
    keys = cached(encoder, photos, place).keys
    FeatureCache(place).clean()
    found = CachedFeatures(
        READER, encoder, photos, keys, FeatureCache(place), again=lambda: Counting(encoder.encoder, "another")
    )
    found.rest()
    with pytest.raises(UserError, match="the encoder changed while its features were in use"):
        found[0]


def fresh_of(features: Features, at: list[int]) -> Features:
    return Features(features.values[at], features.mask[at], features.pooled[at])
