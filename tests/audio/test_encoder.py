"""The embedded kind of encoder: shapes, batched = single, long sounds in windows, what it is saved as."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mmagent.errors import UserError
from mmagent_audio.encoder import N_FIGURES
from mmagent_audio.reader import AudioReader
from mmagent_audio.sound import from_array

CPU, FLOAT = torch.device("cpu"), torch.float32


@pytest.fixture(params=["random", "builtin"])
def either(request: pytest.FixtureRequest, encoder: Any) -> Any:
    """The random encoder, and the one that needs no weights."""
    if request.param == "random":
        return encoder
    return AudioReader().load_encoder("builtin", device=CPU, dtype=FLOAT)


def test_a_batch_gives_what_each_sound_gives_alone(either: Any, tone: Callable[..., Any]) -> None:
    sounds = [from_array(tone(300 * k, seconds=s), 8000) for k, s in ((1, 0.3), (2, 7.3), (3, 0.001))]
    together = either.encode(sounds)
    for row, sound in enumerate(sounds):
        alone = either.encode([sound])
        n = alone.values.shape[1]
        assert torch.equal(together.pooled[row], alone.pooled[0])
        assert torch.equal(together.values[row, :n], alone.values[0])
        assert together.mask[row].sum() == n
        assert not together.values[row, n:].any()
    assert len({tuple(row.tolist()) for row in together.pooled}) == 3


def test_shapes_and_windows(either: Any, tone: Callable[..., Any]) -> None:
    made = either.encode([from_array(tone(seconds=2.9), 8000), from_array(tone(seconds=7.5), 8000)])
    n = either.network.config.n_segments
    assert made.values.shape == (2, 4 * n, either.d_encoder)  # windows of 2, 2, 2 and 1.5 s
    assert made.mask.sum(1).tolist() == [n, 4 * n]
    assert made.pooled.dtype == torch.float32
    assert either.encode([]).pooled.shape == (0, either.d_encoder)


def test_pooled_keeps_the_order_of_time(tone: Callable[..., Any]) -> None:
    encoder = AudioReader().load_encoder("builtin", device=CPU, dtype=FLOAT)
    low, high = tone(250, seconds=0.3), tone(2500, seconds=0.3)
    n, own = encoder.network.config.n_segments, encoder.d_encoder - N_FIGURES
    there, back = (
        encoder.encode([from_array(np.concatenate(parts), 8000)]).pooled[0, :own].view(n, -1)
        for parts in ((low, high), (high, low))
    )
    assert (there[0] - back[-1]).norm() < 0.5 * (there[0] - back[0]).norm()
    assert (there[-1] - back[0]).norm() < 0.5 * (there[-1] - back[-1]).norm()


def test_the_same_sound_at_another_rate_or_loudness_is_heard_alike(
    encoder: Any, tone: Callable[..., Any]
) -> None:
    wave = tone(440, rate=16_000)
    own = encoder.d_encoder - N_FIGURES
    plain = encoder.encode([from_array(wave, 16_000)]).pooled[0, :own]
    other = from_array(tone(440, rate=44_100)[:, None].repeat(2, 1), 44_100)
    for sound, most in ((from_array(wave * 0.2, 16_000), 1e-4), (other, 0.15)):
        heard = encoder.encode([sound]).pooled[0, :own]
        assert (heard - plain).norm() < most * plain.norm()


def test_it_is_saved_and_loaded(encoder: Any, encoder_place: Path, tone: Callable[..., Any]) -> None:
    sound = from_array(tone(), 8000)
    loaded = AudioReader().load_encoder(str(encoder_place), device=CPU, dtype=FLOAT)
    assert torch.allclose(loaded.encode([sound]).pooled, encoder.encode([sound]).pooled, atol=0.02)
    again = AudioReader().load_encoder(str(encoder_place), device=CPU, dtype=FLOAT)
    assert again.id == loaded.id
    again.network.out.bias += 1
    del again.__dict__["id"]
    assert again.id != loaded.id
    assert not any(p.requires_grad for p in loaded.network.parameters())


def test_encoding_leaves_no_trace(encoder: Any, tone: Callable[..., Any]) -> None:
    before = {name: tensor.clone() for name, tensor in encoder.network.state_dict().items()}
    encoder.network.train()
    encoder.encode([from_array(tone(), 8000)])
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.network.state_dict().items())


@pytest.mark.parametrize("harm", ["no config", "no weights", "missing", "shape", "garbage", "nowhere"])
def test_a_broken_encoder_is_one_sentence(encoder_place: Path, harm: str) -> None:
    weights = encoder_place / "model.safetensors"
    if harm == "no config":
        (encoder_place / "config.json").unlink()
    elif harm == "no weights":
        weights.unlink()
    elif harm == "garbage":
        weights.write_bytes(b"garbage")
    else:
        state = load_file(weights)
        state["out.bias"] = state["out.bias"][:3].clone()
        save_file({} if harm == "missing" else state, weights)
    place = encoder_place.parent / "nowhere" if harm == "nowhere" else encoder_place
    with pytest.raises(UserError) as caught:
        AudioReader().load_encoder(str(place), device=CPU, dtype=FLOAT)
    assert "\n" not in str(caught.value)
    assert str(place) in str(caught.value)


def test_samples_are_read_and_the_order_of_channels_changes_nothing(either: Any) -> None:
    reader = AudioReader()
    sounds = [reader.load(sample) for sample in reader.samples()]
    assert {(one.rate, one.channels) for one in sounds} == {(8000, 1), (16_000, 2), (11_025, 1)}
    turn = reader.invariances["order of channels"]
    turned = [next(t for seed in range(9) if _unlike(t := turn(one, seed), one)) for one in sounds[1:2]]
    assert torch.allclose(either.encode(turned).pooled, either.encode(sounds[1:2]).pooled, atol=1e-5)


def _unlike(one: Any, other: Any) -> bool:
    return not np.array_equal(next(one.blocks()), next(other.blocks()))


def test_a_speaker_never_heard_is_understood_without_any_training(shared_data: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    model = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is not installed")
    rows = [
        row
        for row in parquet.read_table(shared_data / "fsdd" / "train.parquet").to_pylist()
        if row["index"] < 6
    ]
    reader = AudioReader()
    encoder = reader.load_encoder("builtin", device=CPU, dtype=FLOAT)
    x = encoder.encode([reader.load(row["audio"]) for row in rows]).pooled.numpy()
    y, new = np.array([row["label"] for row in rows]), np.array([row["speaker"] == "theo" for row in rows])
    x = (x - x[~new].mean(0)) / (x[~new].std(0) + 1e-6)
    probe = model.LogisticRegression(C=0.01, max_iter=500).fit(x[~new], y[~new])
    assert probe.score(x[new], y[new]) > 0.5  # of ten digits
