"""Models of transformers that hear, made here with random weights: Whisper, wav2vec2, AST and CLAP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mmagent.dense import Dense
from mmagent.errors import UserError
from mmagent_audio.reader import AudioReader
from mmagent_audio.sound import from_array

CPU, FLOAT = torch.device("cpu"), torch.float32
SMALL = {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 16}


def whisper(place: Path) -> None:
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

    sizes: dict[str, Any] = {
        **{"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2},
        **{"decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "vocab_size": 40},
        **{"num_mel_bins": 16, "max_source_positions": 50, "max_target_positions": 8},
        **{"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 3},
    }
    WhisperModel(WhisperConfig(**sizes)).save_pretrained(place)
    WhisperFeatureExtractor(feature_size=16, chunk_length=1).save_pretrained(place)


def wav2vec2(place: Path) -> None:
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    convolutions: dict[str, Any] = {"conv_dim": (8, 8), "conv_kernel": (10, 8), "conv_stride": (10, 8)}
    positions = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}
    Wav2Vec2Model(Wav2Vec2Config(**SMALL, **convolutions, **positions)).save_pretrained(place)
    Wav2Vec2FeatureExtractor(sampling_rate=16_000).save_pretrained(place)


def ast(place: Path) -> None:
    from transformers import ASTConfig, ASTFeatureExtractor, ASTModel

    ASTModel(ASTConfig(**SMALL, max_length=64, num_mel_bins=32)).save_pretrained(place)
    ASTFeatureExtractor(max_length=64, num_mel_bins=32).save_pretrained(place)


def clap(place: Path) -> None:
    from transformers import ClapAudioConfig, ClapConfig, ClapFeatureExtractor, ClapModel, ClapTextConfig

    audio: dict[str, Any] = {
        **{"spec_size": 64, "num_mel_bins": 16, "window_size": 2, "patch_size": 4, "patch_stride": [4, 4]},
        **{"patch_embeds_hidden_size": 8, "depths": [1, 1], "num_attention_heads": [2, 2], "hidden_size": 16},
        **{"projection_dim": 8, "num_hidden_layers": 2},
    }
    text: dict[str, Any] = {**SMALL, "vocab_size": 40, "projection_dim": 8}
    config = ClapConfig(
        text_config=ClapTextConfig(**text), audio_config=ClapAudioConfig(**audio), projection_dim=8
    )
    ClapModel(config).save_pretrained(place)
    ClapFeatureExtractor(
        feature_size=16, max_length_s=1, sampling_rate=16_000, truncation="rand_trunc"
    ).save_pretrained(place)


KINDS: dict[str, Callable[[Path], None]] = {
    "whisper": whisper,
    "wav2vec2": wav2vec2,
    "ast": ast,
    "clap": clap,
}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A directory with a model of each kind."""
    made = {}
    for name, make in KINDS.items():
        made[name] = tmp_path_factory.mktemp(name)
        torch.manual_seed(0)
        make(made[name])
    return made


def load(place: Path) -> Any:
    """The encoder in a directory."""
    return AudioReader().load_encoder(str(place), device=CPU, dtype=FLOAT)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_hears(places: dict[str, Path], kind: str, tone: Callable[..., Any]) -> None:
    encoder = load(places[kind])
    sounds = [from_array(tone(300 * k, seconds=s), 8000) for k, s in ((1, 0.3), (2, 2.2), (3, 0.001))]
    together = encoder.encode(sounds)
    assert together.pooled.shape == (3, encoder.d_encoder)
    assert together.values.dtype == torch.float32
    counts = together.mask.sum(1).tolist()
    assert together.values.shape[1] == counts[1] == max(counts)
    if kind != "clap":  # which repeats a short sound until its window is full
        assert counts[0] < counts[1] / 3
    for row, sound in enumerate(sounds):
        alone = encoder.encode([sound])
        assert torch.equal(together.pooled[row], alone.pooled[0])
        assert torch.equal(together.values[row, : counts[row]], alone.values[0])
        assert torch.allclose(alone.pooled[0], alone.values[0].mean(0), atol=1e-5)
    assert (together.pooled[0] - together.pooled[1]).abs().max() > 1e-4
    assert encoder.encode([]).pooled.shape == (0, encoder.d_encoder)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_changes_and_the_id_tells_models_apart(
    places: dict[str, Path], kind: str, tone: Callable[..., Any]
) -> None:
    encoder, sound = load(places[kind]), from_array(tone(), 8000)
    before = encoder.id
    encoder.model.train()
    first = encoder.encode([sound]).pooled
    assert torch.equal(first, encoder.encode([sound]).pooled)
    assert not any(p.requires_grad for p in encoder.model.parameters())
    assert load(places[kind]).id == before
    next(encoder.model.parameters()).data += 1
    del encoder.__dict__["id"]
    assert encoder.id != before


def test_a_long_sound_gives_no_more_features_than_fit(
    places: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmagent_audio.pretrained.MOST", 100)
    encoder = load(places["whisper"])
    noise = np.random.default_rng(0).standard_normal(16_000 * 20).astype(np.float32)
    made = encoder.encode([from_array(noise, 16_000)])
    assert 40 < made.values.shape[1] <= 140  # 20 s are 1000 features of 20 ms
    assert torch.allclose(made.pooled[0], made.values[0].mean(0), atol=0.1)


def test_weights_must_be_those_of_the_config(places: dict[str, Path], tmp_path: Path) -> None:
    import shutil

    place = tmp_path / "broken"
    shutil.copytree(places["wav2vec2"], place)
    state = load_file(place / "model.safetensors")
    save_file(
        {name: tensor for name, tensor in state.items() if "layers.0" not in name},
        place / "model.safetensors",
    )
    with pytest.raises(UserError, match="weights missing"):
        load(place)


def test_a_model_that_does_not_hear(tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel, Wav2Vec2FeatureExtractor

    BertModel(BertConfig(**SMALL, vocab_size=30)).save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    with pytest.raises(UserError, match="takes input_ids and not sound"):
        load(tmp_path)


def test_yamnet(shared_models: Path, tone: Callable[..., Any]) -> None:
    encoder = load(shared_models / "yamnet")
    assert encoder.d_encoder == 1024
    sounds = [from_array(tone(seconds=s), 8000) for s in (0.3, 3.0)]
    made = encoder.encode(sounds)
    assert made.mask.sum(1).tolist() == [1, 5]  # patches of 0.975 s every 0.48 s
    assert torch.equal(made.pooled[0], encoder.encode(sounds[:1]).pooled[0])
    assert torch.nn.functional.cosine_similarity(*made.pooled, dim=0) > 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_dense_layers_are_multiplied_as_is_fastest(places: dict[str, Path], kind: str) -> None:
    layers = [module for module in load(places[kind]).model.modules() if isinstance(module, torch.nn.Linear)]
    assert layers
    assert all(type(layer) is Dense for layer in layers)
