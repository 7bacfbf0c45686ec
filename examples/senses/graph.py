"""How well a molecule's solubility in water is told from its graph, in three bands: low, middle, high.

    python examples/senses/graph.py --data DATA

DATA holds molecules/esol.parquet (Delaney 2004). The bands are the thirds of the training part. Beside the
bundle and its controls stands logistic regression on counts of atoms and bonds, without any structure.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from seeds import measured, over, table

from mmagent.evaluation.baselines import logistic_regression

QUESTION = "How soluble in water is this molecule?"
BANDS = ("low", "middle", "high")
KEPT = ("atoms", "charges", "hydrogens", "bonds")
COUNTS = "logistic regression on counts of atoms and bonds"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2))
    parser.add_argument("--train", nargs=argparse.REMAINDER, default=[], help="more options of mmagent train")
    given = parser.parse_args()
    rows = molecules(given.data / "molecules" / "esol.parquet")
    with tempfile.TemporaryDirectory() as folder:
        data = written(rows, Path(folder) / "esol")

        def run(seed: int) -> Mapping[str, float]:
            return {**measured(data, Path(folder), seed, given.train), COUNTS: counted(rows, seed)}

        print("\n".join(table({"solubility in three bands": over(given.seeds, run)})))


def molecules(place: Path) -> list[dict[str, Any]]:
    """Rows of the data with their band, by the thirds of the training part."""
    import pyarrow.parquet as parquet

    rows: list[dict[str, Any]] = parquet.read_table(place).to_pylist()
    known = [row["log_solubility"] for row in rows if row["split"] == "train"]
    cuts = np.quantile(known, [1 / 3, 2 / 3])
    return [row | {"band": BANDS[int(np.digitize(row["log_solubility"], cuts))]} for row in rows]


def written(rows: Sequence[Mapping[str, Any]], folder: Path) -> Path:
    """A labelled set as a user has it: a file for each molecule, and a table of labels beside them."""
    folder.mkdir()
    lines = []
    for at, row in enumerate(rows):
        name = f"{at:04}.json"
        (folder / name).write_text(json.dumps({key: row[key] for key in KEPT}))
        lines.append({"graph": name, "question": QUESTION, "answer": row["band"], "split": row["split"]})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def counted(rows: Sequence[Mapping[str, Any]], seed: int) -> float:
    """Exact match of logistic regression on how many atoms and bonds of each kind there are."""
    words = [[*row["atoms"], *(bond["order"] for bond in row["bonds"])] for row in rows]
    known = sorted({word for told in words for word in told})
    counts = np.array([[told.count(word) for word in known] for told in words], dtype=np.float64)
    train = np.array([row["split"] == "train" for row in rows])
    bands = np.array([row["band"] for row in rows])
    made = logistic_regression(counts[train], bands[train].tolist(), counts[~train], seed=seed)
    said = np.array(made.labels)[np.asarray(made.probabilities).argmax(axis=1)]
    return float((said == bands[~train]).mean())


if __name__ == "__main__":
    main()
