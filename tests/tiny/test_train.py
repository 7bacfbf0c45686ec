"""The whole recipe, run small: every stage, resumed, ends in a bundle that answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def train(data: Path, models: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        str(ROOT / "examples/tiny/train.py"),
        "--data",
        str(data),
        "--models",
        str(models),
    ]
    command += ["--work", str(folder / "work"), "--out", str(folder / "bundle"), "--size", "smoke"]
    return subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)


@pytest.mark.timeout(1200)
def test_the_recipe_runs_small_resumes_and_its_bundle_answers(
    shared_data: Path, shared_models: Path, tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow", reason="the recipe reads Parquet: pip install -e '.[train]'")
    pytest.importorskip("sklearn", reason="the recipe fits confidences: pip install -e '.[train]'")
    first = train(shared_data, shared_models, tmp_path)
    assert first.returncode == 0, first.stderr[-2000:]

    from mmagent import Agent

    agent = Agent.load(tmp_path / "bundle")
    answer = agent.ask("What is this?", image=str(ROOT / "examples/pictures/shapes.png"), max_tokens=4)
    assert 0 <= answer.confidence <= 1
    core = tmp_path / "work/core/core/model.safetensors"
    before = core.stat().st_mtime_ns
    again = train(shared_data, shared_models, tmp_path)
    assert again.returncode == 0, again.stderr[-2000:]
    assert core.stat().st_mtime_ns == before, "a stage that was done was done again"
