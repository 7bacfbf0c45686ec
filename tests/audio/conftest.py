"""Sounds made here, as files of every format, and a random encoder of the embedded kind."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

Wave = NDArray[np.float32]


@pytest.fixture(scope="session", autouse=True)
def decoder(needs: Callable[[str], Any]) -> None:
    """Nothing here can be tried without what decodes sound."""
    needs("soundfile")


@pytest.fixture
def tone() -> Callable[..., Wave]:
    """A tone of 0.5 full scale with a little noise: (n,) or (n, channels) float32."""

    def make(frequency: float = 440.0, seconds: float = 0.5, rate: int = 8000, channels: int = 1) -> Wave:
        t = np.arange(round(seconds * rate)) / rate
        noise = np.random.default_rng(0).standard_normal((len(t), channels))
        wave = 0.5 * np.sin(2 * np.pi * frequency * t)[:, None] + 0.001 * noise
        return (wave[:, 0] if channels == 1 else wave).astype(np.float32)

    return make


@pytest.fixture
def written() -> Callable[..., bytes]:
    """Samples as the bytes of a file."""
    import soundfile

    def make(wave: Wave, rate: int = 8000, kind: str = "WAV", subtype: str | None = None) -> bytes:
        stream = BytesIO()
        soundfile.write(stream, wave, rate, format=kind, subtype=subtype)
        return stream.getvalue()

    return make


@pytest.fixture
def encoder() -> Any:
    """An encoder of the embedded kind with random weights."""
    import torch

    from mmagent_audio.encoder import SoundEncoder
    from mmagent_audio.network import NetworkConfig, SoundNetwork

    torch.manual_seed(0)
    return SoundEncoder(SoundNetwork(NetworkConfig(channels=(4, 8), width=16, d_segment=8)))


@pytest.fixture
def encoder_place(encoder: Any, tmp_path: Path) -> Path:
    """Its directory."""
    encoder.save(tmp_path / "encoder")
    return tmp_path / "encoder"
