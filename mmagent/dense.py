"""Dense layers of frozen networks on a CPU, by the faster of two libraries that torch has for them.

torch multiplies float32 matrices through MKL, which on processors of other makers than its own leaves their
widest vectors unused; convolutions and smaller dtypes go through oneDNN, which does not. Where many rows are
read or learned from at once, products are about twice as fast there on such a machine, and equal up to
rounding; the bits of a row do not hang on the rows beside it. Which one is faster is timed for some
milliseconds, once per process; MKL is left only where the gain is beyond doubt, so that the same machine
always multiplies in the same way.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers.pytorch_utils import Conv1D

__all__ = ["Dense", "DenseTurned", "as_torch_does", "linear", "onednn_gain", "products", "quicken"]

BLOCKS, FEWEST = (256, 64), 32
"""Rows that oneDNN is given at once. It writes a program for every number of rows that it meets, and keeps
half a megabyte for it; so these are all that it meets, unless a number comes again and again. Products of
less than the fewest rows are MKL's."""

OFTEN, MOST = 64, 48
"""A product that has come so often is made at once from then on, while there are not so many kinds of them: a
kind is a number of rows with a shape of weights. Training is made of a handful, and steps take four fifths of
the time so."""

WORTH = 1.5
"""oneDNN is asked from this speed-up on. It is about 2 where MKL is not made for the processor, and about 1
where it is."""

_IN, _OUT, _RUNS = 256, 512, 6  # 67 MFLOP a run: a quarter to two thirds of a millisecond


class Dense(nn.Linear):
    """An `nn.Linear` whose products are made by `linear` while it is frozen."""

    def forward(self, input: Tensor) -> Tensor:
        """(..., d_in) to (..., d_out)."""
        if self.weight.requires_grad or torch.is_autocast_enabled(input.device.type):
            return super().forward(input)
        return linear(input, self.weight, self.bias)


class DenseTurned(Conv1D):
    """The same for GPT-2's dense layers, whose weight is (d_in, d_out)."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., d_in) to (..., d_out)."""
        if self.weight.requires_grad or torch.is_autocast_enabled(x.device.type):
            plain: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
            return plain
        return linear(x, self.weight.t(), self.bias)


def quicken(model: nn.Module) -> None:
    """Have the dense layers of a frozen model multiply as is fastest here. Tensors and names stay the same.

    Layers that are more than an `nn.Linear` or a `Conv1D`, such as quantised ones, stay what they are.
    """
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = Dense
        elif type(module) is Conv1D:
            module.__class__ = DenseTurned
    if any(one.device.type == "cpu" for one in model.parameters()):
        onednn_gain()  # before any thread asks


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x @ weight.T + bias: (..., n), (m, n) and (m,) to (..., m). A gradient goes to x alone."""
    if not _is_for_onednn(x, weight):
        return F.linear(x, weight, bias)
    if torch.is_grad_enabled() and x.requires_grad:
        made: Tensor = _Product.apply(x, weight, bias)  # type: ignore[no-untyped-call]
        return made
    return _multiplied(x, weight, bias)


class _Product(torch.autograd.Function):
    """The product with a gradient for x: that of the outcome, times weight."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight)
        return _multiplied(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (weight,) = ctx.saved_tensors
        return _multiplied(grad.contiguous(), weight.t(), None), None, None


def _multiplied(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """At once what comes often, else in blocks: the same bits, which is looked at before."""
    rows = x.reshape(-1, x.shape[-1])
    kind = len(rows), *weight.shape, weight.is_contiguous(), bias is not None
    if not rows.is_contiguous():
        made = _in_blocks(rows, weight, bias)
    elif kind in _at_once or len(rows) in BLOCKS:
        made = _onednn(rows, weight, bias)
    else:
        made = _in_blocks(rows, weight, bias)
        if len(_at_once) < MOST:
            _times[kind] = times = _times.get(kind, 0) + 1
            if times == OFTEN and torch.equal(_onednn(rows, weight, bias), made):
                _at_once.add(kind)
    return made.view(*x.shape[:-1], -1)


Kind = tuple[int | bool, ...]
_at_once: set[Kind] = set()
_times: dict[Kind, int] = {}  # how often each of the others came


def _in_blocks(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(N, n) to (N, m), block by block; the last one is filled up with zeros."""
    made, blocks = rows.new_empty(len(rows), len(weight)), _blocks(len(rows))
    for part, place in zip(torch.split(rows, blocks), torch.split(made, blocks), strict=True):
        if len(part) not in BLOCKS:
            part = F.pad(part, (0, 0, 0, BLOCKS[-1] - len(part)))
        place.copy_(_onednn(part, weight, bias)[: len(place)])
    return made


@functools.lru_cache(maxsize=1024)
def _blocks(rows: int) -> list[int]:
    """How many of them go at once: as many as can, then fewer, and last those that fill no block."""
    made = []
    for block in BLOCKS:
        whole, rows = divmod(rows, block)
        made += whole * [block]
    return [*made, rows] if rows else made


@contextmanager
def as_torch_does() -> Iterator[None]:
    """Within this block, in all threads, products are made as torch makes them: what to compare with."""
    _asked.append(None)
    try:
        yield
    finally:
        _asked.pop()


_asked: list[None] = []  # one for each block of `as_torch_does` that is open


@functools.cache
def onednn_gain() -> float:
    """How many times as fast oneDNN multiplies (256, 256) by (256, 512) in float32; 0 where it cannot.

    The best of some runs in turns, in one thread, so that a busy machine delays both alike.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            x, weight = torch.ones(BLOCKS[0], _IN), torch.ones(_OUT, _IN)
            if not bool((_onednn(x, weight, None) == _IN).all()):
                return 0.0
            runs = [(_seconds(F.linear, x, weight), _seconds(_onednn, x, weight)) for _ in range(_RUNS)]
        theirs, ours = zip(*runs, strict=True)
        return float(min(theirs) / max(min(ours), 1e-9))
    except (AttributeError, RuntimeError, TypeError):  # a torch without oneDNN, or with another way to it
        return 0.0
    finally:
        torch.set_num_threads(threads)


def products() -> str:
    """Which library multiplies on a CPU, and why, in one line."""
    gain = onednn_gain()
    taken = "oneDNN" if gain >= WORTH else "torch's own"
    told = f"oneDNN is {gain:.2g} times as fast; taken from {WORTH} times on"
    return f"products of {FEWEST} rows and more on a CPU: {taken}; {told}"


def _is_for_onednn(x: Tensor, weight: Tensor) -> bool:
    return (
        x.dtype is weight.dtype is torch.float32
        and x.device.type == weight.device.type == "cpu"
        and x.numel() >= FEWEST * x.shape[-1]
        and not _asked
        and onednn_gain() >= WORTH
    )


def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The product as torch's compiler has it made; this operator knows no gradient."""
    product: Callable[..., Tensor] = torch.ops.mkldnn._linear_pointwise
    return product(x, weight, bias, "none", [], "")


def _seconds(product: Callable[..., Tensor], x: Tensor, weight: Tensor) -> float:
    start = time.perf_counter()
    product(x, weight, None)
    return time.perf_counter() - start
