"""YAMNet's kind of encoder: a MobileNet V1 that sees patches of a log-mel spectrum as pictures.

Beside config.json (model_type mobilenet_v1, one channel, an image of 96 x 64) and model.safetensors lies
frontend.safetensors with `window` (400,) and `mel` (257, 64). A patch is 0.96 s, every 0.48 s there is one;
the log-mel as in YAMNet: magnitudes of frames of 25 ms every 10 ms, log(x + 0.001).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmagent.checkpoint import digest_tensors, loading_errors
from mmagent.errors import UserError
from mmagent.features import joined, stacked
from mmagent.hub import quiet
from mmagent.modality import Features
from mmagent_audio.resample import resampled
from mmagent_audio.sound import Sound

__all__ = ["FRONT", "YamnetEncoder"]

FRONT = "frontend.safetensors"
RATE, WINDOW, HOP, N_FFT = 16_000, 400, 160, 512
FRAMES, STEP = 96, 48  # of a patch, and to the next
OFFSET = 1e-3
AT_ONCE = 16  # patches per forward pass
MOST = 15_000  # patches of a sound; two hours


class YamnetEncoder:
    """A frozen MobileNet V1 that hears; one feature per patch."""

    def __init__(self, model: Any, window: Tensor, mel: Tensor) -> None:
        self.model = model.eval().requires_grad_(False)
        self.window, self.mel = window, mel

    @classmethod
    def load(cls, place: Path, *, device: torch.device, dtype: torch.dtype) -> YamnetEncoder:
        """The encoder in a directory. Raises `UserError`."""
        from safetensors.torch import load_file
        from transformers import AutoModel

        with quiet(), loading_errors(str(place), files=f"config.json, model.safetensors and {FRONT}"):
            options = {"use_safetensors": True, "dtype": dtype, "local_files_only": True}
            model, report = AutoModel.from_pretrained(place, output_loading_info=True, **options)
            front = load_file(place / FRONT)
            window, mel = front["window"].float(), front["mel"].float()
            if window.shape != (WINDOW,) or mel.shape != (N_FFT // 2 + 1, model.config.image_size[1]):
                raise ValueError(f"{FRONT} has window {tuple(window.shape)} and mel {tuple(mel.shape)}.")
        if missing := sorted(report["missing_keys"]):
            raise UserError(f"{place} lacks the weights {', '.join(missing[:3])}. Fetch the encoder again.")
        return cls(model.to(device), window, mel)

    @cached_property
    def d_encoder(self) -> int:
        """Width of a feature."""
        return int(self._patches([torch.zeros(FRAMES, self.mel.shape[1])]).shape[1])

    @cached_property
    def id(self) -> str:
        """sha256 over weights, window and filters."""
        digest = hashlib.sha256(f"yamnet 1 {self.model.config.to_json_string()}".encode())
        tensors = {**self.model.state_dict(), "front.window": self.window, "front.mel": self.mel}
        digest_tensors(digest, tensors)
        return digest.hexdigest()

    def encode(self, batch: Sequence[Sound]) -> Features:
        """values (B, n, d_encoder), a patch each; mask (B, n); pooled (B, d_encoder), their mean; float32."""
        if not batch:
            return stacked([], self.d_encoder, next(self.model.parameters()).device)
        made = {id(sound): self._one(sound) for sound in batch}
        return joined([made[id(sound)] for sound in batch])

    def _one(self, sound: Sound) -> Features:
        held: list[Tensor] = []
        found: list[Tensor] = []
        for patch in self._spectra(sound):
            held.append(patch)
            if len(held) == AT_ONCE:
                found.append(self._patches(held))
                held = []
        values = torch.cat([*found, self._patches(held)] if held else found)[:MOST].unsqueeze(0)
        mask = torch.ones(values.shape[:2], dtype=torch.bool, device=values.device)
        return Features(values, mask, values.mean(1))

    def _spectra(self, sound: Sound) -> Iterator[Tensor]:
        """Patches (FRAMES, bands) of a sound; one that is too short is filled up with silence."""
        size, step = (FRAMES - 1) * HOP + WINDOW, STEP * HOP
        waiting, given = torch.zeros(0), 0
        for piece in resampled(sound.mono(), sound.rate, RATE):
            waiting = torch.cat([waiting, piece])
            while len(waiting) >= size:
                yield self._log_mel(waiting[:size])
                waiting, given = waiting[step:], given + 1
        if not given:
            yield self._log_mel(torch.nn.functional.pad(waiting, (0, size - len(waiting))))

    def _log_mel(self, samples: Tensor) -> Tensor:
        frames = samples.unfold(0, WINDOW, HOP) * self.window
        banded: Tensor = torch.fft.rfft(frames, N_FFT).abs() @ self.mel
        return (banded + OFFSET).log()

    @torch.no_grad()
    def _patches(self, patches: Sequence[Tensor]) -> Tensor:
        """(n, d_encoder) of patches."""
        self.model.eval()  # in training mode one pass would overwrite the statistics of its batch norms
        weight = next(self.model.parameters())
        pixels = torch.stack(list(patches)).unsqueeze(1).to(weight.device, weight.dtype)
        return torch.as_tensor(self.model(pixel_values=pixels).pooler_output).float()
