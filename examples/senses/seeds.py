"""A labelled set trained and evaluated through the commands, seed by seed, and told as a table."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

FEW = ("--epochs", "3", "--validations", "3")  # the probe is fitted at once; only its words are trained
STEPS, MOST_EPOCHS = 60, 30  # that words want where rows are few; epochs as `mmagent train` has them
BATCH, LEARNED = 32, 0.8  # rows of a step, and the share that is not kept to judge by, of `mmagent train`
CONTROLS = ("--controls", "blind,shuffled", "--baselines", "majority,nearest,logistic")

__all__ = ["Scores", "command", "enough", "measured", "over", "table"]

Scores = Mapping[str, float]


def measured(data: Path, work: Path, seed: int, options: Sequence[str] = ()) -> dict[str, float]:
    """`mmagent train` on the splits train and validation, `mmagent eval` on the split test.

    Returns exact match by system: the bundle, its controls, the baselines on the same features.
    """
    bundle, report = work / f"bundle-{seed}", work / f"report-{seed}"
    command(["train", "--data", data, "--out", bundle, "--seed", seed, *FEW, *options])
    asked = ["--data", data, "--bundle", bundle, "--split", "test", "--seed", seed, *CONTROLS]
    command(["eval", *asked, "--out", report])
    found = json.loads((report / "report.json").read_text())
    return {
        one["name"]: one["scores"][found["judge"]]["value"] for one in found["systems"] if not one["shots"]
    }


def enough(n_rows: int) -> list[str]:
    """Options of `mmagent train` by which words see some dozens of steps, however few rows there are."""
    steps = -(-round(LEARNED * n_rows) // BATCH)  # of an epoch
    return ["--epochs", str(min(max(3, -(-STEPS // steps)), MOST_EPOCHS))]


def table(rows: Mapping[str, Sequence[Scores]]) -> list[str]:
    """Markdown: a line for each row, the mean over its seeds and every seed, in percent."""
    systems = list(dict.fromkeys(name for runs in rows.values() for run in runs for name in run))
    lines = [f"| set | {' | '.join(systems)} |", f"|---|{'---|' * len(systems)}"]
    for row, runs in rows.items():
        lines.append(f"| {row} | {' | '.join(_seeds([run.get(name) for run in runs]) for name in systems)} |")
    return lines


def over(seeds: Sequence[int], run: Callable[[int], Scores]) -> list[Scores]:
    """What `run` finds for each seed, told on stderr as it comes."""
    found = []
    for seed in seeds:
        found.append(run(seed))
        print(f"seed {seed}: {found[-1]}", file=sys.stderr, flush=True)
    return found


def command(arguments: Sequence[object]) -> None:
    """Run `mmagent` with these arguments; where it fails, end with what it said."""
    words = [sys.executable, "-m", "mmagent_cli", *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}\n{done.stderr}")


def _seeds(values: Sequence[float | None]) -> str:
    there = [100 * value for value in values if value is not None]
    return f"{np.mean(there):.1f} ({', '.join(f'{value:.1f}' for value in there)})" if there else ""
