"""An agent with a sense for plain vectors: real core, real adapter, features that a test can choose."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmagent.agent import Agent
from mmagent.bundle import Bundle
from mmagent.errors import UserError
from mmagent.modality import Features, Modality
from mmagent.plugins import Plugins, load_plugins

# The helpers beside these tests can be imported by name.
sys.path.insert(0, str(Path(__file__).parent))

WIDTH = 16
MARK = b"VECTOR\n"


class VectorReader:
    """Reads a vector from a file (a mark, then numbers) or an array; counts how often."""

    loads = 0

    def load(self, source: object) -> np.ndarray:
        VectorReader.loads += 1
        if isinstance(source, np.ndarray):
            return source.astype(np.float32)
        path = Path(str(source))
        if not path.is_file():
            raise UserError(f"there is no file {path}.")
        data = path.read_bytes()
        if not data.startswith(MARK):
            raise UserError(f"{path} is not a vector.")
        return np.array(data.removeprefix(MARK).split(), dtype=np.float32)

    def describe(self, raw: np.ndarray) -> str:
        return f"vector of {raw.size}"

    def fingerprint(self, raw: np.ndarray) -> str:
        return hashlib.sha256(raw.tobytes()).hexdigest()

    def load_encoder(self, location: str, **options: Any) -> VectorEncoder:
        return VectorEncoder()


class VectorEncoder:
    """Hands a vector on as its own feature."""

    d_encoder = WIDTH
    id = "vectors"

    def encode(self, batch: Sequence[np.ndarray]) -> Features:
        pooled = torch.from_numpy(np.stack(batch))
        return Features(pooled[:, None], torch.ones(len(batch), 1, dtype=torch.bool), pooled)


class TestPlugins(Plugins):
    """The installed plugins, and two modalities of this test: one with a sense, one without."""

    __test__ = False

    def __init__(self) -> None:
        super().__init__()
        found = load_plugins()
        self._found = found
        self.adapters.update(found.adapters)
        self.modalities.update(found.modalities)
        for name in ("vector", "sound"):
            self.modalities[name] = Modality(name, "for tests", f"here:{name}", (".vec",), self._sniff)

    @staticmethod
    def _sniff(head: bytes) -> bool:
        return head.startswith(MARK)

    def resolve(self, dotted: str) -> Any:
        return VectorReader if dotted.startswith("here:") else self._found.resolve(dotted)


def write_vector(path: Path, vector: np.ndarray) -> Path:
    """Save a vector so that the test's modality reads it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(MARK + " ".join(map(str, vector.tolist())).encode())
    return path


@pytest.fixture(scope="session")
def plugins() -> TestPlugins:
    return TestPlugins()


@pytest.fixture(scope="session")
def write_bundle(tiny_bundle: Path, plugins: TestPlugins) -> Callable[..., Path]:
    """Write a bundle with a sense for vectors; further entries of the manifest, and parts, may be given."""

    def write(target: Path, core: Path = tiny_bundle / "core", **manifest: Any) -> Path:
        config = {"n_tokens": 2}
        torch.manual_seed(3)
        adapter = plugins.resolve(plugins.adapters["prefix"].build)(config, WIDTH, 32)
        sense = {
            "encoder": "vector/encoder",
            "adapter": {"family": "prefix", "config": config, "weights": "vector/adapter.safetensors"},
        }
        whole = {"name": "vectors", "core": {"path": "core"}, "senses": {"vector": sense}, **manifest}
        parts = {
            "core": core,
            "vector/encoder/config.json": b"{}",
            "vector/adapter.safetensors": adapter.state_dict(),
        }
        Bundle.write(target, whole, parts, card="# vectors\n")
        return target

    return write


@pytest.fixture(scope="session")
def vector_bundle(write_bundle: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundles") / "vectors")


@pytest.fixture(scope="session")
def agent(vector_bundle: Path, plugins: TestPlugins) -> Agent:
    return Agent.load(vector_bundle, plugins=plugins)


@pytest.fixture
def vectors() -> np.ndarray:
    """(40, WIDTH) directions far from each other."""
    return np.random.default_rng(0).normal(size=(40, WIDTH)).astype(np.float32)


@pytest.fixture(scope="session")
def save_vector() -> Callable[[Path, np.ndarray], Path]:
    return write_vector


@pytest.fixture
def loads() -> Callable[[], int]:
    """How many inputs were read since the test began."""
    begun = VectorReader.loads
    return lambda: VectorReader.loads - begun
