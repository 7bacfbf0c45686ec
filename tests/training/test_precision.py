"""Numbers of the passes, the gradient scaler, and layers that are computed anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from learner import SETTINGS, make_task, new_adapter
from torch import nn

from mmagent import Agent
from mmagent.errors import UserError
from mmagent.training import checkpoint, precision
from mmagent.training.interrupt import Interrupted
from mmagent.training.loop import Task, fine_tune, row_losses
from mmagent.training.precision import Passes

FEW = SETTINGS.changed({"epochs": 2.0, "validations": 2})


@pytest.fixture(scope="module")
def agent() -> Agent:
    return Agent.load("tiny", dtype="float32")


@pytest.fixture(scope="module")
def task(agent: Agent) -> Task:
    return make_task(agent)


def one_pass(agent: Agent, task: Task, passes: Passes) -> tuple[float, dict[str, torch.Tensor], int]:
    """Loss of four rows, the adapter's gradients, and how many bytes the backward pass needed."""
    adapter = new_adapter(agent)
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, nn.Parameter):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = row_losses(replace(task, passes=passes), adapter, task.train[:4]).sum()
    size = sum(kept.values())
    passes.backward(loss)
    return (
        float(loss.detach()),
        {name: p.grad for name, p in adapter.named_parameters() if p.grad is not None},
        size,
    )


def test_layers_computed_anew_give_the_same_gradients_and_keep_less(agent: Agent, task: Task) -> None:
    loss, gradients, kept = one_pass(agent, task, Passes())
    again, same, less = one_pass(
        agent, task, Passes.of(SETTINGS.changed({"checkpointing": True}), agent.core)
    )
    assert again == pytest.approx(loss, rel=1e-6)  # without, what no target needs is not computed
    assert all(float(gradient.abs().max()) > 0 for gradient in same.values())
    assert same.keys() == gradients.keys()
    torch.testing.assert_close(same, gradients, rtol=1e-4, atol=1e-5)
    assert less < kept / 2
    assert all("forward" not in vars(module) for module in agent.core.model.modules())


def test_bf16_is_for_the_core_and_the_adapter_stays_in_float32(agent: Agent, task: Task) -> None:
    loss, gradients, _ = one_pass(agent, task, Passes())
    rough, near, _ = one_pass(agent, task, Passes.of(SETTINGS.changed({"precision": "bf16"}), agent.core))
    assert rough != loss
    assert rough == pytest.approx(loss, rel=0.02)
    assert all(gradient.dtype is torch.float32 for gradient in near.values())
    cosine = nn.functional.cosine_similarity(
        near["linear.weight"].flatten(), gradients["linear.weight"].flatten(), 0
    )
    assert float(cosine) > 0.99


def test_a_run_in_bf16_learns_and_leaves_the_core_alone(agent: Agent, task: Task, tmp_path: Path) -> None:
    adapter = new_adapter(agent)
    out = fine_tune(task, adapter, SETTINGS.changed({"precision": "bf16", "checkpointing": True}), tmp_path)
    assert out.best.score == 1.0
    state = checkpoint.latest(tmp_path)
    assert state is not None
    assert {tensor.dtype for tensors in state.tensors.values() for tensor in tensors.values()} == {
        torch.float32
    }


def test_fp16_is_refused_on_a_cpu(agent: Agent, task: Task, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"fp16, which is not trained in on a CPU. Take bf16, fp32 or auto"):
        fine_tune(task, new_adapter(agent), FEW.changed({"precision": "fp16"}), tmp_path)
    with pytest.raises(UserError, match=r"precision is fp8; it must be one of auto, fp32, bf16, fp16"):
        SETTINGS.changed({"precision": "fp8"})


def test_with_a_scaler_too_it_resumes_to_the_same_bits(
    agent: Agent, task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "demand_fp16", lambda device: None)
    real = torch.amp.GradScaler

    def scaler(device: str) -> Any:  # doubles with every step, so that a forgotten state shows
        return real(device, init_scale=2.0**6, growth_interval=1)

    monkeypatch.setattr(torch.amp, "GradScaler", scaler)
    settings = FEW.changed({"precision": "fp16", "validations": 1})
    whole, again = new_adapter(agent), new_adapter(agent)
    fine_tune(task, whole, settings, tmp_path / "whole")
    calls = [0]

    def stop() -> bool:
        calls[0] += 1
        return calls[0] >= 4

    with pytest.raises(Interrupted):
        fine_tune(task, new_adapter(agent), settings, tmp_path / "cut", stop=stop)
    state = checkpoint.latest(tmp_path / "cut")
    assert state is not None
    assert state.facts["scaler"]["scale"] == 2.0**10
    assert not torch.equal(state.tensors["adapter"]["linear.weight"], new_adapter(agent).linear.weight)
    fine_tune(task, again, settings, tmp_path / "cut", resume=True)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    ends = [checkpoint.latest(tmp_path / one) for one in ("whole", "cut")]
    assert ends[0] is not None
    assert ends[1] is not None
    assert ends[0].facts["scaler"] == ends[1].facts["scaler"]


def test_a_resume_in_other_numbers_is_refused(agent: Agent, task: Task, tmp_path: Path) -> None:
    fine_tune(task, new_adapter(agent), FEW, tmp_path)
    other = Agent.load("tiny", dtype="bfloat16")
    with pytest.raises(UserError, match="core float32 there, bfloat16 here"):
        fine_tune(make_task(other), new_adapter(other), FEW, tmp_path, resume=True)
