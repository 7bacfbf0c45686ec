"""Random augmentation: other features in every step, the same in the same step, and nothing in the cache."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from mmagent import Agent
from mmagent.errors import UserError
from mmagent.training.augmenting import Varied
from mmagent_image.reader import ImageReader
from mmagent_image.vary import vary

ROOT = Path(__file__).resolve().parents[2]
GAUGES = ROOT / "examples" / "gauges"


def test_a_varied_picture_is_another_one_of_nearly_the_same() -> None:
    picture = ImageReader().load(str(next((GAUGES / "test").glob("*.jpg"))))
    made = [vary(picture, seed) for seed in range(40)]
    assert vary(picture, 3).tobytes() == made[3].tobytes()
    assert len({one.tobytes() for one in made}) == 40
    areas = [one.width * one.height / (picture.width * picture.height) for one in made]
    assert 0.65 < min(areas) < 0.8 < max(areas) <= 1
    assert vary(Image.new("RGB", (1, 1), "red"), 5).size == (1, 1)


def test_examples_to_learn_from_vary_with_the_step_and_those_to_judge_by_never(tiny_bundle: Path) -> None:
    agent = Agent.load(tiny_bundle, device="cpu", dtype="float32")
    reader, encoder = agent.encoder("image")
    sources = [str(path) for path in sorted((GAUGES / "test").glob("*.jpg"))[:4]]
    seen = Varied(reader, encoder, sources, 3)
    torch.manual_seed(1)
    first, second = seen.batch([0, 2, 3]), seen.batch([0, 2, 3])
    torch.manual_seed(1)
    again = seen.batch([0, 2, 3])
    assert torch.equal(first.pooled, again.pooled)
    assert not torch.equal(first.pooled[0], second.pooled[0])
    assert not torch.equal(first.pooled[1], second.pooled[1])
    assert torch.equal(first.pooled[2], second.pooled[2])
    plain = encoder.encode([reader.load(sources[3])])
    torch.testing.assert_close(first.pooled[2], plain.pooled[0])


def test_a_reader_that_cannot_vary_is_refused() -> None:
    class Rigid:
        pass

    with pytest.raises(UserError, match=r"Rigid has no way to vary .* Leave out --augment"):
        Varied(Rigid(), None, [], 0)  # type: ignore[arg-type]


def test_the_command_says_that_the_cache_is_off(tiny_bundle: Path, tmp_path: Path) -> None:
    given = ["--data", str(GAUGES / "labels.csv"), "--bundle", str(tiny_bundle), "--adapter", "prefix"]
    given += ["--epochs", "1", "--validations", "1", "--device", "cpu", "--out", str(tmp_path / "out")]
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    words = [sys.executable, "-m", "mmagent_cli", "train", *given, "--augment"]
    done = subprocess.run(words, capture_output=True, text=True, env=env, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (
        "augment: examples are varied and encoded anew in every step; the feature cache is off."
        in done.stdout
    )
