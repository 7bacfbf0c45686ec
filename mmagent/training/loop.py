"""The loop: steps of AdamW on the adapter, through the frozen core; validation, early stop, exact resume.

What trains may stand before the core or inside of it (LoRA): it is whatever of the module needs gradients.

One process or many (Accelerate): a step's rows are dealt out over the processes, each sums the loss of its
own over the tokens of all, and gradients are added up. So two processes take the steps of one, and nobody
waits for a number that another process alone decides on (`processes`).
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mmagent.core.score import target_losses
from mmagent.errors import UserError
from mmagent.training import checkpoint
from mmagent.training.begun import differences
from mmagent.training.interrupt import Interrupted
from mmagent.training.order import Order, passes, rate_share
from mmagent.training.places import Seen, filled, with_answers_drawn, with_fewer_senses
from mmagent.training.precision import Passes
from mmagent.training.processes import meet, new_accelerator, sum_gradients
from mmagent.training.rows import LearnRow, answered, choice_terms
from mmagent.training.settings import TrainSettings
from mmagent.training.together import begin_alike, trained, trained_by_rate

if TYPE_CHECKING:
    from accelerate import Accelerator

    from mmagent.core import Core

__all__ = [
    "History",
    "Outcome",
    "Seen",
    "Task",
    "fine_tune",
    "row_losses",
    "validate_rows",
]

VALIDATE_BATCH = 64


@dataclass(frozen=True)
class Task:
    """What is learned: rows to learn from, rows to judge by, and the features of their media."""

    core: Core
    train: Sequence[LearnRow]
    validation: Sequence[LearnRow]
    seen: Seen
    fingerprint: str
    passes: Passes = field(default_factory=Passes)
    """How the core is passed through; `fine_tune` takes it from the settings."""
    contrast: float = 0.0
    """Weight of the choice loss, see `TrainSettings.contrast`."""


@dataclass(frozen=True)
class History:
    """One validation: after `step` steps, the mean training loss since the last one, and how it fared."""

    step: int
    loss: float | None
    """None before the first step."""
    validation_loss: float
    score: float
    """Share of validation answers that are right, answered as `ask` does (`rows.answered`)."""
    missing: float | None = None
    """The same share with some of the senses missing, where rows are shown so in training."""


@dataclass
class Outcome:
    """What a run came to; the adapter it was given holds the best weights."""

    history: list[History]
    best: History
    steps: int
    planned: int
    seconds: float
    waste: float
    """Share of all positions that were padding."""
    examples: int = 0


@dataclass
class _Run:
    """Where a run is."""

    step: int = 0
    bad: int = 0
    history: list[History] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)

    @property
    def best_of(self) -> History:
        """The best validation so far: the highest score, of equal ones the lowest loss."""
        return max(self.history, key=_merit)


def fine_tune(
    task: Task,
    adapter: nn.Module,
    settings: TrainSettings,
    work: Path,
    *,
    accelerator: Accelerator | None = None,
    resume: bool = False,
    on_step: Callable[[int, int, float, float | None], None] | None = None,
    stop: Callable[[], int] = lambda: 0,
    begun_with: Mapping[str, Any] | None = None,
) -> Outcome:
    """Train `adapter` in place and leave it with its best weights.

    work: where states are kept (`checkpoint`). on_step(step, steps, loss, score) is called after every step.
    stop: asked after every step for the signal that wants it to end; unless 0, the state is written and
    `Interrupted` raised. begun_with: more that the data hang on (`begun.CAUSES`), kept in the states.

    Raises `UserError` where the loss is no number (the last state is kept), and for a `resume` of a run with
    other settings or data, saying which differ.
    """
    accelerator = accelerator or new_accelerator(task.core.device.type)
    task = replace(task, passes=Passes.of(settings, task.core))
    order = Order([len(row) for row in task.train], settings.batch_size, settings.seed)
    steps = order.steps(settings.epochs)
    marks = {max(1, round(steps * (at + 1) / settings.validations)) for at in range(settings.validations)}
    adapter.to(task.core.device)
    optimiser = _optimiser(adapter, settings)
    run = _Run()
    facts = {
        **(begun_with or {}),
        "settings": settings.as_json(),
        "data": task.fingerprint,
        "steps": steps,
        "core": task.core.numbers,
        "device": task.core.device.type,
        "core's weights": task.core.fingerprint(),
    }
    if resume:
        run = _resumed(work, task, adapter, optimiser, facts)
    begin_alike(adapter, accelerator)
    task.core.assert_frozen()
    began = time.perf_counter()
    first = run.step
    if not run.history:
        _validated(task, adapter, run, settings, accelerator)  # a good start is kept if no step betters it
    while run.step < steps and not (settings.patience and run.bad >= settings.patience):
        for group in optimiser.param_groups:
            share = rate_share(run.step, steps, settings.warmup)
            group["lr"] = settings.learning_rate * group["rate"] * share
        loss = _step(task, adapter, optimiser, order.rows(run.step), settings, run.step, accelerator)
        _demand_finite(loss, run.step + 1, settings, work)
        run.step += 1
        run.losses.append(loss)
        score = None
        if run.step in marks or run.step == steps:
            score = _validated(task, adapter, run, settings, accelerator).score
            _demand_finite(run.history[-1].validation_loss, run.step, settings, work)
            _write(work, task, adapter, optimiser, run, facts, accelerator)
        if on_step is not None:
            on_step(run.step, steps, loss, score)
        if by := _asked(stop(), accelerator):
            _write(work, task, adapter, optimiser, run, facts, accelerator)
            raise Interrupted(f"stopped after step {run.step} of {steps}; its state is in {work}", by)
    task.core.assert_frozen()
    adapter.load_state_dict(run.best)
    adapter.eval()
    seconds = time.perf_counter() - began
    seen, waste = order.examples(first, run.step), order.waste(settings.accumulate)
    return Outcome(run.history, run.best_of, run.step, steps, seconds, waste, seen)


def _step(
    task: Task,
    adapter: nn.Module,
    optimiser: torch.optim.Optimizer,
    rows: list[int],
    settings: TrainSettings,
    step: int,
    accelerator: Accelerator,
) -> float:
    """One optimiser step on these rows; the mean loss per target token."""
    rank, world = accelerator.process_index, accelerator.num_processes
    torch.manual_seed(hash_of(settings.seed, step, rank))
    adapter.train()
    optimiser.zero_grad(set_to_none=True)
    shown = with_fewer_senses(
        [task.train[row] for row in rows], settings.modality_dropout, hash_of(settings.seed, step)
    )
    shown = with_answers_drawn(shown, adapter, hash_of(settings.seed, step, -1))
    tokens = sum(len(row.target) for row in shown)
    # made of all rows and dealt out afterwards, so that every process makes the same number of passes
    places = passes([len(row) for row in shown], settings.accumulate)
    parts = [[shown[at] for at in part[rank::world]] for part in places]
    total = torch.zeros((), device=task.core.device)
    for part in parts if task.core.sharded else filter(None, parts):
        # a sharded core is passed through by all together, so one without rows takes one along for nothing
        each = row_losses(task, adapter, part or shown[:1])
        loss = each.sum() / tokens * (1.0 if part else 0.0)
        task.passes.backward(loss)
        total += loss.detach()
    (mean,) = meet(accelerator, float(total))
    sum_gradients(trained(adapter), accelerator)
    task.passes.step(optimiser, trained(adapter), settings.clip)
    return mean


def row_losses(task: Task, adapter: nn.Module, rows: Sequence[LearnRow]) -> Tensor:
    """Sum of the cross-entropy over each row's target tokens, and of its choice loss, (B,).

    Of an adapter that supposes, that of saying the answer once it is supposed (`places`).
    """
    prompts = filled(task.seen, adapter, rows, task.core.device, taught=True)
    with task.passes.through(task.core):
        losses = target_losses(task.core, prompts, [row.target for row in rows])
        return losses + task.contrast * choice_terms(task.core, prompts, rows) if task.contrast else losses


@torch.no_grad()
def _validated(
    task: Task, adapter: nn.Module, run: _Run, settings: TrainSettings, accelerator: Accelerator
) -> History:
    """Judge the adapter, note it, and keep it if it is the best."""
    adapter.eval()
    loss, right = _judged(task, adapter, task.validation, settings, accelerator)
    views = [view for row in task.validation for view in row.views] if settings.modality_dropout else []
    missing = _judged(task, adapter, views, settings, accelerator)[1] if views else None
    lost = sum(run.losses) / len(run.losses) if run.losses else None
    now = History(run.step, lost, loss, right, missing)
    better = not run.history or _merit(now) > _merit(run.best_of)
    run.history.append(now)
    run.losses.clear()
    run.bad = 0 if better else run.bad + 1
    if better:
        run.best = {name: tensor.detach().cpu().clone() for name, tensor in adapter.state_dict().items()}
    return now


def _judged(
    task: Task,
    adapter: nn.Module,
    judged: Sequence[LearnRow],
    settings: TrainSettings,
    accelerator: Accelerator,
) -> tuple[float, float]:
    """The loss per target token of these rows, and the share of their answers that are right."""
    size = validate_rows(settings, accelerator.num_processes)
    # a sharded core is passed through by all together, so all take the same rows and the first counts them
    dealt = range(len(judged))
    if not task.core.sharded:
        dealt = dealt[accelerator.process_index :: accelerator.num_processes]
    own = sorted(dealt, key=lambda at: len(judged[at]))
    sums = [0.0, 0.0, 0.0]  # loss, target tokens, right answers
    for start in range(0, len(own), size):
        rows = [judged[at] for at in own[start : start + size]]
        sums[0] += float(row_losses(task, adapter, rows).sum())
        sums[1] += sum(len(row.target) for row in rows)
        prompts = filled(task.seen, adapter, rows, task.core.device)
        with task.passes.through(task.core):
            said = answered(task.core, rows, prompts)
        sums[2] += sum(row.is_right(text) for row, text in zip(rows, said, strict=True))
    counts = accelerator.is_main_process or not task.core.sharded
    loss, tokens, right = meet(accelerator, *(one if counts else 0.0 for one in sums))
    return loss / max(1.0, tokens), right / max(1, len(judged))


def validate_rows(settings: TrainSettings, processes: int) -> int:
    """Rows that are validated at once: 64, or fewer where training takes few for want of memory."""
    return min(VALIDATE_BATCH, 4 * max(1, settings.batch_size // (settings.accumulate * processes)))


def _merit(one: History) -> tuple[float, float]:
    return one.score if one.missing is None else (one.score + one.missing) / 2, -one.validation_loss


def _optimiser(adapter: nn.Module, settings: TrainSettings) -> torch.optim.AdamW:
    groups = [
        {"params": learned, "rate": rate, "weight_decay": settings.weight_decay if decays else 0.0}
        for rate, all_of_it in sorted(trained_by_rate(adapter).items())
        for decays in (True, False)
        if (learned := [p for p in all_of_it if _is_matrix(p) is decays])
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate)


def _is_matrix(parameter: Tensor) -> bool:
    """Whether it has rows and columns: (IA)^3 keeps vectors as (1, n), which decay would pull from one."""
    return sum(size > 1 for size in parameter.shape) >= 2


def _write(
    work: Path,
    task: Task,
    adapter: nn.Module,
    optimiser: torch.optim.Optimizer,
    run: _Run,
    facts: dict[str, Any],
    accelerator: Accelerator,
) -> None:
    """Write the state, by the main process alone; the others wait."""
    if accelerator.is_main_process:
        moments = {
            f"{at}.{name}": value
            for at, one in optimiser.state_dict()["state"].items()
            for name, value in one.items()
        }
        told = {
            **facts,
            "bad": run.bad,
            "history": [vars(one) for one in run.history],
            "losses": run.losses,
            "scaler": task.passes.state(),
        }
        groups = {
            "adapter": adapter.state_dict(),
            "best": run.best or adapter.state_dict(),
            "optimiser": moments,
        }
        checkpoint.save(work, checkpoint.State(run.step, groups, told))
    meet(accelerator)


def _resumed(
    work: Path, task: Task, adapter: nn.Module, optimiser: torch.optim.Optimizer, facts: dict[str, Any]
) -> _Run:
    """Fill adapter and optimiser from the newest state; a new run where there is none."""
    state = checkpoint.latest(work)
    if state is None:
        return _Run()
    there = state.facts
    if differing := differences(there, facts):
        raise UserError(
            f"the run in {work} was started otherwise: {', '.join(differing)}. Give the same settings and "
            "data, or another --out to start anew."
        )
    task.passes.take(there.get("scaler", {}))
    adapter.load_state_dict(dict(state.tensors["adapter"]))
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in state.tensors["optimiser"].items():
        at, _, what = name.partition(".")
        moments.setdefault(int(at), {})[what] = tensor
    packed = optimiser.state_dict()
    optimiser.load_state_dict({**packed, "state": moments})
    history = [History(**one) for one in there["history"]]
    return _Run(state.step, there["bad"], history, dict(state.tensors["best"]), list(there["losses"]))


def _demand_finite(loss: float, step: int, settings: TrainSettings, work: Path) -> None:
    """Raise UserError for a loss that is no number, saying what is kept; such weights are never written."""
    if math.isfinite(loss):
        return
    state = checkpoint.latest(work)
    kept = f"The state of step {state.step} is kept in {work}." if state else "No state had been written yet."
    raise UserError(
        f"the loss is no number at step {step}: the learning rate {settings.learning_rate} is too high, or "
        f"an input is damaged. {kept}"
    )


def _asked(by: int, accelerator: Accelerator) -> int:
    """The signal by which any process was asked to stop, so that all do the same; 0 for none."""
    asked, ended = meet(accelerator, float(by != 0), float(by == signal.SIGTERM))
    return 0 if not asked else signal.SIGTERM if ended else signal.SIGINT


def hash_of(*numbers: int) -> int:
    """One 63-bit seed from several numbers, the same in every process."""
    import hashlib

    text = " ".join(map(str, numbers)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1
