"""PatchTST and PatchTSMixer by directory: shapes, batched = single, complete weights, what does not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    GPT2Config,
    GPT2Model,
    PatchTSMixerConfig,
    PatchTSMixerModel,
    PatchTSTConfig,
    PatchTSTForClassification,
    PatchTSTModel,
)

from mmagent.dense import Dense
from mmagent.errors import UserError
from mmagent_series.pretrained import SLOTS, PatchEncoder
from mmagent_series.reader import SeriesReader

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {"context_length": 32, "patch_length": 8, "patch_stride": 8, "d_model": 16}
TST: dict[str, Any] = {**SMALL, "num_hidden_layers": 1, "num_attention_heads": 2, "ffn_dim": 16}
MAKERS: dict[str, Callable[[], Any]] = {
    "patchtst": lambda: PatchTSTModel(PatchTSTConfig(**TST, num_input_channels=1, do_mask_input=True)),
    "patchtst, 2 channels": lambda: PatchTSTModel(PatchTSTConfig(**TST, num_input_channels=2)),
    "patchtst, class token": lambda: PatchTSTModel(PatchTSTConfig(**TST, use_cls_token=True)),
    "patchtst, unscaled": lambda: PatchTSTModel(PatchTSTConfig(**TST, scaling=None)),
    "classifier": lambda: PatchTSTForClassification(PatchTSTConfig(**TST, num_targets=3)),
    "patchtsmixer": lambda: PatchTSMixerModel(PatchTSMixerConfig(**SMALL, num_layers=1)),
    "mixing": lambda: PatchTSMixerModel(
        PatchTSMixerConfig(**SMALL, num_layers=1, mode="mix_channel", num_input_channels=3)
    ),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Where a small model of a kind is saved, as any transformers checkpoint."""
    root = tmp_path_factory.mktemp("encoders")

    def saved(kind: str) -> Path:
        if not (root / kind).exists():
            torch.manual_seed(0)
            MAKERS[kind]().save_pretrained(root / kind)
        return root / kind

    return saved


def open_encoder(reader: SeriesReader, path: Path, dtype: torch.dtype = torch.float32) -> PatchEncoder:
    """The encoder as an agent gets it."""
    return reader.load_encoder(str(path), device=CPU, dtype=dtype)  # type: ignore[return-value]


@pytest.mark.parametrize("kind", [kind for kind in MAKERS if kind != "mixing"])
def test_batched_is_single(reader: SeriesReader, place: Callable[[str], Path], kind: str):
    encoder = open_encoder(reader, place(kind))
    rng = np.random.default_rng(0)
    batch = [reader.load(rng.normal(size=shape)) for shape in ((32, 1), (10, 2), (100, 3), (1, 1), (32, 11))]
    together = encoder.encode(batch)
    patches = 5 if "token" in kind else 4
    assert encoder.d_encoder == SLOTS * 18
    assert together.values.shape == (5, 4 * patches, encoder.d_encoder)
    assert together.mask.sum(1).tolist() == [patches, patches, 4 * patches, patches, patches]
    assert not together.values[~together.mask].any()
    for at, one in enumerate(batch):
        alone = encoder.encode([one])
        torch.testing.assert_close(alone.pooled[0], together.pooled[at], atol=1e-5, rtol=1e-5)
    assert torch.equal(encoder.encode(batch).pooled, together.pooled)  # nothing is masked at random
    assert (together.pooled[0] - together.pooled[3]).abs().max() > 0.1


def test_features_are_the_models_own(reader: SeriesReader, place: Callable[[str], Path]):
    encoder = open_encoder(reader, place("patchtst"))
    wave = np.sin(np.arange(32) / 3)
    model = PatchTSTModel.from_pretrained(place("patchtst"), do_mask_input=False).eval()
    with torch.no_grad():
        hidden = model(past_values=torch.tensor(wave[None, :, None], dtype=torch.float32)).last_hidden_state
    found = encoder.encode([reader.load(wave)]).values[0]
    torch.testing.assert_close(found[:, :16], hidden[0, 0], atol=1e-5, rtol=1e-5)
    assert found[0, 16:18].tolist() == pytest.approx([np.arcsinh(wave.mean()), np.arcsinh(wave.std())])
    assert not found[:, 18:].any()


def test_a_model_that_reads_channels_together_takes_its_own_number(
    reader: SeriesReader, place: Callable[[str], Path]
):
    encoder = open_encoder(reader, place("mixing"))
    assert (
        encoder.encode([reader.load(np.random.default_rng(0).normal(size=(40, 3)))]).pooled.isfinite().all()
    )
    with pytest.raises(UserError, match="takes series of 3 channels"):
        encoder.encode([reader.load(np.zeros((40, 2)) + np.arange(40)[:, None])])


def test_id_hangs_on_weights_and_dtype(reader: SeriesReader, place: Callable[[str], Path], tmp_path: Path):
    first = open_encoder(reader, place("patchtst"))
    assert first.id == open_encoder(reader, place("patchtst")).id
    assert first.id != open_encoder(reader, place("patchtst"), torch.bfloat16).id
    weights = load_file(place("patchtst") / "model.safetensors")
    name = next(name for name in weights if name.endswith("input_embedding.weight"))
    weights[name] += 1e-3
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_bytes((place("patchtst") / "config.json").read_bytes())
    assert open_encoder(reader, tmp_path).id != first.id
    half = open_encoder(reader, place("patchtst"), torch.bfloat16)
    assert half.encode([reader.load(np.arange(40.0))]).pooled.dtype == torch.float32


def test_what_is_no_encoder_is_told(reader: SeriesReader, place: Callable[[str], Path], tmp_path: Path):
    GPT2Model(GPT2Config(n_embd=8, n_layer=1, n_head=1, vocab_size=9, n_positions=8)).save_pretrained(
        tmp_path / "gpt2"
    )
    with pytest.raises(UserError, match="gpt2 model; series are encoded by patchtst or patchtsmixer"):
        open_encoder(reader, tmp_path / "gpt2")
    with pytest.raises(UserError, match=r"no config\.json"):
        open_encoder(reader, tmp_path)
    with pytest.raises(UserError, match="no such directory"):
        open_encoder(reader, tmp_path / "none")
    with pytest.raises(UserError, match=r"builtin|hub"):
        reader.load_encoder("nobody/nothing", device=CPU, dtype=torch.float32)
    short = tmp_path / "short"
    short.mkdir()
    weights = load_file(place("patchtst") / "model.safetensors")
    weights.pop(next(iter(sorted(weights))))
    save_file(weights, short / "model.safetensors", metadata={"format": "pt"})
    (short / "config.json").write_text(
        json.dumps(json.loads((place("patchtst") / "config.json").read_text()))
    )
    with pytest.raises(UserError, match=r"1 weights missing \(encoder"):
        open_encoder(reader, short)
    (short / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(UserError, match="damaged"):
        open_encoder(reader, short)


@pytest.mark.parametrize("kind", MAKERS)
def test_dense_layers_are_multiplied_as_is_fastest(
    reader: SeriesReader, place: Callable[[str], Path], kind: str
):
    model = open_encoder(reader, place(kind)).model
    layers = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    assert layers
    assert all(type(layer) is Dense for layer in layers)
