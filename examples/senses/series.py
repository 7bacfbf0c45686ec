"""What the series sense reaches on labelled series: every set, three seeds, controls and baselines beside.

    python examples/senses/series.py --data DATA

DATA holds timeseries/*.parquet (BasicMotions, GunPoint, OSULeaf, PLAID of the UEA and UCR archives) and
robot_failures/*.parquet (force and torque after a robot's failure), with a column `split`. A set is written
as csv files with a table of labels, as a user has it, and goes through `mmagent train` and `mmagent eval`.
Beside the bundle and its controls stand nearest mean, logistic regression and gradient boosting on simple
features: mean, deviation, least, largest and slope of each channel.

Where a test part has a dozen rows, one row decides; --folds 5 takes all rows of a set together, deals them to
five folds by every seed, and trains and tests five times, so that each row is asked about once, unseen.
Copies are left out.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from seeds import Scores, enough, measured, over, table

from mmagent.evaluation.baselines import logistic_regression, nearest_mean

SETS = {
    "BasicMotions": "timeseries/BasicMotions.parquet",
    "GunPoint": "timeseries/GunPoint.parquet",
    "failures in approach to grasp": "robot_failures/lp1.parquet",
    "failures in transfer of a part": "robot_failures/lp2.parquet",
    "position of part after a failure": "robot_failures/lp3.parquet",
    "OSULeaf": "timeseries/OSULeaf.parquet",
    "PLAID": "timeseries/PLAID.parquet",
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2))
    parser.add_argument("--only", default="", help="sets whose name holds this")
    parser.add_argument("--folds", type=int, help="test every row once, in so many folds, splits put aside")
    parser.add_argument("--train", nargs=argparse.REMAINDER, default=[], help="more options of mmagent train")
    given = parser.parse_args()
    found = {}
    for name in (name for name in SETS if given.only in name):
        rows = labelled(given.data / SETS[name])

        def run(seed: int, rows: list[dict[str, Any]] = rows) -> Scores:
            parts = [rows] if given.folds is None else list(dealt(rows, given.folds, seed))
            return mean([scores(part, seed, given.train) for part in parts], [tested(part) for part in parts])

        found[name] = over(given.seeds, run)
    print("\n".join(table(found)))


def scores(rows: list[dict[str, Any]], seed: int, options: Sequence[str]) -> Scores:
    """Exact match on the rows of the split test: of the bundle, its controls, and what is simpler."""
    with tempfile.TemporaryDirectory() as folder:
        data = written(rows, Path(folder) / "set")
        learned = len(rows) - tested(rows)
        found = measured(data, Path(folder), seed, [*enough(learned), *options])
        return {**found, **simple(rows, seed)}


def dealt(rows: Sequence[Mapping[str, Any]], count: int, seed: int) -> Iterator[list[dict[str, Any]]]:
    """The rows so many times, another part of them for the test each time, every answer spread evenly.

    Of copies the first one stays.
    """
    from mmagent.evaluation.baselines import folds

    rows = list({json.dumps(row["values"]): row for row in reversed(rows)}.values())[::-1]
    y = np.unique([row["label"] for row in rows], return_inverse=True)[1]
    fold = folds(y, count, seed)
    for out in range(count):
        yield [{**row, "split": "test" if of == out else "train"} for row, of in zip(rows, fold, strict=True)]


def tested(rows: Sequence[Mapping[str, Any]]) -> int:
    """How many rows the test has."""
    return sum(row["split"] == "test" for row in rows)


def mean(found: Sequence[Scores], weights: Sequence[int]) -> Scores:
    """The scores of several parts as one, by the rows of each."""
    return {
        name: sum(one[name] * n for one, n in zip(found, weights, strict=True)) / sum(weights)
        for name in found[0]
    }


def labelled(place: Path) -> list[dict[str, Any]]:
    """Rows with values (T, C), channels, label and split."""
    import pyarrow.parquet as parquet

    rows: list[dict[str, Any]] = parquet.read_table(place).to_pylist()
    return rows


def written(rows: Sequence[Mapping[str, Any]], folder: Path) -> Path:
    """A labelled set as a user has it: a csv file for each series, and a table of labels beside them."""
    folder.mkdir()
    lines = []
    for at, row in enumerate(rows):
        name = f"{at:04}.csv"
        samples = [",".join(map(repr, sample)) for sample in row["values"]]
        (folder / name).write_text("\n".join([",".join(row["channels"]), *samples, ""]))
        lines.append({"series": name, "label": row["label"], "split": row["split"]})
    (folder / "labels.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def simple(rows: Sequence[Mapping[str, Any]], seed: int) -> dict[str, float]:
    """Exact match of three baselines on simple features."""
    from sklearn.ensemble import GradientBoostingClassifier

    features = np.array([_features(np.array(row["values"], dtype=np.float64)) for row in rows])
    train = np.array([row["split"] == "train" for row in rows])
    labels = np.array([row["label"] for row in rows])
    known, answers, new, wanted = features[train], labels[train], features[~train], labels[~train]
    boosted = GradientBoostingClassifier(random_state=seed).fit(known, answers).predict(new)
    said = {
        "nearest mean, simple": nearest_mean(known, answers.tolist(), new).answers,
        "logistic regression, simple": logistic_regression(known, answers.tolist(), new, seed=seed).answers,
        "gradient boosting, simple": boosted,
    }
    return {name: float((np.asarray(one) == wanted).mean()) for name, one in said.items()}


def _features(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(5 C,) mean, deviation, least, largest and slope of each channel of (T, C)."""
    time = np.linspace(-0.5, 0.5, len(values))
    slope = time @ values / (time @ time)
    told = [values.mean(axis=0), values.std(axis=0), values.min(axis=0), values.max(axis=0), slope]
    return np.concatenate(told)


if __name__ == "__main__":
    main()
