"""The loop where the core bends: LoRA alone and joined to a prefix, on the embedded core."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from learner import SETTINGS, learn, make_task, new_adapter

from mmagent import Agent
from mmagent.tensors import read_tensors
from mmagent.training.interrupt import Interrupted
from mmagent.training.loop import Task, fine_tune
from mmagent.training.processes import sum_gradients
from mmagent.training.together import trained

KINDS = ("lora", "prefix+lora")


@pytest.fixture(scope="module")
def agent() -> Agent:
    return Agent.load("tiny", dtype="float32")


@pytest.fixture(scope="module")
def task(agent: Agent) -> Task:
    return make_task(agent)


@pytest.mark.parametrize("families", KINDS)
def test_it_learns_inside_of_the_core_and_leaves_its_weights(
    agent: Agent, task: Task, tmp_path: Path, families: str
) -> None:
    agent.core.straighten()
    mark = agent.core.fingerprint()
    new = new_adapter(agent, families)
    start = {name: tensor.clone() for name, tensor in new.state_dict().items()}
    out = fine_tune(task, new, SETTINGS, tmp_path)
    assert out.history[-1].loss < out.history[1].loss / 2
    assert out.best.score > 0.5
    assert agent.core.fingerprint() == mark
    moved = {name for name, tensor in new.state_dict().items() if not torch.equal(tensor, start[name])}
    inside = {name for name in start if name.startswith("core.")}
    before = {name for name in start if name.startswith("sense.")}
    assert inside <= moved
    assert moved & before == (set() if families == "lora" else before)


@pytest.mark.parametrize("families", KINDS)
def test_stopped_and_resumed_it_ends_in_the_same_bits(
    agent: Agent, task: Task, tmp_path: Path, families: str
) -> None:
    few = SETTINGS.changed({"epochs": 4.0})
    whole = new_adapter(agent, families, dropout=0.3)
    fine_tune(task, whole, few, tmp_path / "whole")
    wanted = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    for at in (1, 5):
        calls = [0]

        def stop(at: int = at, calls: list[int] = calls) -> bool:
            calls[0] += 1
            return calls[0] >= at

        with pytest.raises(Interrupted):
            fine_tune(task, new_adapter(agent, families, 0.3), few, tmp_path / str(at), stop=stop)
        again = new_adapter(agent, families, dropout=0.3)
        fine_tune(task, again, few, tmp_path / str(at), resume=True)
        for name, tensor in wanted.items():
            assert torch.equal(tensor, again.state_dict()[name]), f"{name} after a stop at step {at}"


def test_gradients_are_added_up_over_all_that_trains() -> None:
    class Other:
        """A second process, whose gradients are all 1 and which has none for the first parameter."""

        num_processes, device = 2, torch.device("cpu")

        def reduce(self, tensor: torch.Tensor, reduction: str) -> torch.Tensor:
            assert reduction == "sum"
            theirs = torch.ones_like(tensor)
            theirs[[0, 2]] = 0.0
            theirs[3:9] = 0.0
            return tensor + theirs

    layers = torch.nn.ModuleList([torch.nn.Linear(3, 2, bias=False) for _ in range(3)]).to(torch.bfloat16)
    layers[0].weight.grad = torch.arange(6.0).view(2, 3).to(torch.bfloat16)
    sum_gradients(trained(layers), Other())  # type: ignore[arg-type]
    assert torch.equal(layers[0].weight.grad.float(), torch.arange(6.0).view(2, 3))
    assert torch.equal(layers[1].weight.grad.float(), torch.ones(2, 3)), "one without rows joins with zeros"
    assert layers[2].weight.grad is None


@pytest.mark.parametrize(("world", "families"), [(4, "lora"), (2, "prefix+lora"), (2, "concepts")])
def test_several_processes_take_the_steps_of_one(
    agent: Agent, tmp_path: Path, world: int, families: str
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    script = str(Path(__file__).with_name("learner.py"))
    common = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(world)}
    running = [
        subprocess.Popen(
            [sys.executable, script, str(tmp_path), families],
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank), "ACCELERATE_USE_CPU": "true"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    told = [one.communicate(timeout=300)[1] for one in running]
    assert [one.returncode for one in running] == [0] * world, told[0][-2000:]
    start = {name: tensor.clone() for name, tensor in new_adapter(agent, families).state_dict().items()}
    single, out = learn(agent, tmp_path / "one", families=families)
    together = read_tensors(tmp_path / "adapter.safetensors")
    assert together.keys() == start.keys()
    for name, tensor in single.state_dict().items():
        # half a per cent of the way it went: Adam makes whole steps of gradients that are hardly there
        assert (together[name] - tensor).norm() <= 5e-3 * (tensor - start[name]).norm(), name
    scores = repr([(one.step, one.score) for one in out.history])
    assert (tmp_path / "scores.txt").read_text() == scores
