"""On real series: what a linear model reads out of the builtin features, on official parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from mmagent.evaluation import logistic_regression, nearest_mean
from mmagent_series.reader import SeriesReader


def parts(place: Path) -> tuple[list[dict[str, Any]], np.ndarray, np.ndarray]:
    """Rows, labels, and which of them are for training."""
    rows = pq.read_table(place).to_pylist()
    return rows, np.array([row["label"] for row in rows]), np.array([row["split"] == "train" for row in rows])


@pytest.mark.parametrize(("name", "least"), [("BasicMotions", 0.9), ("GunPoint", 0.85)])
def test_a_linear_model_reads_the_classes(
    shared_data: Path, reader: SeriesReader, encoder: Any, name: str, least: float
):
    rows, labels, train = parts(shared_data / "timeseries" / f"{name}.parquet")
    features = np.concatenate([encoder.encode([reader.load(row)]).pooled.numpy() for row in rows])
    said = logistic_regression(features[train], labels[train].tolist(), features[~train]).answers
    assert (np.array(said) == labels[~train]).mean() >= least


def test_failures_of_a_robot_are_told_better_than_by_class_means(
    shared_data: Path, reader: SeriesReader, encoder: Any
):
    right = np.zeros(2)
    for problem in ("lp1", "lp2", "lp3"):
        rows, labels, train = parts(shared_data / "robot_failures" / f"{problem}.parquet")
        features = np.concatenate([encoder.encode([reader.load(row)]).pooled.numpy() for row in rows])
        values = [np.array(row["values"]) for row in rows]
        simple = np.array(
            [np.concatenate([one.mean(0), one.std(0), one.min(0), one.max(0)]) for one in values]
        )
        known = labels[train].tolist()
        own = logistic_regression(features[train], known, features[~train]).answers
        means = nearest_mean(simple[train], known, simple[~train]).answers
        right += [(np.array(said) == labels[~train]).sum() for said in (own, means)]
    assert right[0] > right[1]
