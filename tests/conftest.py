"""What several test rooms share: data and models beside the checkout, and a bundle that needs no training.

`tiny_bundle` has random weights, so it answers nonsense; it stands for a real bundle wherever what an answer
says does not matter. It is made once per run, by the same `Bundle.write` that training uses.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORPUS = [
    "Picture: Question: what is this? Answer: a frog\n",
    "Caption: a photo of a red cup.\nThis is a dax.\nThis is a blicket.\n",
    "Choices: red, blue, yes, no\nAnswer: yes\n",
]


# Libraries that one sense reads its files with, and the extra that installs each.
EXTRAS = {"av": "video", "rdkit": "graph", "soundfile": "audio"}


@pytest.fixture(scope="session")
def needs() -> Callable[[str], Any]:
    """An optional library by its name, or a skip that says which extra installs it."""

    def found(library: str) -> Any:
        try:
            return importlib.import_module(library)
        except (ImportError, OSError) as error:  # OSError: the package is there, its shared library is not
            pytest.skip(f"{library} cannot be imported ({error}): pip install 'mmagent[{EXTRAS[library]}]'")

    return found


def shared(folder: str) -> Path:
    """A folder of the shared material, or a skip that says where it was looked for."""
    base = Path(os.environ.get("MMAGENT_SHARED") or ROOT.parent / "shared")
    if not (base / folder).is_dir():
        pytest.skip(f"no {folder} at {base / folder}; set MMAGENT_SHARED to the folder that holds it")
    return base / folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Data sets that are not part of the repository."""
    return shared("data")


@pytest.fixture(scope="session")
def shared_models() -> Path:
    """Real third-party weights that are not part of the repository."""
    return shared("models")


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a random Llama, a random ResNet and a linear prefix between them."""
    place = tmp_path_factory.mktemp("bundle")
    d_encoder = write_random_encoder(place / "encoder")
    d_core = write_random_core(place / "core")
    return write_random_bundle(place / "random", place / "core", place / "encoder", d_encoder, d_core)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with red.png, blue.png and green.jpg, plain 48 x 32 pictures."""
    from PIL import Image

    place = tmp_path_factory.mktemp("pictures")
    for name in ("red.png", "blue.png", "green.jpg"):
        Image.new("RGB", (48, 32), name.partition(".")[0]).save(place / name)
    return place


def write_random_core(place: Path) -> int:
    """A Llama of 30,000 parameters with a byte-level tokenizer; returns its hidden size."""
    from mmagent.conformance.core import write_random_core as write

    return write(place, CORPUS)


def write_random_encoder(place: Path) -> int:
    """A ResNet for 32 x 32 pictures; returns its width."""
    import torch
    from transformers import ResNetConfig, ResNetModel

    torch.manual_seed(0)
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    ResNetModel(config).save_pretrained(place)
    processor = {
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": 32, "width": 32},
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    (place / "preprocessor_config.json").write_text(json.dumps(processor), encoding="utf-8")
    return 16


def write_random_bundle(target: Path, core: Path, encoder: Path, d_encoder: int, d_core: int) -> Path:
    """Put a core, an encoder and a random linear prefix into a bundle."""
    import torch

    from mmagent.bundle import Bundle
    from mmagent.plugins import load_plugins

    plugins = load_plugins()
    config = {"n_tokens": 2}
    torch.manual_seed(0)
    adapter = plugins.resolve(plugins.adapters["prefix"].build)(config, d_encoder, d_core)
    sense = {
        "encoder": "image/encoder",
        "adapter": {"family": "prefix", "config": config, "weights": "image/adapter.safetensors"},
    }
    manifest = {
        "name": "random",
        "version": "1",
        "description": "random weights, for tests",
        "core": {"path": "core"},
        "senses": {"image": sense},
        "scores": {"nonsense": 1.0},
        "licence": "Apache-2.0",
    }
    parts: dict[str, Any] = {
        "core": core,
        "image/encoder": encoder,
        "image/adapter.safetensors": adapter.state_dict(),
    }
    Bundle.write(target, manifest, parts, card="# random\n\nRandom weights, for tests.\n")
    return target


@pytest.fixture(scope="session")
def bent_bundle(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Path:
    """The random bundle with LoRA inside of its core, as if it had been trained."""
    return write_bent_bundle(tmp_path_factory.mktemp("bent") / "bent", tiny_bundle)


def write_bent_bundle(target: Path, parent: Path) -> Path:
    """The bundle `parent` with LoRA inside of its core."""
    import torch

    from mmagent.bundle import Bundle
    from mmagent.core import Core
    from mmagent_adapters.bending import build_lora

    torch.manual_seed(4)
    core = Core.load(parent / "core", device="cpu", dtype="float32", local_only=True)
    adapter: Any = core.bend(lambda model: build_lora({"r": 2}, model))
    state = {name: torch.randn(tensor.shape) for name, tensor in adapter.state_dict().items()}
    manifest = json.loads((parent / "bundle.json").read_text())
    del manifest["format"], manifest["files"]
    entry = {"family": "lora", "config": adapter.config, "weights": "core-adapter.safetensors"}
    manifest |= {"name": target.name, "core": {"path": "core", "adapter": entry}}
    parts = {
        "core": parent / "core",
        "image": parent / "image",
        "core-adapter.safetensors": state,
    }
    Bundle.write(target, manifest, parts, card=f"# {target.name}\n\nRandom weights, for tests.\n")
    return target
