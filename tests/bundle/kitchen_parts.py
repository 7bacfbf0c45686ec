"""What the tests of this room write into a bundle, and how they change and open it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from mmagent.adapter import AdapterFamily
from mmagent.bundle import Bundle
from mmagent.errors import UserError
from mmagent_adapters import FAMILIES
from mmagent_adapters.prefix import build_linear

D_ENCODER, D_CORE = 6, 4
MANIFEST: dict[str, Any] = {
    "name": "kitchen",
    "version": "1.2",
    "description": "Knows cups.",
    "core": {"path": "core"},
    "senses": {
        "image": {
            "encoder": "image/encoder",
            "adapter": {
                "family": "prefix",
                "config": {"n_tokens": 2},
                "weights": "image/adapter.safetensors",
            },
            "memory": {"beta": 12.5, "threshold": 0.4, "mean": "mean"},
        },
        "audio": {"encoder": "someone/an-audio-model"},
    },
    "prompts": {"default_question": "What is this?"},
    "calibration": {"scale": 1.5, "bias": -0.2},
    "scores": {"cups": 0.97},
    "licence": "Apache-2.0",
}
BIG = b"0123456789abcdef" * 100_000  # 1.6 MB, enough for its hash to be remembered


@dataclass
class FakePlugins:
    """The adapter families, as plugins bring them."""

    adapters: dict[str, AdapterFamily] = field(default_factory=lambda: {f.name: f for f in FAMILIES})

    def resolve(self, dotted: str) -> Any:
        """The linear prefix, whatever is asked for."""
        assert dotted == "mmagent_adapters.prefix:build_linear"
        return build_linear


def trained() -> Any:
    """An adapter with weights one can recognise."""
    torch.manual_seed(3)
    return build_linear({"n_tokens": 2}, D_ENCODER, D_CORE).eval()


def parts(tmp_path: Path) -> dict[str, Any]:
    """What goes into the bundle."""
    core = tmp_path / "trained core"
    (core / "deeper").mkdir(parents=True, exist_ok=True)
    (core / "model.safetensors").write_bytes(BIG)
    (core / "config.json").write_text("{}")
    (core / "deeper" / "x.txt").write_text("x")
    return {
        "core": core,
        "image/encoder/config.json": "{}",
        "image/encoder/model.safetensors": b"weights",
        "image/adapter.safetensors": trained().state_dict(),
        "image/memory.safetensors": {"mean": torch.arange(6.0), "other": torch.zeros(1)},
    }


def refused(path: Path) -> str:
    """What is said when a bundle is opened that cannot be used."""
    with pytest.raises(UserError) as caught:
        Bundle.open(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change bundle.json in place."""
    file = path / "bundle.json"
    manifest = json.loads(file.read_text())
    change(manifest)
    file.write_text(json.dumps(manifest))
