"""Cores in 8 and 4 bits: near the whole ones, differentiable, frozen; and sentences where they cannot be."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mmagent.core import Core, Soft, quantised
from mmagent.errors import UserError

needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)


@needs_bitsandbytes
@pytest.mark.parametrize("kind", ["8bit", "4bit"])
def test_it_is_near_the_whole_core_and_passes_gradients_to_the_prefix(tiny_bundle: Path, kind: str) -> None:
    whole = Core.load(tiny_bundle / "core", device="cpu", dtype="float32")
    core = Core.load(tiny_bundle / "core", device="cpu", dtype="float32", load_in=kind)
    assert core.numbers == f"{kind} in float32"
    size = sum(p.numel() * p.element_size() for p in core.model.model.layers.parameters())
    assert size < sum(p.numel() * 4 for p in whole.model.model.layers.parameters()) / 2
    torch.manual_seed(0)
    soft = torch.randn(3, core.d_core, requires_grad=True)
    before = core.fingerprint()
    losses = [one.loss([["Picture: ", Soft(soft, "x"), " Answer:"]], ["yes"]) for one in (whole, core)]
    assert float(losses[0].detach()) != float(losses[1].detach())
    torch.testing.assert_close(losses[0], losses[1], rtol=0.02, atol=0.02)
    wanted, found = (torch.autograd.grad(loss, soft)[0] for loss in losses)
    assert found.dtype is torch.float32
    assert float(torch.nn.functional.cosine_similarity(wanted.flatten(), found.flatten(), 0)) > 0.9
    assert core.generate(["Question: what is this? Answer:"], max_tokens=3)
    again = core.loss([["Picture: ", Soft(soft, "x"), " Answer:"]], ["yes"])  # after a pass without gradients
    assert torch.equal(torch.autograd.grad(again, soft)[0], found)
    core.assert_frozen()
    assert core.fingerprint() == before


@needs_bitsandbytes
def test_a_write_to_a_quantised_matrix_is_seen(tiny_bundle: Path) -> None:
    core = Core.load(tiny_bundle / "core", device="cpu", dtype="float32", load_in="4bit")
    before = core.fingerprint()
    matrix = core.model.model.layers[0].mlp.up_proj.weight
    matrix.data[0] ^= 1
    assert core.fingerprint() != before
    with torch.no_grad():
        matrix[0] = 3
    with pytest.raises(Exception, match="was written to"):
        core.assert_frozen()


@needs_bitsandbytes
def test_an_adapter_trained_on_a_quantised_core_answers_on_one(tiny_bundle: Path, tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    given = ["--bundle", str(tiny_bundle), "--adapter", "prefix", "--device", "cpu", "--load-in", "4bit"]
    given += [
        "--epochs",
        "1",
        "--validations",
        "1",
        "--data",
        str(root / "examples" / "gauges" / "labels.csv"),
    ]
    done = command("train", *given, "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    asked = ["What is this?", "--bundle", str(tmp_path / "out"), "--load-in", "4bit", "--device", "cpu"]
    picture = next((root / "examples" / "gauges" / "test").glob("*.jpg"))
    done = command("ask", *asked, "--image", str(picture))
    assert done.returncode == 0, done.stderr
    from mmagent.tensors import read_tensors

    kept = read_tensors(tmp_path / "out" / "image" / "adapter.safetensors")
    assert {tensor.dtype for tensor in kept.values()} == {torch.float32}


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mmagent_cli", *words],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_another_kind_is_refused() -> None:
    with pytest.raises(UserError, match=r"no core is loaded in '4bits'. There are: 8bit, 4bit. Did you mean"):
        quantised.options("4bits", torch.device("cpu"), torch.float32)


def test_without_bitsandbytes_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"not installed: pip install 'mmagent\[quant\]'"):
        quantised.options("4bit", torch.device("cpu"), torch.float32)


def test_where_bitsandbytes_does_not_compute_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    old = SimpleNamespace(__version__="0.45.0", supported_torch_devices={"cuda"}, __spec__=object())
    monkeypatch.setitem(sys.modules, "bitsandbytes", old)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"bitsandbytes 0.45.0 computes on cuda, not on cpu"):
        quantised.options("4bit", torch.device("cpu"), torch.float32)
