"""Features that were kept equal fresh ones bit for bit, and no key is taken for another."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from numbered import holds, keys, made, same, written

from mmagent.errors import UserError
from mmagent.feature_cache import FeatureCache, FeatureKey
from mmagent.modality import Features


def test_what_was_put_in_comes_out_bit_for_bit(place: Path) -> None:
    cache = FeatureCache(place)
    cache.put_many(keys([1, 2]), made([1, 2]))
    assert same(cache.get_many(keys([2]))[keys([2])[0]], made([2]))  # not published yet
    assert not holds(place, [1])
    cache.flush()
    assert holds(place, [2, 1])
    assert cache.get_many(keys([3])) == {}


def test_special_values_keep_their_bits(place: Path) -> None:
    odd = torch.tensor([[[float("nan"), -0.0, float("inf"), 1e-42]]])
    with FeatureCache(place) as cache:
        cache.put_many(keys([1]), Features(odd, torch.ones(1, 1, dtype=torch.bool), odd[:, 0]))
    found = FeatureCache(place).get_many(keys([1]))[keys([1])[0]]
    assert torch.equal(found.values.view(torch.int32), odd.view(torch.int32))


@pytest.mark.parametrize(
    "other",
    [FeatureKey("content 2", "e1"), FeatureKey("content 1", "e2"), FeatureKey("content 1", "e1", "crop")],
)
def test_another_content_encoder_or_transform_is_another_feature(place: Path, other: FeatureKey) -> None:
    written(place, [1])
    cache = FeatureCache(place)
    assert cache.missing([*keys([1]), other, other]) == [other]
    cache.put_many([other], made([9]))
    assert same(cache.get_many([other])[other], made([9]))
    assert same(cache.get_many(keys([1]))[keys([1])[0]], made([1]))


def test_inputs_of_different_length_come_back_without_padding(place: Path) -> None:
    values, mask = torch.randn(2, 5, 4), torch.ones(2, 5, dtype=torch.bool)
    mask[0, 1] = mask[1, 3:] = False  # a hole, which stays, and padding, which does not
    values = values * mask.unsqueeze(-1)
    with FeatureCache(place) as cache:
        cache.put_many(keys([1, 2]), Features(values, mask, values.mean(1)))
    found = FeatureCache(place).get_many(keys([1, 2]))
    first, second = (found[key] for key in keys([1, 2]))
    assert same(first, Features(values[:1], mask[:1], values[:1].mean(1)))
    assert same(second, Features(values[1:, :3], mask[1:, :3], values[1:].mean(1)))


def test_float16_takes_half_and_is_kept_apart(place: Path) -> None:
    written(place, [1])
    with FeatureCache(place, dtype="float16") as cache:
        assert cache.missing(keys([1])) == keys([1])
        cache.put_many(keys([1]), made([1]))
    found = FeatureCache(place, dtype="float16").get_many(keys([1]))[keys([1])[0]]
    assert same(found, Features(made([1]).values.half().float(), found.mask, made([1]).pooled.half().float()))
    with pytest.raises(UserError, match="70000 does not fit float16"):
        cache.put_many(
            keys([2]), Features(torch.full((1, 1, 4), 7e4), torch.ones(1, 1).bool(), torch.ones(1, 4))
        )
    with pytest.raises(UserError, match="float32 or float16, not 'bfloat16'"):
        FeatureCache(place, dtype="bfloat16")


def test_a_shard_is_published_when_it_is_full_or_old(place: Path) -> None:
    cache = FeatureCache(place, shard_bytes=200)
    for number in range(4):
        cache.put_many(keys([number]), made([number]))  # 72 bytes each
    assert holds(place, [0, 1, 2])
    cache = FeatureCache(place / "2", shard_seconds=0)
    cache.put_many(keys([1]), made([1]))
    assert holds(place / "2", [1])


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"feature cache in .*file.* cannot be used.*mmagent cache clean"):
        FeatureCache(tmp_path / "file").put_many(keys([1]), made([1]))


def test_the_users_cache_folder_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert FeatureCache().directory == tmp_path / "mmagent" / "features"
