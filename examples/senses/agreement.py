"""Whether the core says what its probe says, and is as sure, where labels are few.

    python examples/senses/agreement.py --data DATA

DATA holds timeseries/*.parquet. Some rows of the training part of each set are learned from, and others of it
are asked about; the test part is left alone. The probe that a bundle carries is the logistic regression of
`mmagent eval` on the same features, so any difference between the two is the core's: in exact match, in which
rows they say the same, and in calibration error.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from seeds import FEW, command, enough
from series import SETS, labelled, written

DRAWN = {"OSULeaf": (50, 150), "PLAID": (60, 300), "GunPoint": (20, 30)}
"""Rows to learn from, and rows to ask about."""
LEAST = 3  # rows of a label to learn from; labels with fewer are left out
ADAPTER, PROBE = "the adapter", "logistic regression"


def main() -> None:
    """Print a line for each set and seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2))
    given = parser.parse_args()
    print("| set | seed | right | right, probe | said alike | ECE | ECE, probe |", f"|{'---|' * 7}", sep="\n")
    for name in DRAWN:
        for seed in given.seeds:
            found = ((100 * value) for value in compared(drawn(given.data, name, seed), seed))
            print(f"| {name} | {seed} | {' | '.join(f'{value:.1f}' for value in found)} |", flush=True)


def drawn(data: Path, name: str, seed: int) -> list[dict[str, Any]]:
    """Rows of the training part, in the splits train and test."""
    rows = [row for row in labelled(data / SETS[name]) if row["split"] == "train"]
    random.Random(seed).shuffle(rows)
    learned, asked = DRAWN[name]
    known = Counter(row["label"] for row in rows[:learned])
    split = ["train"] * learned + ["test"] * asked
    return [
        {**row, "split": part} for row, part in zip(rows, split, strict=False) if known[row["label"]] >= LEAST
    ]


def compared(rows: Sequence[dict[str, Any]], seed: int) -> tuple[float, ...]:
    """Exact match of the bundle and of its probe, the share said alike, and the calibration error of both."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        data, bundle, report = written(rows, work / "set"), work / "out", work / "report"
        options = [*FEW, *enough(sum(row["split"] == "train" for row in rows))]
        command(["train", "--data", data, "--out", bundle, "--seed", seed, *options])
        command(["eval", "--data", data, "--bundle", bundle, "--split", "test", "--seed", seed,
              "--baselines", "logistic", "--out", report])  # fmt: skip
        told = json.loads((report / "report.json").read_text())
        lines = (report / "answers.jsonl").read_text().splitlines()
    scores = {one["name"]: one["scores"] for one in told["systems"]}
    answers = [json.loads(line)["answers"] for line in lines]
    right = [scores[name]["exact match"]["value"] for name in (ADAPTER, PROBE)]
    same = float(np.mean([one[ADAPTER]["got"] == one[PROBE]["got"] for one in answers]))
    return *right, same, *(scores[name]["ECE"]["value"] for name in (ADAPTER, PROBE))


if __name__ == "__main__":
    main()
