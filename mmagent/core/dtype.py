"""Where the core runs and in which numbers: what the device does fast, not what the checkpoint is stored in.

A bf16 checkpoint loaded as stored can be a hundred times too slow on a CPU without bf16 units (1 against 120
GFLOP/s), and the same dtype four times faster than fp32 on a CPU that has them. So products are timed for
some milliseconds, once per process, device and width: first one product, which tells whether there are such
units at all, then what a core of this width does, which is to read a short prompt and to write an answer
token by token. In a narrow core the second part decides: products of one row wait for memory and not for
units, and bf16 gains nothing.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import torch

from mmagent.errors import UserError, did_you_mean

__all__ = ["Probe", "choose_device", "choose_dtype", "probe_matmul"]

Probe = Callable[[torch.device, torch.dtype], float]
"""(device, dtype) -> seconds per product; infinity where the device cannot multiply in that dtype."""

WORTH = 1.3
"""A smaller dtype is taken from this speed-up on. Below it fp32 is kept: it is more exact, and a choice that
rests on a small difference would change from run to run with the machine's load."""

_DTYPES = {
    "float32": torch.float32,
    "fp32": torch.float32,
    "bfloat16": torch.bfloat16,
    "bf16": torch.bfloat16,
    "float16": torch.float16,
    "fp16": torch.float16,
}
_ROWS, _WIDTH = 64, 256  # 8.4 MFLOP: 0.04 ms at 200 GFLOP/s and still only 8 ms at 1 GFLOP/s
_PROMPT, _ANSWER = 32, 8  # tokens read at once, and one by one
_WIDEST = 1024  # on a CPU; wider cores wait for memory as this one does


def choose_device(requested: str | torch.device | None = None) -> torch.device:
    """Return the requested device, or the best there is: cuda, then mps, then cpu.

    Raises UserError for a device that is unknown or not on this machine.
    """
    present = _devices()
    if requested is None or requested == "auto":
        return torch.device("cuda" if "cuda:0" in present else "mps" if "mps" in present else "cpu")
    name = str(requested)
    if name == "cuda" and "cuda:0" in present:
        return torch.device("cuda")
    if name in present:
        return torch.device(name)
    there = ", ".join(present)
    raise UserError(
        f"no device called {name!r} on this machine. There are: {there}.{did_you_mean(name, present)}"
    )


def choose_dtype(
    device: torch.device,
    requested: str | torch.dtype | None = None,
    probe: Probe | None = None,
    width: int = _WIDTH,
) -> tuple[torch.dtype, str]:
    """Return the dtype to compute in and one line that says why.

    Unless one is requested: fp32 against bf16 (fp16 on CUDA cards older than Ampere, which have no bf16
    units), whichever is faster on this device in a core of that hidden size. fp16 is never used on a CPU.
    `probe` stands for both measurements.

    Raises UserError for an unknown dtype, and for fp16 on a CPU.
    """
    if requested is not None and requested != "auto":
        return _requested(device, requested), "requested"
    small = _small_dtype(device)
    if device.type == "cpu":
        ratio = _ratio(device, small, probe or probe_matmul)
        if ratio < WORTH:
            return torch.float32, _told(small, ratio, f"in products on {device}")
    ratio = _ratio(device, small, probe or functools.partial(probe_core, width=width))
    return (small if ratio >= WORTH else torch.float32), _told(small, ratio, f"at width {width} on {device}")


def probe_matmul(device: torch.device, dtype: torch.dtype) -> float:
    """Seconds for one (64, 256) x (256, 256) product: the best of a few runs, measured once per process."""
    return _timed(str(device), dtype, None)


def probe_core(device: torch.device, dtype: torch.dtype, width: int) -> float:
    """Seconds that a layer of this hidden size multiplies for 32 tokens at once and then 8 one by one.

    The layer is the two matrices of an MLP four times as wide. Measured once per process.
    """
    wide = min(width, _WIDEST) if device.type == "cpu" else width
    return _timed(str(device), dtype, wide)


def _ratio(device: torch.device, small: torch.dtype, probe: Probe) -> float:
    full_s, small_s = probe(device, torch.float32), probe(device, small)
    return full_s / small_s if small_s > 0 else 0.0


def _told(small: torch.dtype, ratio: float, where: str) -> str:
    said = f"{_name(small)} is {ratio:.2g} times as fast as float32 {where}"
    return f"probe: {said}; taken from {WORTH} times on"


@functools.cache
def _timed(device: str, dtype: torch.dtype, width: int | None) -> float:
    """The best of a few runs of one product, or of a layer of this width."""
    threads = torch.get_num_threads()
    # On a busy machine, threads that wait for each other time the load, not the units.
    torch.set_num_threads(1)
    try:
        make = functools.partial(torch.ones, device=device, dtype=dtype)
        work = _product(make) if width is None else _layer(make, width)
        _once(work)  # the first run pays for kernels and caches
        first = _once(work)
        return min([first, *(_once(work) for _ in range(1 if first > 2e-3 else 6))])
    except (RuntimeError, TypeError):
        return float("inf")
    finally:
        torch.set_num_threads(threads)


Work = Callable[[], torch.Tensor]


def _product(make: Callable[..., torch.Tensor]) -> Work:
    left, right = make(_ROWS, _WIDTH), make(_WIDTH, _WIDTH)
    return lambda: left @ right


def _layer(make: Callable[..., torch.Tensor], width: int) -> Work:
    rows, up, down = make(_PROMPT, width), make(width, 4 * width), make(4 * width, width)

    def run() -> torch.Tensor:
        out = (rows @ up) @ down
        for _ in range(_ANSWER):
            out = (rows[:1] @ up) @ down
        return out

    return run


def _once(work: Work) -> float:
    start = time.perf_counter()
    float(work()[0, 0])  # reading a value waits for the device
    return time.perf_counter() - start


def _small_dtype(device: torch.device) -> torch.dtype:
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 0):
        return torch.float16
    return torch.bfloat16


def _requested(device: torch.device, requested: str | torch.dtype) -> torch.dtype:
    if isinstance(requested, torch.dtype):
        dtype = requested
    else:
        name = str(requested).removeprefix("torch.")
        if name not in _DTYPES:
            there = "auto, float32, bfloat16, float16"
            raise UserError(
                f"no dtype called {requested!r}. There are: {there}.{did_you_mean(name, _DTYPES)}"
            )
        dtype = _DTYPES[name]
    if dtype not in _DTYPES.values():
        raise UserError(f"a core does not compute in {_name(dtype)}: take float32, bfloat16 or float16.")
    if dtype is torch.float16 and device.type == "cpu":
        raise UserError("float16 is not computed on a CPU: take bfloat16, float32 or auto.")
    return dtype


def _devices() -> list[str]:
    cuda = (
        [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    )
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [*cuda, *mps, "cpu"]


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
