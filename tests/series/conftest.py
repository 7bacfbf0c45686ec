"""What the tests of the series sense share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mmagent_series.encoder import BuiltinEncoder
from mmagent_series.reader import SeriesReader


@pytest.fixture(scope="session")
def reader() -> SeriesReader:
    """The reader as an agent makes it."""
    return SeriesReader()


@pytest.fixture(scope="session")
def encoder() -> BuiltinEncoder:
    """The encoder that needs no files."""
    return BuiltinEncoder(torch.device("cpu"))


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Writes a file of a name and gives its path."""

    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.fixture
def waves() -> np.ndarray:
    """Three channels of 200 samples: a slow wave, a fast one, noise."""
    time = np.arange(200) / 50
    noise = np.random.default_rng(0).normal(size=200)
    return np.stack([np.sin(2 * np.pi * 2 * time), 3 * np.sin(2 * np.pi * 11 * time) + 5, noise], axis=1)
