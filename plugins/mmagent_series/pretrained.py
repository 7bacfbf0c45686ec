"""PatchTST and PatchTSMixer from transformers as frozen encoders of series.

Nie et al. 2023, "A Time Series is Worth 64 Words"; Ekambaram et al. 2023, "TSMixer". Such a model reads
windows of one length, patch by patch, each channel apart; its last hidden state gives the features.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmagent.checkpoint import demand_weights, digest_config, digest_tensors, loading_errors
from mmagent.dense import quicken
from mmagent.errors import UserError
from mmagent.features import stacked
from mmagent.hub import local_only, quiet
from mmagent.modality import Features
from mmagent_series.gaps import filled
from mmagent_series.series import Series
from mmagent_series.slots import into_slots

MODELS = ("patchtst", "patchtsmixer")
SLOTS = 8
"""Channels with features of their own; channel c is in slot c modulo 8, several in a slot are averaged."""
MOST_WINDOWS = 64  # of a long series, evenly spread
FILES = "config.json and model.safetensors"


class PatchEncoder:
    """A frozen PatchTST or PatchTSMixer.

    values  (B, windows * patches, 8 * (d_model + 2)): per slot the hidden state of a patch, then level and
            deviation of its window, which the model itself divides away
    """

    def __init__(self, model: Any) -> None:
        self.model = model.eval().requires_grad_(False)
        self._length = int(model.config.context_length)
        self._width = int(model.config.num_input_channels)

    @classmethod
    def load(
        cls, location: str, *, device: torch.device, dtype: torch.dtype, trust_remote_code: bool = False
    ) -> PatchEncoder:
        """The model in a directory or under a hub id, every weight from safetensors. Raises `UserError`."""
        from transformers import AutoConfig, AutoModel

        offline = local_only(location)
        options: dict[str, Any] = {"local_files_only": offline, "trust_remote_code": trust_remote_code}
        with quiet(), loading_errors(location, files=FILES, otherwise="'builtin'", offline=offline):
            config = AutoConfig.from_pretrained(location, **options)
            if config.model_type not in MODELS:
                raise UserError(
                    f"{location} holds a {config.model_type} model; series are encoded by "
                    f"{' or '.join(MODELS)} models, or by 'builtin', which needs no files."
                )
            config.do_mask_input = False  # masking at random is for pretraining
            model, report = AutoModel.from_pretrained(
                location,
                config=config,
                dtype=dtype,
                use_safetensors=True,
                output_loading_info=True,
                adapter_kwargs={"local_files_only": offline},
                **options,
            )
        mismatched = [str(key[0]) for key in report["mismatched_keys"]]
        demand_weights(location, missing=report["missing_keys"], of_another_shape=mismatched)
        quicken(model.to(device))
        return cls(model)

    @property
    def d_encoder(self) -> int:
        """Width of a feature."""
        return SLOTS * (int(self.model.config.d_model) + 2)

    @cached_property
    def id(self) -> str:
        """sha256 over weights, buffers and configuration; the dtype they run in is part of it."""
        digest = hashlib.sha256(b"series patches 1 ")
        digest_config(digest, self.model.config.to_dict())
        digest_tensors(digest, self.model.state_dict())
        return digest.hexdigest()

    @torch.no_grad()
    def encode(self, batch: Sequence[Series]) -> Features:
        """Features of series, float32 on the model's device; each is encoded alone."""
        weight = next(self.model.parameters())
        self.model.eval()
        found = [self._features(series, weight) for series in batch]
        return stacked([(one, one.mean(0)) for one in found], self.d_encoder, weight.device)

    def _features(self, series: Series, weight: Tensor) -> Tensor:
        """(windows * patches, d_encoder) of one series."""
        rows = []
        for start in _starts(series.length, self._length):
            block = filled(series.samples.block(start, min(start + self._length, series.length)))
            level, spread = block.mean(axis=0), block.std(axis=0)
            hidden = self._hidden(block, level, spread, weight)  # (C, patches, d_model)
            beside = torch.from_numpy(np.arcsinh(np.stack([level, spread], axis=1))).to(hidden)  # (C, 2)
            whole = torch.cat([hidden, beside[:, None].expand(-1, hidden.shape[1], -1)], dim=2)
            rows.append(
                into_slots(whole, SLOTS).transpose(0, 1).flatten(1)
            )  # (patches, slots * (d_model + 2))
        return torch.cat(rows)

    def _hidden(self, block: Any, level: Any, spread: Any, weight: Tensor) -> Tensor:
        """(C, patches, d_model) of one window; a short one is filled up with its level in front."""
        length, n_channels = block.shape
        if not getattr(self.model.config, "scaling", None):
            block = (block - level) / np.maximum(spread, 1e-9)
            level = np.zeros_like(level)
        whole = np.tile(level, (self._length, 1))
        whole[self._length - length :] = block
        seen = np.zeros_like(whole)
        seen[self._length - length :] = 1
        groups = -(-n_channels // self._width)
        if groups > 1 or n_channels < self._width:
            self._demand_apart(n_channels)
        hidden = []
        for at in range(groups):
            part, own = (one[:, at * self._width : (at + 1) * self._width] for one in (whole, seen))
            short = ((0, 0), (0, self._width - part.shape[1]))
            given = torch.from_numpy(np.pad(part, short)).to(weight)[None]
            observed = torch.from_numpy(np.pad(own, short, constant_values=1)).to(weight)[None]
            name = "past_observed_mask" if self.model.config.model_type == "patchtst" else "observed_mask"
            output = self.model(past_values=given, **{name: observed}).last_hidden_state[0]
            hidden.append(output[: part.shape[1]].float())
        return torch.cat(hidden)

    def _demand_apart(self, n_channels: int) -> None:
        """Raise UserError where the model mixes channels, and so takes only its own number of them."""
        config = self.model.config
        mixes = getattr(config, "channel_attention", False) or getattr(config, "mode", "") == "mix_channel"
        shares = getattr(config, "share_embedding", True)
        if mixes or not shares:
            raise UserError(
                f"this encoder takes series of {self._width} channels, which it reads together, and this one "
                f"has {n_channels}. Give an encoder that reads channels apart, or 'builtin'."
            )


def _starts(length: int, window: int) -> list[int]:
    """Where windows begin: side by side, the last one at the end; evenly spread where there are too many."""
    if length <= window:
        return [0]
    count = min(-(-length // window), MOST_WINDOWS)
    return [round(at) for at in np.linspace(0, length - window, count)]
