"""A small run's memory, estimated and measured, as a script: python peak.py CORE SETTINGS-AS-JSON.

Prints the estimate of what it takes beyond what it has, and what it took at its peak, in bytes.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import torch
from learner import D, Memory

from mmagent.core import Core
from mmagent.core.assemble import Row
from mmagent.core.prompt import Soft
from mmagent.training.budget import estimate
from mmagent.training.loop import Task, fine_tune
from mmagent.training.rows import LearnRow
from mmagent.training.settings import TrainSettings
from mmagent_adapters.prefix import build_linear


def status(field: str) -> int:
    """A line of /proc/self/status in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def main() -> None:
    torch.set_num_threads(1)
    core = Core.load(sys.argv[1], device="cpu", dtype="float32")
    settings = TrainSettings(epochs=1, validations=1, patience=0).changed(json.loads(sys.argv[2]))
    soft = Soft(torch.zeros(2, core.d_core), "open")
    rows = [
        LearnRow(Row((soft, tuple(range(5, 90 + at % 9))), "."), (7, 8, 1), (at,), ("x",), "x", ("\n",), "")
        for at in range(130)
    ]
    adapter = build_linear({"n_tokens": 2}, D, core.d_core)
    fine = Task(core, rows[:128], rows[128:], Memory(130), "")
    with tempfile.TemporaryDirectory() as folder:  # what is loaded once is no part of the estimate
        warm = settings.changed({"batch_size": 1, "accumulate": 1})
        fine_tune(Task(core, rows[:1], rows[128:], Memory(130), ""), adapter, warm, Path(folder))
    wanted = estimate(fine, adapter, settings).more
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    with tempfile.TemporaryDirectory() as folder:
        fine_tune(fine, adapter, settings, Path(folder))
    print(json.dumps({"estimated": wanted, "measured": status("VmHWM") - before}))


if __name__ == "__main__":
    main()
