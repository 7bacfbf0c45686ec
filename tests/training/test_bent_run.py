"""`mmagent train --adapter lora` from a labelled set to an answer, back after a kill, and merged."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmagent import Agent
from mmagent.bundle import Bundle
from mmagent.tensors import read_tensors

ROOT = Path(__file__).resolve().parents[2]
GAUGES = ROOT / "examples" / "gauges"
FEW = ["--epochs", "3", "--validations", "3", "--patience", "0", "--adapter", "lora", "--dtype", "float32"]
WEIGHTS = "core-adapter.safetensors"


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "mmagent_cli", *arguments]


def run(cache: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, env=env, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("trained") / "gauges"
    done = run(cache, "train", "--data", str(GAUGES / "labels.csv"), "--out", str(out), *FEW)
    assert done.returncode == 0, done.stderr[-2000:]
    return out, done.stdout


def test_it_says_what_trains_inside_of_the_core_and_what_is_frozen(trained: tuple[Path, str]) -> None:
    _, said = trained
    assert "trains  core.model.layers.0-4.self_attn.q_proj.lora_A.weight  5 x (8, 256)  10,240" in said
    assert "in all 40,960 weights" in said
    assert "from a fresh lora" in said
    assert ", the adapter for image and the encoder." in said
    assert "trains  image" not in said


def test_the_bundle_is_asked_with_it(trained: tuple[Path, str], cache: Path) -> None:
    out, _ = trained
    tiny = Agent.load("tiny", dtype="float32")
    told = json.loads((out / "bundle.json").read_text())
    assert told["core"]["adapter"]["family"] == "lora"
    assert told["trained"]["core_sha256"] == tiny.core.fingerprint()
    own = Agent.load(out, dtype="float32")
    picture = {"image": str(GAUGES / "test" / "low-00.jpg")}
    asked = {"choices": ["low", "normal", "high"], "memory": False, **picture}
    one, other = (agent.ask("What is this?", **asked).choices for agent in (own, tiny))  # type: ignore[arg-type]
    assert one is not None
    assert other is not None
    assert max(abs(one[name] - other[name]) for name in one) > 1e-3
    done = run(cache, "ask", "What is this?", "--bundle", str(out), "--image", picture["image"], "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["bundle"] == "gauges"
    done = run(cache, "ask", "What is this?", "--bundle", str(out), "--core", "somewhere/else")
    assert done.returncode == 2
    assert "trained inside of its own core" in done.stderr


def test_killed_in_the_middle_and_resumed_it_gives_the_same_bits(
    trained: tuple[Path, str], cache: Path, tmp_path: Path
) -> None:
    out = tmp_path / "gauges"
    arguments = ["train", "--data", str(GAUGES / "labels.csv"), "--out", str(out), *FEW]
    env = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    going = subprocess.Popen(command(*arguments), env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    work = out.with_name(".gauges.training")
    end = time.monotonic() + 200
    while not list(work.glob("step-*")) and going.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    going.send_signal(signal.SIGKILL)
    going.wait()
    assert not out.exists(), "it was done before it could be killed"
    assert list(work.glob("step-*"))
    done = run(cache, *arguments, "--resume")
    assert done.returncode == 0, done.stderr[-2000:]
    one, other = (read_tensors(d / WEIGHTS) for d in (trained[0], out))
    assert one.keys() == other.keys()
    assert all((one[name] == other[name]).all() for name in one)
    assert not work.exists()


def test_it_is_merged_by_the_command(trained: tuple[Path, str], cache: Path, tmp_path: Path) -> None:
    merged = tmp_path / "merged"
    done = run(cache, "bundles", "merge", str(trained[0]), "--out", str(merged))
    assert done.returncode == 0, done.stderr
    assert "Ask it: mmagent ask --bundle" in done.stderr
    bundle = Bundle.open(merged)
    assert bundle.core_adapter is None
    one, other = (Agent.load(place, dtype="float32") for place in (trained[0], merged))
    pictures = sorted((GAUGES / "test").glob("*.jpg"))[::12]
    for picture in pictures:
        said = [agent.ask("What is this?", image=str(picture), max_tokens=4) for agent in (one, other)]
        assert said[0].text == said[1].text
        # what fp16, in which the tiny core is stored, rounds away
        assert said[0].confidence == pytest.approx(said[1].confidence, abs=5e-3)
    done = run(cache, "bundles", "merge", "tiny", "--out", str(tmp_path / "other"))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "no adapter inside of its core" in done.stderr
