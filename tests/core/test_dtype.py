"""The dtype is what the device does fast; the device is the best there is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mmagent import UserError
from mmagent.core import Core, choose_device, choose_dtype, probe_matmul
from mmagent.core import dtype as dtype_module
from mmagent.core.dtype import probe_core

CPU = torch.device("cpu")


def faked(full_s: float, small_s: float) -> Callable[[torch.device, torch.dtype], float]:
    return lambda device, dtype: full_s if dtype is torch.float32 else small_s


def faked_core(gains: dict[int, float]) -> Callable[[torch.device, torch.dtype, int], float]:
    """A smaller dtype gains so much, by the width of the core."""
    return lambda device, dtype, width: gains[width] if dtype is torch.float32 else 1.0


def test_a_cpu_with_bf16_units_computes_in_bf16() -> None:
    dtype, reason = choose_dtype(CPU, probe=faked(full_s=4.5e-3, small_s=1e-3))
    assert dtype is torch.bfloat16
    assert "4.5 times as fast as float32 at width 256 on cpu" in reason


def test_what_a_core_of_this_width_gains_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """Units for bf16 are no gain in a narrow core, whose products of single rows wait for memory."""
    gains = {256: 1.05, 1024: 1.9}
    monkeypatch.setattr(dtype_module, "probe_matmul", faked(4.0, 1.0))
    monkeypatch.setattr(dtype_module, "probe_core", faked_core(gains))
    for width, expected in ((256, torch.float32), (1024, torch.bfloat16)):
        dtype, reason = choose_dtype(CPU, width=width)
        assert dtype is expected
        assert f"{gains[width]:.2g} times as fast as float32 at width {width}" in reason


def test_without_units_no_wide_layer_is_timed() -> None:
    """A layer of 1,024 would take a second and more at 1 GFLOP/s."""

    def probe(device: torch.device, dtype: torch.dtype, width: int) -> float:
        raise AssertionError("a layer was timed")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dtype_module, "probe_matmul", faked(1.0, 100.0))
        patch.setattr(dtype_module, "probe_core", probe)
        assert choose_dtype(CPU, width=1024)[0] is torch.float32


@pytest.mark.parametrize("small_s", [120e-3, 1e-3, float("inf")])
def test_a_cpu_without_them_computes_in_fp32(small_s: float) -> None:
    dtype, reason = choose_dtype(CPU, probe=faked(full_s=1e-3, small_s=small_s))
    assert dtype is torch.float32
    assert "bfloat16" in reason


def test_the_dtype_of_the_checkpoint_decides_nothing(
    family_dir: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = Core.load(family_dir("llama"), device="cpu", dtype="bfloat16")
    core.model.save_pretrained(tmp_path)
    core.tokenizer.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    for small_s, expected in ((100.0, torch.float32), (0.1, torch.bfloat16)):
        monkeypatch.setattr(dtype_module, "probe_matmul", faked(1.0, small_s))
        monkeypatch.setattr(dtype_module, "probe_core", faked_core({64: 1.0 / small_s}))
        loaded = Core.load(tmp_path, device="cpu")
        assert loaded.dtype is expected
        assert "probe" in loaded.dtype_reason
        assert loaded.generate(["The dog"], max_tokens=3)[0].token_ids


def test_a_requested_dtype_is_taken_without_a_probe() -> None:
    def no_probe(device: torch.device, dtype: torch.dtype) -> float:
        raise AssertionError("probed")

    for name, expected in (
        ("bf16", torch.bfloat16),
        ("float32", torch.float32),
        (torch.bfloat16, torch.bfloat16),
    ):
        assert choose_dtype(CPU, name, no_probe) == (expected, "requested")


@pytest.mark.parametrize(
    ("requested", "words"),
    [
        ("float16", "not computed on a CPU"),
        (torch.float16, "not computed on a CPU"),
        ("flaot32", "Did you mean 'float32'"),
        (torch.int8, "int8"),
    ],
)
def test_an_unusable_dtype_is_told(requested: str | torch.dtype, words: str) -> None:
    with pytest.raises(UserError, match=words):
        choose_dtype(CPU, requested)


def test_the_probe_times_a_product_and_leaves_the_threads_as_they_were() -> None:
    threads = torch.get_num_threads()
    assert 0 < probe_matmul(CPU, torch.float32) < 1
    assert 0 < probe_core(CPU, torch.float32, 128) < probe_core(CPU, torch.float32, 512) < 10
    assert torch.get_num_threads() == threads


def test_the_device_is_the_best_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for present, best in ((["cuda:0", "cpu"], "cuda"), (["mps", "cpu"], "mps"), (["cpu"], "cpu")):
        monkeypatch.setattr(dtype_module, "_devices", lambda present=present: present)
        assert choose_device() == torch.device(best)
        assert choose_device("auto") == torch.device(best)


def test_a_device_that_is_not_there_is_told_with_those_that_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dtype_module, "_devices", lambda: ["cuda:0", "cpu"])
    assert choose_device("cuda:0") == torch.device("cuda:0")
    for name in ("cuda:7", "tpu", "mps"):
        with pytest.raises(UserError, match=r"There are: cuda:0, cpu"):
            choose_device(name)
