"""Table features: the same for the same table in any order of rows, alone or in a batch, and of use."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from mmagent.errors import UserError
from mmagent.modality import Encoder
from mmagent_table.reader import TableReader

CPU = torch.device("cpu")


def load(name: str) -> Encoder:
    return TableReader().load_encoder(name, device=CPU, dtype=torch.float32)


def rows_of(seed: int, n: int = 30) -> list[dict[str, object]]:
    rng = random.Random(seed)
    return [
        {
            "town": rng.choice(["Oslo", "Bergen", "Rome"]),
            "age": rng.randrange(90),
            "when": f"20{rng.randrange(10, 24)}-03-01",
        }
        for _ in range(n)
    ]


@pytest.mark.parametrize("name", ["builtin", "rows"])
def test_order_of_rows_does_not_change_what_is_pooled(name: str) -> None:
    rows, encoder, reader = rows_of(0), load(name), TableReader()
    turned = encoder.encode([reader.load(rows[::-1])]).pooled
    assert torch.allclose(encoder.encode([reader.load(rows)]).pooled, turned, atol=1e-5)


@pytest.mark.parametrize("name", ["builtin", "rows"])
def test_a_batch_gives_what_each_gives_alone(name: str) -> None:
    encoder, reader = load(name), TableReader()
    tables = [reader.load(rows_of(seed, n)) for seed, n in ((1, 5), (2, 40), (3, 1))]
    whole = encoder.encode(tables)
    for at, table in enumerate(tables):
        alone = encoder.encode([table])
        n = int(alone.mask.sum())
        assert torch.allclose(whole.pooled[at], alone.pooled[0], atol=1e-6)
        assert torch.allclose(whole.values[at, :n], alone.values[0], atol=1e-6)
        assert not whole.values[at, n:].any()
        assert int(whole.mask[at].sum()) == n
    assert whole.pooled.shape == (3, encoder.d_encoder)
    assert encoder.encode([]).pooled.shape == (0, encoder.d_encoder)


def test_other_contents_have_other_features() -> None:
    encoder, reader = load("builtin"), TableReader()
    one, other = (reader.load(rows_of(seed)) for seed in (0, 1))
    renamed = reader.load([{"city": row["town"], **row} for row in rows_of(0)])
    features = encoder.encode([one, other, renamed]).pooled
    assert (features[0] - features[1]).abs().max() > 0.01
    assert (features[0] - features[2]).abs().max() > 0.01


def test_rows_as_tables_are_classified_by_their_columns() -> None:
    """A rule over a number and a word, with gaps: a linear model on the row features finds it."""
    linear = pytest.importorskip("sklearn.linear_model")
    scaling = pytest.importorskip("sklearn.preprocessing")
    pipeline = pytest.importorskip("sklearn.pipeline")
    rng, reader, encoder = random.Random(0), TableReader(), load("rows")
    tables, labels = [], []
    for _ in range(400):
        age, town = rng.randrange(90), rng.choice(["Oslo", "Rome"])
        row = {"age": age if rng.random() < 0.95 else None, "town": town, "note": rng.choice("abc")}
        tables.append(reader.load([row]))
        labels.append(age > (60 if town == "Oslo" else 30))
    features = encoder.encode(tables).pooled.numpy()
    model = pipeline.make_pipeline(scaling.StandardScaler(), linear.LogisticRegression(max_iter=500))
    model.fit(features[:300], labels[:300])
    assert model.score(features[300:], labels[300:]) > 0.9
    assert max(np.mean(labels[300:]), 1 - np.mean(labels[300:])) < 0.75


def test_an_encoder_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(
        UserError, match=r"no table encoder 'bultin'. There are: builtin, rows.*Did you mean 'builtin'"
    ):
        load("bultin")
