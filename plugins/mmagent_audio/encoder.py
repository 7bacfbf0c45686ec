"""The embedded encoder: windows of sound, each a few vectors in order and simple figures beside them.

A sound of up to three seconds is one window, a longer one is cut into windows of two; so an hour is encoded
in the memory of a few windows. Every sound is encoded by itself: a batch gives what each gives alone, bit by
bit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from mmagent.checkpoint import digest_tensors
from mmagent.errors import UserError
from mmagent.features import joined, stacked
from mmagent.modality import Features
from mmagent_audio.melspec import HOP, N_MELS, RATE, WINDOW, log_mel
from mmagent_audio.network import EDGE, RANGE, Cepstrum, NetworkConfig, SoundNetwork, levelled
from mmagent_audio.resample import resampled
from mmagent_audio.sound import Sound

__all__ = ["MODEL_TYPE", "SoundEncoder", "windows"]

MODEL_TYPE = "mmagent-audio"
WINDOW_SECONDS = 2.0
AT_ONCE = 8  # windows per forward pass
N_BROAD = 8  # bands of which mean and spread are told; finer ones tell speakers apart rather than words
N_FIGURES = 2 * N_BROAD + 2


class SoundEncoder:
    """Features of sounds: `n_segments` per window, each (d_encoder,) wide.

    A segment's own numbers stand in its own columns, zeros in those of the others; the figures of the window
    (mean and spread of 8 broad bands, level) stand in the last columns of each. So `pooled`, the sum over a
    window's segments, averaged over windows, keeps their order.
    """

    def __init__(self, network: SoundNetwork | Cepstrum) -> None:
        self.network = network.eval().requires_grad_(False)
        config = network.config
        self.d_encoder = config.n_segments * config.d_segment + N_FIGURES

    @classmethod
    def load(cls, place: Path, *, device: torch.device, dtype: torch.dtype) -> SoundEncoder:
        """The encoder that `save` wrote into a directory. Raises `UserError`."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            told = json.loads((place / "config.json").read_text(encoding="utf-8"))
            network = SoundNetwork(NetworkConfig(**told["network"]))
            weights = load_file(place / "model.safetensors")
            network.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            said = " ".join(str(error).split())
            raise UserError(
                f"no sound encoder can be loaded from {place}: {said:.300} It takes config.json and "
                "model.safetensors as examples/senses/train_audio.py writes them."
            ) from error
        return cls(network.to(device, dtype))

    def save(self, place: Path) -> None:
        """Write config.json and model.safetensors (float16) into a directory."""
        from safetensors.torch import save

        place.mkdir(parents=True, exist_ok=True)
        told = {"model_type": MODEL_TYPE, "network": asdict(self.network.config)}
        state = self.network.state_dict()
        halves = {name: t.half().contiguous() if t.is_floating_point() else t for name, t in state.items()}
        (place / "model.safetensors.new").write_bytes(save(halves))
        (place / "model.safetensors.new").replace(place / "model.safetensors")
        (place / "config.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")

    @cached_property
    def id(self) -> str:
        """sha256 over weights, sizes and what is done before them."""
        front = (RATE, HOP, WINDOW, N_MELS, RANGE, EDGE, WINDOW_SECONDS, N_FIGURES)
        digest = hashlib.sha256(
            f"{MODEL_TYPE} 1 {type(self.network).__name__} {front} {self.network.config}\n".encode()
        )
        digest_tensors(digest, self.network.state_dict())
        return digest.hexdigest()

    def encode(self, batch: Sequence[Sound]) -> Features:
        """values (B, n, d_encoder), mask (B, n), pooled (B, d_encoder), float32; n is that of the longest.

        Raises `UserError` for a sound that turns out to be damaged.
        """
        if not batch:
            return stacked([], self.d_encoder, self._weight.device)
        made: dict[int, Features] = {}  # the same sound, given several times, is encoded once
        for sound in batch:
            if id(sound) not in made:
                made[id(sound)] = self._one(sound)
        return joined([made[id(sound)] for sound in batch])

    @property
    def _weight(self) -> Tensor:
        """A tensor where and as the network computes."""
        weight: Tensor = next(iter(self.network.state_dict().values()))
        return weight

    @torch.no_grad()
    def _one(self, sound: Sound) -> Features:
        self.network.eval()
        parts = [self._windows(group) for group in _grouped(windows(sound, RATE, WINDOW_SECONDS), AT_ONCE)]
        whole = torch.cat(parts)  # (windows, n_segments, d_encoder)
        values = whole.flatten(0, 1).unsqueeze(0)
        own = self.d_encoder - N_FIGURES
        pooled = torch.cat([whole[..., :own].sum(1), whole[:, 0, own:]], dim=1).mean(0, keepdim=True)
        return Features(values, torch.ones(values.shape[:2], dtype=torch.bool, device=values.device), pooled)

    def _windows(self, pieces: Sequence[Tensor]) -> Tensor:
        """Features (windows, n_segments, d_encoder) of windows of one length."""
        weight = self._weight
        mel = torch.stack([log_mel(piece) for piece in pieces])  # (B, N_MELS, T)
        heard = levelled(mel)
        edged = torch.nn.functional.pad(heard, (EDGE, EDGE), value=-RANGE / 40)
        segments = self.network(edged.to(weight.device, weight.dtype)).float()  # (B, n, d_segment)
        n = segments.shape[1]
        slots = torch.einsum("bnd,nm->bnmd", segments, torch.eye(n, device=segments.device)).flatten(2)
        figures = torch.cat([_broad(heard.mean(2)), _broad(heard.std(2, correction=0)), _levels(mel)], dim=1)
        return torch.cat([slots, figures.to(slots.device).unsqueeze(1).expand(-1, n, -1)], dim=2)


def windows(sound: Sound, rate: int, seconds: float) -> Iterator[Tensor]:
    """A sound in mono at another rate, cut into windows (n,); the last one is half to one and a half as long.

    So a sound of up to one and a half windows is one window.
    """
    size = round(seconds * rate)
    held = torch.zeros(0)
    for piece in resampled(sound.mono(), sound.rate, rate):
        held = torch.cat([held, piece])
        while len(held) >= 2 * size:
            yield held[:size]
            held = held[size:].clone()
    if len(held) >= size + size // 2:
        yield held[:size]
        held = held[size:]
    yield held


def _broad(bands: Tensor) -> Tensor:
    """(B, N_MELS) to (B, N_BROAD), means of neighbours."""
    return bands.reshape(len(bands), N_BROAD, -1).mean(2)


def _levels(mel: Tensor) -> Tensor:
    """(B, 2): the loudest point and the mean, so scaled that speech lies about 0."""
    return torch.stack([mel.amax((1, 2)), mel.mean((1, 2))], dim=1) / 20 + 2


def _grouped(pieces: Iterable[Tensor], most: int) -> Iterator[list[Tensor]]:
    """Neighbours of one length, at most so many together."""
    group: list[Tensor] = []
    for piece in pieces:
        if group and (len(group) == most or len(piece) != len(group[0])):
            yield group
            group = []
        group.append(piece)
    if group:
        yield group
