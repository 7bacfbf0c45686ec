"""How much memory there is: on a card what CUDA says, else what the machine and its control groups leave."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mmagent.errors import UserError

if TYPE_CHECKING:
    import torch

__all__ = ["demand_room", "free_bytes", "shown"]

PACKED = {"8bit": 1.0, "4bit": 0.5625}
"""Bytes of a quantised weight, scales included."""


def free_bytes(
    device: torch.device, *, proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """Bytes that this process may still take on a device; None where nobody tells (macOS, Windows).

    On a CPU it is the least of what the machine has available and of what is left below the limit of each
    control group that the process is in, divided among the processes of a run on this machine.
    """
    if device.type == "cuda":
        import torch

        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    if device.type != "cpu":
        return None
    found = [*_of_machine(proc), *_of_groups(proc, groups)]
    return min(found) // int(os.environ.get("LOCAL_WORLD_SIZE") or 1) if found else None


def demand_room(core: str | Path, device: torch.device, dtype: torch.dtype, load_in: str | None) -> None:
    """Raise `UserError` where the weights of a model directory do not fit, before they are read.

    A hub id is passed over: its size is not known here.
    """
    free, folder = free_bytes(device), Path(core)
    if free is None or not folder.is_dir():
        return
    size = sum(_weights_in(file, dtype, load_in) for file in folder.glob("*.safetensors"))
    if size > free:
        raise UserError(
            f"the weights of {folder} take {shown(size)} and {shown(free)} are free. Take --dtype bfloat16, "
            "--load-in 4bit, another --device, or a smaller core."
        )


def shown(n_bytes: float) -> str:
    """A size for people: `340 MB`, `12.5 GB`."""
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"


def _weights_in(file: Path, dtype: torch.dtype, load_in: str | None) -> int:
    """Bytes of a file's tensors once they are loaded; only the file's head is read."""
    with file.open("rb") as stream:
        said = stream.read(int.from_bytes(stream.read(8), "little"))
    try:
        head = json.loads(said)
    except ValueError as error:
        raise UserError(f"the weights in {file} are damaged: fetch them again.") from error
    total = 0.0
    for name, entry in head.items():
        if name != "__metadata__":
            packed = load_in and len(entry["shape"]) == 2 and "embed" not in name
            total += math.prod(entry["shape"]) * (PACKED[load_in] if packed and load_in else dtype.itemsize)
    return int(total)


def _of_machine(proc: Path) -> Iterator[int]:
    try:
        for line in (proc / "meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                yield int(line.split()[1]) * 1024
    except (OSError, ValueError):
        return


def _of_groups(proc: Path, groups: Path) -> Iterator[int]:
    """What is left below each limit; pages of files that can be dropped count as left."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2: one tree, limits at every level
            for folder in _up(groups, path):
                yield from _left(folder, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            for folder in _up(groups / "memory", path):
                names = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
                yield from _left(folder, *names)


def _up(root: Path, path: str) -> Iterator[Path]:
    """The folder of a group and those above it; in a container the root alone may be there."""
    folder = root / path.lstrip("/")
    while True:
        if folder.is_dir():
            yield folder
        if folder == root:
            return
        folder = folder.parent


def _left(folder: Path, limit: str, used: str, droppable: str) -> Iterator[int]:
    try:
        most = int((folder / limit).read_text())
        now = int((folder / used).read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        yield max(0, most - now + int(stat.get(droppable, 0)))
    except (OSError, ValueError):  # no limit ("max"), or no such group
        return
