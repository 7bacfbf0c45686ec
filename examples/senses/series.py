"""What the series sense reaches on labelled series: every set, three seeds, controls and baselines beside.

    python examples/senses/series.py --data DATA

DATA holds timeseries/*.parquet (BasicMotions, GunPoint, OSULeaf, PLAID of the UEA and UCR archives) and
robot_failures/*.parquet (force and torque after a robot's failure), with a column `split`. A set is written
as csv files with a table of labels, as a user has it, and goes through `mmagent train` and `mmagent eval`.
Beside the bundle and its controls stand nearest mean, logistic regression and gradient boosting on simple
features: mean, deviation, least, largest and slope of each channel.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from seeds import enough, measured, over, table

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
    parser.add_argument("--train", nargs=argparse.REMAINDER, default=[], help="more options of mmagent train")
    given = parser.parse_args()
    found = {}
    for name in (name for name in SETS if given.only in name):
        rows = labelled(given.data / SETS[name])
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            data = written(rows, work / "set")

            def run(
                seed: int, rows: list[dict[str, Any]] = rows, data: Path = data, work: Path = work
            ) -> Mapping[str, float]:
                learned = sum(row["split"] == "train" for row in rows)
                return {**measured(data, work, seed, [*enough(learned), *given.train]), **simple(rows, seed)}

            found[name] = over(given.seeds, run)
    print("\n".join(table(found)))


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
