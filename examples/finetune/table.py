"""What fine-tuning reaches on small labelled sets: one command, three seeds, controls and baselines beside.

    python examples/finetune/table.py --data DATA --models MODELS --out finetune.json

Every cell is a run of `mmagent train` and of `mmagent eval` on pictures that were in no training row. What is
trained on, and with which seed, is in the table; nothing was chosen by the rows it is tested on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sets import caltech, easy_vqa

SEEDS = (0, 1, 2)
CLASSES, SHOTS, QUESTIONS = 20, 16, 500


@dataclass(frozen=True)
class Cell:
    """One run: a row of the table, its seed, exact match by system, and the seconds of `mmagent train`."""

    row: str
    seed: int
    n_test: int
    scores: dict[str, float]
    seconds: float
    family: str


def main() -> None:
    """Run what is missing in --out, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    parser.add_argument("--models", type=Path, required=True, help="the folder of the encoders")
    parser.add_argument("--out", type=Path, required=True, help="where the cells are kept; those there stay")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--only", help="rows whose name holds this")
    parser.add_argument("--train", nargs=argparse.REMAINDER, default=[], help="more options of mmagent train")
    given = parser.parse_args()
    cells = [Cell(**one) for one in json.loads(given.out.read_text())] if given.out.exists() else []
    for name, seed, make, options in _jobs(given):
        if (given.only and given.only not in name) or any((c.row, c.seed) == (name, seed) for c in cells):
            continue
        with tempfile.TemporaryDirectory() as folder:
            cells.append(_cell(name, seed, make(Path(folder)), [*options, *given.train], Path(folder)))
        print(cells[-1], file=sys.stderr, flush=True)
        staged = given.out.with_suffix(".new")
        staged.write_text(json.dumps([asdict(one) for one in cells], indent=1))
        staged.replace(given.out)
    print("\n".join(_table(cells)))


def _jobs(given: argparse.Namespace) -> Iterator[tuple[str, int, Any, list[str]]]:
    mobile = str(given.models / "mobilenet_v2_1.0_224")
    for seed in given.seeds:

        def pictures(folder: Path, seed: int = seed) -> Path:
            return caltech(given.data, folder, classes=CLASSES, shots=SHOTS, seed=seed)

        def questions(folder: Path, seed: int = seed) -> Path:
            return easy_vqa(given.data, folder, questions=QUESTIONS, seed=seed)

        kind = f"Caltech-101, {CLASSES} classes of {SHOTS}"
        yield f"{kind}, MobileNetV2", seed, pictures, ["--encoder", mobile]
        yield f"{kind}, embedded encoder", seed, pictures, []
        yield f"easy-VQA, {QUESTIONS} questions", seed, questions, []


def _cell(name: str, seed: int, data: Path, options: Sequence[str], folder: Path) -> Cell:
    bundle, report = folder / "bundle", folder / "report"
    begun = time.perf_counter()
    _run(["train", "--data", data, "--out", bundle, "--seed", seed, *options])
    seconds = time.perf_counter() - begun
    _run(["eval", "--data", data, "--bundle", bundle, "--split", "test", "--out", report])
    found = json.loads((report / "report.json").read_text())
    scores = {
        one["name"]: one["scores"][found["judge"]]["value"] for one in found["systems"] if not one["shots"]
    }
    manifest = json.loads((bundle / "bundle.json").read_text())
    family = manifest["senses"]["image"]["adapter"]["family"]
    return Cell(name, seed, found["n"], scores, round(seconds, 1), family)


def _run(arguments: Sequence[object]) -> None:
    command = [sys.executable, "-m", "mmagent_cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")


def _table(cells: Sequence[Cell]) -> list[str]:
    """Markdown: a line for each row of the table, every seed and their mean."""
    systems = list(dict.fromkeys(name for cell in cells for name in cell.scores))
    lines = [
        f"| set | family | {' | '.join(systems)} | seconds to train |",
        f"|---|---|{'---|' * (len(systems) + 1)}",
    ]
    for row in dict.fromkeys(cell.row for cell in cells):
        own = sorted((cell for cell in cells if cell.row == row), key=lambda cell: cell.seed)
        said = [_seeds([cell.scores.get(name) for cell in own]) for name in systems]
        seconds = ", ".join(f"{cell.seconds:.0f}" for cell in own)
        families = ", ".join(dict.fromkeys(cell.family for cell in own))
        lines.append(f"| {row} | {families} | {' | '.join(said)} | {seconds} |")
    return lines


def _seeds(values: Sequence[float | None]) -> str:
    there = [100 * value for value in values if value is not None]
    if not there:
        return ""
    return f"{np.mean(there):.1f} ({', '.join(f'{value:.1f}' for value in there)})"


if __name__ == "__main__":
    main()
