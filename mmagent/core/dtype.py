"""Where the core runs and in which numbers: what the device does fast, not what the checkpoint is stored in.

A bf16 checkpoint loaded as stored can be a hundred times too slow on a CPU without bf16 units (1 against 120
GFLOP/s), and the same dtype four times faster than fp32 on a CPU that has them. So products are timed for a
few milliseconds, once per process and device.
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

WORTH = 2.5
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
) -> tuple[torch.dtype, str]:
    """Return the dtype to compute in and one line that says why.

    Unless one is requested: fp32 against bf16 (fp16 on CUDA cards older than Ampere, which have no bf16
    units), whichever the probe finds faster on this device. fp16 is never used on a CPU.

    Raises UserError for an unknown dtype, and for fp16 on a CPU.
    """
    if requested is not None and requested != "auto":
        return _requested(device, requested), "requested"
    small = _small_dtype(device)
    timing = probe or probe_matmul
    full_s, small_s = timing(device, torch.float32), timing(device, small)
    ratio = full_s / small_s if small_s > 0 else 0.0
    dtype = small if ratio >= WORTH else torch.float32
    verdict = f"{_name(small)} is {ratio:.2g} times as fast as float32 on {device}"
    return dtype, f"probe: {verdict}; taken from {WORTH} times on"


def probe_matmul(device: torch.device, dtype: torch.dtype) -> float:
    """Seconds for one (64, 256) x (256, 256) product: the best of a few runs, measured once per process."""
    return _timed(str(device), dtype)


@functools.cache
def _timed(device: str, dtype: torch.dtype) -> float:
    threads = torch.get_num_threads()
    torch.set_num_threads(
        1
    )  # on a busy machine, threads that wait for each other time the load, not the units
    try:
        left = torch.ones(_ROWS, _WIDTH, device=device, dtype=dtype)
        right = torch.ones(_WIDTH, _WIDTH, device=device, dtype=dtype)
        once = functools.partial(_one_product, left, right)
        once()  # the first run pays for kernels and caches
        first = once()
        return min([first, *(once() for _ in range(0 if first > 2e-3 else 6))])
    except (RuntimeError, TypeError):
        return float("inf")
    finally:
        torch.set_num_threads(threads)


def _one_product(left: torch.Tensor, right: torch.Tensor) -> float:
    start = time.perf_counter()
    float((left @ right)[0, 0])  # reading a value waits for the device
    return time.perf_counter() - start


def _small_dtype(device: torch.device) -> torch.dtype:
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 0):
        return torch.float16
    return torch.bfloat16


def _requested(device: torch.device, requested: str | torch.dtype) -> torch.dtype:
    if isinstance(requested, torch.dtype):
        dtype = requested
    else:
        name = requested.removeprefix("torch.")
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
