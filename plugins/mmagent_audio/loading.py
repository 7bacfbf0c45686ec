"""Which encoder lies in a place: the embedded kind, one without weights, or one of transformers."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from mmagent.errors import UserError
from mmagent.modality import Encoder
from mmagent_audio.encoder import MODEL_TYPE, SoundEncoder
from mmagent_audio.network import Cepstrum
from mmagent_audio.yamnet import FRONT, YamnetEncoder

__all__ = ["load_encoder"]

BUILTIN = "builtin"


def load_encoder(
    location: str, *, device: torch.device, dtype: torch.dtype, trust_remote_code: bool = False
) -> Encoder:
    """The frozen encoder in a directory or under a hub id, by its config.json; `builtin` needs no files.

    Raises `UserError`.
    """
    if location == BUILTIN:
        return SoundEncoder(Cepstrum().to(device, dtype))
    place = Path(location)
    if place.is_dir() and not (place / "config.json").is_file():
        raise UserError(f"{location} holds no config.json, so no encoder. Give a directory that has one.")
    if _model_type(place) == MODEL_TYPE:
        return SoundEncoder.load(place, device=device, dtype=dtype)
    if (place / FRONT).is_file():
        return YamnetEncoder.load(place, device=device, dtype=dtype)
    from mmagent_audio.pretrained import PretrainedEncoder

    return PretrainedEncoder.load(location, device=device, dtype=dtype, trust_remote_code=trust_remote_code)


def _model_type(place: Path) -> str:
    try:
        told = json.loads((place / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(told.get("model_type", "")) if isinstance(told, dict) else ""
