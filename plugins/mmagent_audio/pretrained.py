"""Any transformers model that hears (Whisper, wav2vec2, HuBERT, AST, CLAP) as a frozen encoder of sound.

Its last hidden state gives the features, a map (d, H, W) read row by row; the pooled feature is their mean.
Of a model with several halves the one that hears is used: Whisper's encoder, CLAP's audio half. A long sound
is encoded window by window; what a model only sees as padding is left out.
"""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from transformers import AutoFeatureExtractor, AutoModel

from mmagent.checkpoint import demand_weights, digest_config, digest_tensors, loading_errors
from mmagent.dense import quicken
from mmagent.errors import UserError
from mmagent.features import joined, stacked
from mmagent.hub import local_only, quiet
from mmagent.modality import Features
from mmagent_audio.encoder import windows
from mmagent_audio.sound import Sound

__all__ = ["PretrainedEncoder"]

HEARS = ("input_values", "input_features")
UNUSED = ("masked_spec_embed",)  # weights that only training needs
SECONDS = 20.0  # of a window, where the model itself sets no end
SHORTEST = 0.1  # seconds; what is shorter is filled up with silence
MOST = 3000  # features of a sound; of a longer one neighbours are averaged


class PretrainedEncoder:
    """A frozen model that hears, with its feature extractor."""

    def __init__(self, model: Any, extractor: Any) -> None:
        self.model, self.extractor = model.eval().requires_grad_(False), extractor
        self.accepted = set(inspect.signature(model.forward).parameters)
        self.rate = int(extractor.sampling_rate)
        self.seconds = _longest(extractor) / 1.5  # `windows` gives windows of up to one and a half

    @classmethod
    def load(
        cls, location: str, *, device: torch.device, dtype: torch.dtype, trust_remote_code: bool = False
    ) -> PretrainedEncoder:
        """The model in a directory or under a hub id, from safetensors only. Raises `UserError`."""
        with quiet(), loading_errors(location):
            options = {"trust_remote_code": trust_remote_code, "local_files_only": local_only(location)}
            model = _load_model(location, dtype, options)
            auto: Any = AutoFeatureExtractor
            extractor = auto.from_pretrained(location, **options)
        if not hasattr(extractor, "sampling_rate"):
            raise UserError(
                f"{location} prepares no sound: {type(extractor).__name__}. Give a model that hears."
            )
        quicken(model.to(device))
        return cls(model, extractor)

    @cached_property
    def d_encoder(self) -> int:
        """Width of a feature, seen by encoding a second of silence."""
        return int(self._window(torch.zeros(self.rate)).shape[-1])

    @cached_property
    def id(self) -> str:
        """sha256 over weights, buffers, configuration and feature extractor; their dtype is part of it."""
        digest = hashlib.sha256()
        for about in (self.model.config.to_dict(), self.extractor.to_dict()):
            digest_config(digest, about)
        digest_tensors(digest, self.model.state_dict())
        return digest.hexdigest()

    def encode(self, batch: Sequence[Sound]) -> Features:
        """values (B, n, d_encoder), mask (B, n), pooled (B, d_encoder), float32; n is that of the longest.

        Every sound is encoded by itself, so a batch gives what each gives alone. Raises `UserError`.
        """
        if not batch:
            return stacked([], self.d_encoder, next(self.model.parameters()).device)
        made: dict[int, Features] = {}
        for sound in batch:
            if id(sound) not in made:
                made[id(sound)] = self._one(sound)
        return joined([made[id(sound)] for sound in batch])

    def _one(self, sound: Sound) -> Features:
        parts: list[Tensor] = []
        total, count, together = torch.zeros(()), 0, 1
        n_windows = sound.seconds / self.seconds
        for piece in windows(sound, self.rate, self.seconds):
            made = self._window(piece)  # (n, d)
            total, count = total.to(made.device) + made.sum(0), count + len(made)
            if not parts:
                together = max(1, math.ceil(n_windows * len(made) / MOST))
            groups = made.tensor_split(math.ceil(len(made) / together))
            parts.append(torch.stack([group.mean(0) for group in groups]) if together > 1 else made)
        values = torch.cat(parts).unsqueeze(0)
        mask = torch.ones(values.shape[:2], dtype=torch.bool, device=values.device)
        return Features(values, mask, (total / count).unsqueeze(0))

    @torch.no_grad()
    def _window(self, piece: Tensor) -> Tensor:
        """Features (n, d) of one window of mono samples, without those of padding."""
        self.model.eval()
        piece = torch.nn.functional.pad(piece, (0, max(0, round(SHORTEST * self.rate) - len(piece))))
        options = {"sampling_rate": self.rate, "return_tensors": "pt"}
        if "return_attention_mask" in inspect.signature(self.extractor.__call__).parameters:
            options["return_attention_mask"] = True
        made = self.extractor(piece.numpy(), **options)
        weight = next(self.model.parameters())
        inputs = {
            key: value.to(weight.device, weight.dtype if value.is_floating_point() else None)
            for key, value in made.items()
            if key in self.accepted
        }
        hidden: Tensor = self.model(**inputs).last_hidden_state
        mask = made.get("attention_mask")
        share = 1.0 if mask is None else float(mask.float().mean())
        if getattr(self.model.config, "model_type", "") == AST:
            share = len(piece) / self.rate / _longest(self.extractor)
            return _patches(hidden[0], self.model.config, share).float()
        flat = hidden.flatten(2).transpose(1, 2) if hidden.ndim == 4 else hidden
        return flat[0, : max(1, math.ceil(share * flat.shape[1] - 1e-6))].float()


AST = "audio-spectrogram-transformer"


def _longest(extractor: Any) -> float:
    """Seconds that a model hears at once."""
    if (chunk := getattr(extractor, "chunk_length", None)) and hasattr(extractor, "n_samples"):
        return float(chunk)  # Whisper
    if longest := getattr(extractor, "max_length_s", None):
        return float(longest)  # CLAP
    if (frames := getattr(extractor, "max_length", None)) and hasattr(extractor, "num_mel_bins"):
        return float(frames) / 100  # AST: frames of 10 ms
    return SECONDS * 1.5


def _patches(hidden: Tensor, config: Any, share: float) -> Tensor:
    """Of the features (2 + f * t, d) of a spectrogram's patches those of the share that is no padding."""
    f = (config.num_mel_bins - config.patch_size) // config.frequency_stride + 1
    t = (config.max_length - config.patch_size) // config.time_stride + 1
    grid = hidden[-f * t :].view(f, t, -1)
    return grid[:, : max(1, math.ceil(min(1.0, share) * t))].transpose(0, 1).flatten(0, 1)


def _load_model(location: str, dtype: torch.dtype, options: dict[str, Any]) -> Any:
    """The half of a model that hears, every weight of it from the checkpoint."""
    # transformers looks for a PEFT adapter first, and asks the hub about it unless told not to
    no_hub = {"local_files_only": options["local_files_only"]}
    options = {**options, "use_safetensors": True, "dtype": dtype, "output_loading_info": True}
    model, report = AutoModel.from_pretrained(location, adapter_kwargs=no_hub, **options)
    half, prefix = model, ""
    if getattr(model, "audio_model", None) is not None:
        half, prefix = model.audio_model, "audio_model."
    elif getattr(model.config, "is_encoder_decoder", False):
        half, prefix = model.get_encoder(), "encoder."
    takes = getattr(half, "main_input_name", "input_ids")
    if takes not in HEARS:
        raise UserError(
            f"{location} holds a {model.config.model_type} model, which takes {takes} and not sound. Give a "
            "model that hears, such as Whisper, wav2vec2, HuBERT, AST or CLAP."
        )
    missing = [key for key in report["missing_keys"] if key.startswith(prefix) and not key.endswith(UNUSED)]
    mismatched = [str(key[0]) for key in report["mismatched_keys"] if str(key[0]).startswith(prefix)]
    demand_weights(location, missing=missing, of_another_shape=mismatched)
    return half
