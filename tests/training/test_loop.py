"""The loop on the embedded core and made-up features: what it learns, and that a crash changes nothing."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from learner import SETTINGS, learn, make_task, new_adapter

from mmagent import Agent
from mmagent.errors import UserError
from mmagent.tensors import read_tensors
from mmagent.training import checkpoint
from mmagent.training.interrupt import Interrupted
from mmagent.training.loop import Task, fine_tune


@pytest.fixture(scope="module")
def agent() -> Agent:
    return Agent.load("tiny", dtype="float32")


@pytest.fixture(scope="module")
def task(agent: Agent) -> Task:
    return make_task(agent)


def test_it_learns(agent: Agent, task: Task, tmp_path: Path) -> None:
    new = new_adapter(agent)
    out = fine_tune(task, new, SETTINGS, tmp_path)
    assert out.best.score == 1.0
    first, second, *_, last = out.history
    assert (first.step, first.loss) == (0, None)
    assert last.loss < second.loss / 2
    assert last.validation_loss < first.validation_loss / 2


def test_a_start_that_no_step_betters_is_kept(agent: Agent, task: Task, tmp_path: Path) -> None:
    good = new_adapter(agent)
    fine_tune(task, good, SETTINGS, tmp_path / "good")
    kept = {name: tensor.clone() for name, tensor in good.state_dict().items()}
    wild = replace(SETTINGS, learning_rate=30.0, warmup=0.0)
    out = fine_tune(task, good, wild, tmp_path / "wild")
    assert out.best.step == 0
    assert all(torch.equal(kept[name], tensor) for name, tensor in good.state_dict().items())


def test_training_leaves_the_core_as_it_was(agent: Agent, task: Task, tmp_path: Path) -> None:
    before = agent.core.fingerprint()
    fine_tune(task, new_adapter(agent), replace(SETTINGS, epochs=1), tmp_path)
    assert agent.core.fingerprint() == before


def test_stopped_at_any_step_and_resumed_it_ends_in_the_same_bits(
    agent: Agent, task: Task, tmp_path: Path
) -> None:
    whole = new_adapter(agent)
    fine_tune(task, whole, SETTINGS, tmp_path / "whole")
    for at in (1, 7, 20):
        cut, calls = new_adapter(agent), [0]

        def stop(at: int = at, calls: list[int] = calls) -> bool:
            calls[0] += 1
            return calls[0] >= at

        with pytest.raises(Interrupted):
            fine_tune(task, cut, SETTINGS, tmp_path / str(at), stop=stop)
        again = new_adapter(agent)
        fine_tune(task, again, SETTINGS, tmp_path / str(at), resume=True)
        for name, tensor in whole.state_dict().items():
            assert torch.equal(tensor, again.state_dict()[name]), f"{name} after a stop at step {at}"


def test_accumulated_parts_give_the_same_step(agent: Agent, task: Task, tmp_path: Path) -> None:
    one, parts = new_adapter(agent), new_adapter(agent)
    few = SETTINGS.changed({"epochs": 1.0})
    fine_tune(task, one, few, tmp_path / "a")
    fine_tune(task, parts, few.changed({"accumulate": 3}), tmp_path / "b")
    for name, tensor in one.state_dict().items():
        torch.testing.assert_close(tensor, parts.state_dict()[name], rtol=1e-3, atol=1e-5)


def test_a_resume_with_other_settings_says_which_differ(agent: Agent, task: Task, tmp_path: Path) -> None:
    fine_tune(task, new_adapter(agent), SETTINGS.changed({"epochs": 1.0}), tmp_path)
    with pytest.raises(UserError, match=r"epochs 1.0 there, 2.0 here"):
        fine_tune(task, new_adapter(agent), SETTINGS.changed({"epochs": 2.0}), tmp_path, resume=True)


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_state(
    agent: Agent, task: Task, tmp_path: Path
) -> None:
    def damage(step: int, steps: int, loss: float, score: float | None) -> None:
        if step == 10:
            task.seen.pooled[:] = float("nan")  # type: ignore[attr-defined]

    kept = task.seen.pooled.clone()  # type: ignore[attr-defined]
    try:
        with pytest.raises(UserError, match="no number at step 11"):
            fine_tune(task, new_adapter(agent), SETTINGS, tmp_path, on_step=damage)
    finally:
        task.seen.pooled[:] = kept  # type: ignore[attr-defined]
    state = checkpoint.latest(tmp_path)
    assert state is not None
    assert all(torch.isfinite(t).all() for t in state.tensors["adapter"].values())


def test_a_damaged_state_is_passed_over(agent: Agent, task: Task, tmp_path: Path) -> None:
    fine_tune(task, new_adapter(agent), SETTINGS.changed({"epochs": 2.0}), tmp_path)
    newest, older = sorted(tmp_path.glob("step-*"), reverse=True)
    file = newest / "adapter.safetensors"
    file.write_bytes(file.read_bytes()[:-9])
    state = checkpoint.latest(tmp_path)
    assert state is not None
    assert older.name == f"step-{state.step:06d}"


def test_order_shows_every_row_once_an_epoch_and_wastes_little() -> None:
    from mmagent.training.order import Order

    rng = random.Random(0)
    order = Order([rng.randrange(20, 90) for _ in range(1003)], 16, 5)
    for epoch in range(2):
        steps = range(epoch * order.steps_per_epoch, (epoch + 1) * order.steps_per_epoch)
        rows = [row for step in steps for row in order.rows(step)]
        assert sorted(rows) == list(range(1003))
    assert order.rows(3) != order.rows(3 + order.steps_per_epoch)
    assert order.waste() < 0.15


@pytest.mark.parametrize("rows", [3, 30, 300])
@pytest.mark.parametrize("accumulate", [1, 4])
def test_padding_stays_small_whatever_the_lengths_are(rows: int, accumulate: int) -> None:
    from mmagent.training.order import Order, passes

    rng = random.Random(rows)
    for lengths in (
        [rng.randrange(20, 90) for _ in range(rows)],
        [18 if rng.random() < 0.9 else rng.randrange(100, 500) for _ in range(rows)],
        [17] * rows,
    ):
        parts = passes(lengths, accumulate)
        assert sorted(at for part in parts for at in part) == list(range(rows))
        assert max(map(len, parts)) <= -(-rows // accumulate)
        for size in (8, 64):
            assert Order(lengths, size, 0).waste(accumulate) < 0.15
    assert passes([], 2) == [[]]
    assert len(passes([17] * 64)) == 1


def test_rows_that_were_seen_are_counted_over_epochs() -> None:
    from mmagent.training.order import Order

    order = Order([5] * 21, 8, 0)
    for first, last in ((0, 9), (1, 7), (2, 3), (4, 4), (3, 9)):
        assert order.examples(first, last) == sum(len(order.rows(step)) for step in range(first, last))


def test_stopped_early_it_does_not_go_on_when_it_is_taken_up_again(
    agent: Agent, task: Task, tmp_path: Path
) -> None:
    """As after a kill between the last state and the bundle."""
    few = SETTINGS.changed({"patience": 1, "learning_rate": 1e-9})
    adapter, again = new_adapter(agent), new_adapter(agent)
    first = fine_tune(task, adapter, few, tmp_path)
    assert first.steps < first.planned
    second = fine_tune(task, again, few, tmp_path, resume=True)
    assert (second.steps, second.best, second.examples) == (first.steps, first.best, 0)
    for name, tensor in adapter.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])


def test_rows_that_ask_the_same_share_a_prompt_and_no_prefix(agent: Agent, task: Task) -> None:
    one, other = task.train[:2]
    assert one.prompt is other.prompt
    prefix = torch.zeros(2, agent.core.d_core)
    assert one.filled([prefix]).keys != other.filled([prefix]).keys


@pytest.mark.parametrize("world", [2, 4])
def test_several_processes_take_the_steps_of_one(agent: Agent, tmp_path: Path, world: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    script = str(Path(__file__).with_name("learner.py"))
    common = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(world)}
    running = [
        subprocess.Popen(
            [sys.executable, script, str(tmp_path)],
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank), "ACCELERATE_USE_CPU": "true"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    told = [one.communicate(timeout=300)[1] for one in running]
    assert [one.returncode for one in running] == [0] * world, told[0][-2000:]
    single, out = learn(agent, tmp_path / "one")
    together = read_tensors(tmp_path / "adapter.safetensors")
    for name, tensor in single.state_dict().items():
        torch.testing.assert_close(together[name], tensor, rtol=1e-3, atol=2e-4)
    scores = repr([(one.step, one.score) for one in out.history])
    assert (tmp_path / "scores.txt").read_text() == scores
