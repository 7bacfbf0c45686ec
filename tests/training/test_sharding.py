"""A core spread over two processes: half of it in each, and the same losses, gradients, words and adapter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from mmagent.tensors import read_tensors
from mmagent.training.launch import launch

ROOT = Path(__file__).resolve().parents[2]


def test_a_process_holds_its_part_and_passes_as_the_whole_does(tiny_bundle: Path, tmp_path: Path) -> None:
    script = str(Path(__file__).with_name("sharded.py"))
    out = tmp_path / "seen.json"
    said: list[str] = []
    assert launch([sys.executable, script, str(tiny_bundle / "core"), str(out)], 2, said.append) == 0, said
    seen = json.loads(out.read_text())
    assert 0.45 < seen["share"] < 0.55
    assert max(seen["difference"]) < 1e-6
    assert min(seen["gradient"]) > 0
    assert seen["texts"][0] == seen["texts"][1]
    assert seen["same"]


def test_the_command_gives_the_adapter_that_it_gives_without(tiny_bundle: Path, tmp_path: Path) -> None:
    data = str(ROOT / "examples" / "gauges" / "labels.csv")
    given = ["--data", data, "--bundle", str(tiny_bundle), "--adapter", "prefix", "--epochs", "2"]
    given += ["--validations", "2", "--patience", "0", "--device", "cpu", "--dtype", "float32"]
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    for out, more in (("one", []), ("two", ["--processes", "2", "--fsdp", "--checkpointing"])):
        words = [sys.executable, "-m", "mmagent_cli", "train", *given, *more, "--out", str(tmp_path / out)]
        done = subprocess.run(words, capture_output=True, text=True, env=env, timeout=200, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
    assert "no report is written with --fsdp" in done.stderr
    one, two = (read_tensors(tmp_path / out / "image" / "adapter.safetensors") for out in ("one", "two"))
    assert one.keys() == two.keys()
    assert all((one[name] - two[name]).abs().max() < 1e-5 for name in one)
    begun = read_tensors(tiny_bundle / "image" / "adapter.safetensors")
    assert all((one[name] - begun[name]).abs().max() > 1e-4 for name in one)
