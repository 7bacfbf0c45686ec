"""The processes of one run: what they agree on, so that none waits for another that is gone.

A launcher (`accelerate launch`, `torchrun`, `mmagent train --processes`) starts them; Accelerate connects
them. They meet in sums of a few numbers, always of the same form, so that whoever fails can come to the
meeting that the others come to next and tell them. All then end with the same error.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn, TypeVar

from mmagent.errors import MMAgentError, UserError

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import nn

    from mmagent.feature_cache import CachedFeatures, FeatureCache
    from mmagent.modality import Encoder, Reader

T = TypeVar("T")

__all__ = [
    "ElsewhereError",
    "LostProcessError",
    "ToldElsewhereError",
    "agreed",
    "demand_accelerate",
    "encode_shared",
    "is_started",
    "joined",
    "launched",
    "least",
    "leave",
    "meet",
    "new_accelerator",
    "own_device",
    "sum_gradients",
]

PLACES = 4  # numbers of a meeting: whether this process failed, and three for whoever calls it
LOST = 75  # exit code of a process that ends because another one did
PATIENCE = timedelta(hours=2)  # for a process that is slower than the others, as when it encodes its part


class ElsewhereError(MMAgentError):
    """Another process of the run failed; `str(error)` is what it said."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class ToldElsewhereError(ElsewhereError):
    """The run failed, and the first process says why; this one need not."""


class LostProcessError(MMAgentError):
    """Another process of the run is gone without a word."""

    exit_code = LOST


def launched() -> int:
    """How many processes a launcher started for this run; 1 where there is no launcher."""
    return int(os.environ.get("WORLD_SIZE") or 1) if os.environ.get("RANK") else 1


def leave(code: int) -> NoReturn:
    """End this process with the exit code `code`; one of several ends at once, its words flushed.

    What connects several processes has threads of its own. One that is still at work when Python takes
    itself down is unwound through code that forbids it, which aborts the process after all is said and saved.
    """
    if launched() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def is_started(processes: int) -> bool:
    """Whether so many processes run already, a single one included. Raises `UserError` for another number."""
    there = launched()
    if there != processes and there > 1:
        raise UserError(
            f"a launcher started {there} processes, and --processes asks for {processes}. Leave one out."
        )
    return there == processes


def own_device(device: str | None) -> str | None:
    """The device of this process: its own card where there is one for each, else what was asked for."""
    if launched() == 1:
        return device
    from mmagent.core import choose_device

    kind = choose_device(device).type
    return f"cuda:{os.environ.get('LOCAL_RANK') or 0}" if kind == "cuda" else kind


def demand_accelerate() -> None:
    """Raise `UserError` where Accelerate, which every run trains on, is not installed."""
    try:
        import accelerate
    except ImportError as error:
        raise UserError(
            "training needs accelerate, which is not installed. "
            "Install it with: pip install 'mmagent[train]'."
        ) from error
    assert accelerate


def new_accelerator(device_type: str) -> Accelerator:
    """What connects the processes of this run: gloo on CPUs, nccl on CUDA cards.

    Raises `UserError` as `demand_accelerate` does.
    """
    demand_accelerate()
    from accelerate import Accelerator, InitProcessGroupKwargs

    return Accelerator(cpu=device_type == "cpu", kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)])


@contextlib.contextmanager
def joined(device: str | None, *, sharded: bool = False) -> Iterator[Accelerator | None]:
    """Take part in the run that a launcher started; None where this process is alone.

    All processes but the first are silent meanwhile. What goes wrong in one ends all of them. With a core
    that is sharded they may be anywhere in a pass, so they are not met with: a broken connection ends them.

    Raises `UserError` where there are fewer CUDA cards than processes on this machine.
    """
    if launched() == 1:
        yield None
        return
    from mmagent.core import choose_device

    kind = choose_device(device).type
    if kind == "cuda":
        _demand_cards()
    accelerator = new_accelerator(kind)
    import torch.distributed

    try:
        with contextlib.ExitStack() as quiet:
            if not accelerator.is_main_process:
                nowhere = quiet.enter_context(open(os.devnull, "w", encoding="utf-8"))
                quiet.enter_context(contextlib.redirect_stdout(nowhere))
                quiet.enter_context(contextlib.redirect_stderr(nowhere))
            with _connected("gloo", "nccl") if sharded else agreed(accelerator):
                yield accelerator
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


@contextlib.contextmanager
def agreed(accelerator: Accelerator | None) -> Iterator[None]:
    """What goes wrong inside, in whichever process, is raised in all, at their next `meet`."""
    try:
        yield
    except (ElsewhereError, LostProcessError):
        raise
    except Exception as error:
        if accelerator is None or accelerator.num_processes == 1:
            raise
        _tell(accelerator, error)


def meet(accelerator: Accelerator | None, *values: float) -> list[float]:
    """The sums of up to three numbers over all processes; all wait for each other here.

    Raises `ElsewhereError` where a process failed, `LostProcessError` where one is gone.
    """
    if accelerator is None or accelerator.num_processes == 1:
        return list(values)
    failed, *sums = _sums(accelerator, 0.0, values)
    if failed:
        _raise_first(accelerator, None)
    return sums[: len(values)]


def least(accelerator: Accelerator | None, value: int) -> int:
    """The least of a number over all processes."""
    if accelerator is None or accelerator.num_processes == 1:
        return value
    meet(accelerator)
    with _connected():
        return min(_gathered(accelerator, value))


def sum_gradients(parameters: Iterable[nn.Parameter], accelerator: Accelerator) -> None:
    """Sum the gradients of all processes in each of them, in one message.

    A parameter that has no gradient in some processes counts as zero there; in none, it has none afterwards.
    """
    if accelerator.num_processes == 1:
        return
    import torch

    own = list(parameters)
    there = torch.tensor([float(p.grad is not None) for p in own], device=accelerator.device)
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in own]
    flat = torch.cat([there, *(grad.flatten().float() for grad in grads)])
    with _connected():
        summed = accelerator.reduce(flat, reduction="sum")
    at = len(own)
    for number, (parameter, grad) in enumerate(zip(own, grads, strict=True)):
        part = summed[at : at + grad.numel()].view_as(grad).to(grad.dtype)
        parameter.grad = part if summed[number] > 0 else None
        at += grad.numel()


def encode_shared(
    reader: Reader,
    encoder: Encoder,
    sources: Sequence[object],
    cache: FeatureCache,
    *,
    accelerator: Accelerator | None = None,
    progress: Callable[[int, int], None] | None = None,
    again: Callable[[], Encoder] | None = None,
) -> CachedFeatures:
    """As `encode_cached`; each process encodes its part first, so that all find everything in the cache."""
    from mmagent.feature_cache import encode_cached

    if accelerator is not None and accelerator.num_processes > 1:
        part = sources[accelerator.process_index :: accelerator.num_processes]
        encode_cached(reader, encoder, part, cache, progress=progress)
        meet(accelerator)
    return encode_cached(reader, encoder, sources, cache, progress=progress, again=again)


def _sums(accelerator: Accelerator, failed: float, values: Sequence[float]) -> list[float]:
    """Sums over all processes: of failures, and of the values."""
    import torch

    filled = [failed, *values, *[0.0] * (PLACES - 1 - len(values))]
    given = torch.tensor(filled, dtype=torch.float64, device=accelerator.device)
    with _connected():
        return [float(one) for one in accelerator.reduce(given, reduction="sum").tolist()]


def _tell(accelerator: Accelerator, error: Exception) -> NoReturn:
    """Come to the next meeting with an error, and raise what all raise."""
    try:
        _sums(accelerator, 1.0, ())
        _raise_first(accelerator, error)
    except LostProcessError:
        raise error from None


def _raise_first(accelerator: Accelerator, error: Exception | None) -> NoReturn:
    """Raise the error of the first process that has one: told by the main process, silent in the others."""
    own = None
    if error is not None:
        text = str(error) if isinstance(error, MMAgentError) else f"{type(error).__name__}: {error}"
        own = text, getattr(error, "exit_code", 1)
    with _connected():
        found = _gathered(accelerator, own)
    number, (text, code) = next((at, one) for at, one in enumerate(found) if one is not None)
    if not accelerator.is_main_process:
        raise ToldElsewhereError(text, code) from error
    if error is not None:
        raise error
    raise ElsewhereError(f"process {number + 1} of {accelerator.num_processes}: {text}", code)


def _gathered(accelerator: Accelerator, value: T) -> list[T]:
    """A small object of each process, in all of them."""
    from accelerate.utils import gather_object

    found: list[T] = gather_object([value])
    return found


@contextlib.contextmanager
def _connected(*said: str) -> Iterator[None]:
    """Tell a broken connection from other errors: any RuntimeError, or one that says one of these words."""
    try:
        yield
    except RuntimeError as error:
        if said and not any(word in str(error).lower() for word in said):
            raise
        raise LostProcessError(
            "another process of this run is gone, so this one ends too. Go on with the same command and "
            "--resume."
        ) from error


def _demand_cards() -> None:
    import torch

    wanted = int(os.environ.get("LOCAL_WORLD_SIZE") or launched())
    there = torch.cuda.device_count()
    if wanted > there:
        raise UserError(
            f"{wanted} processes need {wanted} CUDA cards, one each, and there are {there}. Start fewer, or "
            "take --device cpu."
        )
