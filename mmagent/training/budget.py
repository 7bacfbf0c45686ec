"""What a run will take in memory, before it starts, and the largest batch that fits.

Activations are counted, not guessed: a few of the longest rows go through the core once, and what autograd
keeps of them is added up; a batch keeps that for each of its rows. Weights, gradients, moments and the
buffers of a validation come from their shapes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from mmagent.core.room import free_bytes, shown
from mmagent.errors import UserError
from mmagent.training import checkpoint
from mmagent.training.loop import Task, row_losses, validate_rows
from mmagent.training.precision import Passes, layers_of, recomputed
from mmagent.training.processes import least
from mmagent.training.settings import AUTO, TrainSettings

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["Budget", "estimate", "optimiser_bytes", "settled"]

STEPS_AN_EPOCH = 4  # an automatic batch leaves at least so many, since a set in one batch hardly learns
USABLE = 0.8  # of what is free, for an automatic batch
HEAP_LAYERS, HEAP = 3, 32 << 20
"""What a heap holds beyond what is in use, as seen with glibc: three layers' activations, and 32 MB."""
CHOSEN = "chosen.json"  # in the folder of states: the batch size that was chosen


@dataclass(frozen=True)
class Budget:
    """What a run takes on its device, in bytes.

    core           weights of the core, which are there already
    optimiser      gradients, moments and copies of what trains
    row            activations of one row, at its longest
    fixed          what a pass takes whatever its rows
    validation     the validation's passes and key-value states, which come when the activations are gone
    rows           rows of one pass: a part of a process's share of a step
    tokens         tokens of the longest row
    """

    core: int
    optimiser: int
    row: int
    fixed: int
    validation: int
    rows: int
    tokens: int
    numbers: str

    @property
    def activations(self) -> int:
        """Bytes of a pass over all its rows."""
        return self.rows * self.row + self.fixed

    @property
    def more(self) -> int:
        """Bytes at the peak, beyond what the weights take already."""
        return self.optimiser + max(self.activations, self.validation)

    def line(self, free: int | None) -> str:
        """The estimate in one line."""
        return f"memory: {self.told(free)}."

    def told(self, free: int | None) -> str:
        """What takes how much, and what is free, in words."""
        there = f"; {shown(free)} are free" if free is not None else ""
        return (
            f"{shown(self.core)} core ({self.numbers}), {shown(self.optimiser)} adapter and "
            f"optimiser, {shown(self.activations)} activations ({self.rows} rows of up to {self.tokens} "
            f"tokens), {shown(self.validation)} validation: about {shown(self.more)} more than now{there}"
        )


def estimate(task: Task, adapter: nn.Module, settings: TrainSettings, processes: int = 1) -> Budget:
    """What a run with these settings takes on each of its processes. Nothing is changed by it."""
    passes = Passes.of(settings, task.core)
    row, tokens = _row_bytes(task, adapter, passes)
    return Budget(
        core=_bytes_of(task.core.model),
        optimiser=optimiser_bytes(adapter, processes),
        row=row,
        fixed=(_largest_layer(task.core.model) if passes.autocast is not None else 0)
        + (HEAP if task.core.device.type == "cpu" else 0),
        validation=_validation_bytes(task, settings),
        rows=rows_of_pass(settings, processes),
        tokens=tokens,
        numbers=task.core.numbers,
    )


def optimiser_bytes(adapter: nn.Module, processes: int = 1) -> int:
    """What training keeps beside the weights of an adapter, on each process."""
    trained = sum(p.numel() for p in adapter.parameters() if p.requires_grad)
    # gradient, two moments, the best weights; and a message of gradients, sent and received
    return trained * 4 * (4 + 2 * (processes > 1))


def rows_of_pass(settings: TrainSettings, processes: int) -> int:
    """Rows that one process takes through the core at once."""
    return max(1, -(-settings.batch_size // (settings.accumulate * processes)))


def settled(
    task: Task,
    adapter: nn.Module,
    settings: TrainSettings,
    work: Path,
    *,
    accelerator: Accelerator | None = None,
    resume: bool = False,
    say: Callable[[str], object] = lambda text: None,
) -> TrainSettings:
    """The settings with a batch size that fits; one line of `say` tells what the run takes.

    An automatic batch size is the largest power of two that fits and leaves four steps an epoch; it is
    noted in `work`, and a `resume` takes the same. On CUDA a step of it is really taken.

    Raises `UserError` with what to do where the run does not fit.
    """
    processes = accelerator.num_processes if accelerator is not None else 1
    if task.core.sharded:
        if settings.batch_size == AUTO:
            raise UserError("--batch-size auto is not found for a core spread by --fsdp. Give a number.")
        say("memory: not estimated for a core that is spread over processes.")
        return settings
    free = free_bytes(task.core.device)
    automatic = settings.batch_size == AUTO
    first = settings.changed({"batch_size": max(1, settings.accumulate)}) if automatic else settings
    budget = estimate(task, adapter, first, processes)
    if automatic:
        size = (_noted(work) if resume else None) or _largest(
            task, adapter, settings, budget, free, processes
        )
        settings = settings.changed({"batch_size": least(accelerator, size)})
        budget = replace(budget, rows=rows_of_pass(settings, processes))
        if accelerator is None or accelerator.is_main_process:
            work.mkdir(parents=True, exist_ok=True)
            (work / CHOSEN).write_text(json.dumps({"batch_size": settings.batch_size}), encoding="utf-8")
        say(
            f"batch size {settings.batch_size}: the largest power of two that fits and leaves "
            f"{STEPS_AN_EPOCH} steps an epoch."
        )
    say(budget.line(free))
    _demand(budget, settings, free, processes)
    return settings


def _row_bytes(task: Task, adapter: nn.Module, passes: Passes) -> tuple[int, int]:
    """Bytes that a pass keeps and briefly needs for one row of the longest, and that row's tokens."""
    rows = sorted(task.train, key=len)
    longest, widest = rows[-1], max(rows, key=lambda row: len(row.target))
    probe = [longest, widest, rows[0]]  # padded to the longest, as a batch is
    seen = _Kept(task.core.model)
    layers = layers_of(task.core.model) if passes.recompute else []
    was_training = adapter.training
    plain = replace(task, passes=replace(passes, recompute=False))
    # with recomputation the first layer stands for the one that is at work in the backward pass
    with recomputed(layers[1:]), torch.autograd.graph.saved_tensors_hooks(seen.keep, lambda kept: kept):
        row_losses(plain, adapter.train(), probe)
    adapter.train(was_training)
    size = torch.finfo(task.core.dtype).bits // 8
    inputs = len(layers) * len(longest) * task.core.d_core * size  # what each layer keeps when recomputed
    logits = 2 * (len(widest.target) + 1) * task.core.vocab_size * 4  # gradients of the logits, twice
    kept = seen.total // len(probe)
    heap = 0.0
    if task.core.device.type == "cpu":
        depth = 1 if passes.recompute else getattr(_config(task), "num_hidden_layers", 1)
        heap = HEAP_LAYERS * kept / depth
    return int(kept + inputs + logits + heap) + _working(task, len(longest)), len(longest)


def _working(task: Task, tokens: int) -> int:
    """Bytes that a layer's backward pass needs beside what was kept: gradients of its widest products."""
    widest = max(
        (
            p.shape[0]
            for p in task.core.model.parameters()
            if p.ndim == 2 and p.shape[0] != task.core.vocab_size
        ),
        default=0,
    )
    return int(3 * tokens * max(widest, task.core.d_core) * 4)


class _Kept:
    """Adds up what autograd keeps for the backward pass, each storage once, weights left out."""

    def __init__(self, model: nn.Module) -> None:
        own = (*model.parameters(), *model.buffers())
        self._known = {tensor.untyped_storage().data_ptr() for tensor in own}
        self.total = 0

    def keep(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._known:
            self._known.add(storage.data_ptr())
            self.total += storage.nbytes()
        return tensor


def _validation_bytes(task: Task, settings: TrainSettings) -> int:
    """Key-value states and one layer's work for a batch of validation rows."""
    rows: Sequence[Any] = task.validation or task.train
    count = min(len(rows), validate_rows(settings, 1))
    longest, target = max(map(len, rows)), max(len(row.target) for row in rows)
    config = _config(task)
    heads = getattr(config, "num_attention_heads", 1)
    width = getattr(config, "head_dim", None) or task.core.d_core // heads
    kv = 2 * getattr(config, "num_hidden_layers", 1) * (getattr(config, "num_key_value_heads", None) or heads)
    size = torch.finfo(task.core.dtype).bits // 8
    states = count * (longest + target) * kv * width * size
    logits = 2 * count * (target + 1) * task.core.vocab_size * 4
    return int(states + max(logits, count * _working(task, longest)))


def _largest(
    task: Task,
    adapter: nn.Module,
    settings: TrainSettings,
    budget: Budget,
    free: int | None,
    processes: int,
) -> int:
    """The largest power of two that fits, at least as many rows as there are parts."""
    size, floor = 1, max(1, settings.accumulate)
    while 2 * size * STEPS_AN_EPOCH <= len(task.train):
        size *= 2
    size = max(size, floor)

    def fits(size: int) -> bool:
        now = settings.changed({"batch_size": size})
        if task.core.device.type == "cuda":
            return tried(task, adapter, now, rows_of_pass(now, processes))
        return free is None or replace(budget, rows=rows_of_pass(now, processes)).more <= USABLE * free

    while size > floor and not fits(size):
        size = max(floor, size // 2)
    return size


def tried(task: Task, adapter: nn.Module, settings: TrainSettings, count: int) -> bool:
    """Whether a pass over so many of the longest rows, forth and back, runs without running out of memory."""
    rows = sorted(task.train, key=len, reverse=True)
    rows = [rows[at % len(rows)] for at in range(count)]
    adapter.to(task.core.device).train()
    now = replace(task, passes=Passes.of(settings, task.core))
    moments: list[torch.Tensor] = []
    try:
        now.passes.backward(row_losses(now, adapter, rows).sum())
        moments += [torch.zeros_like(p) for p in adapter.parameters() for _ in range(3)]
        return True
    except torch.OutOfMemoryError:
        return False
    finally:
        moments.clear()
        adapter.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()  # nothing to do without a card


def _demand(budget: Budget, settings: TrainSettings, free: int | None, processes: int) -> None:
    """Raise `UserError` with what to do where the run does not fit."""
    if free is None or budget.more <= free:
        return
    means = []
    rows = int((free - budget.optimiser - budget.fixed) // max(1, budget.row))
    if rows >= 1 and rows < budget.rows:
        parts = -(-settings.batch_size // (rows * processes))
        means += [
            f"--accumulate {parts} (the same result)",
            f"--batch-size {rows * processes * settings.accumulate}",
        ]
    means += ["--checkpointing"] if not settings.checkpointing else []
    means += ["--dtype bfloat16"] if budget.numbers == "float32" else []
    raise UserError(
        f"this run takes about {shown(budget.more)} more, and {shown(free)} are free. "
        f"Take {', '.join(means) or 'a smaller core'} or another --device."
    )


def _noted(work: Path) -> int | None:
    """The batch size that an interrupted run was given."""
    state = checkpoint.latest(work)
    if state is not None:
        return int(state.facts["settings"]["batch_size"])
    try:
        return int(json.loads((work / CHOSEN).read_text(encoding="utf-8"))["batch_size"])
    except (OSError, ValueError, KeyError):
        return None


def _config(task: Task) -> Any:
    return task.core.model.config.get_text_config(decoder=True)


def _bytes_of(model: nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in (*model.parameters(), *model.buffers()))


def _largest_layer(model: nn.Module) -> int:
    """Bytes of the largest matrix, a copy of which is made in other numbers for a product."""
    return max((p.numel() * p.element_size() for p in model.parameters()), default=0)
