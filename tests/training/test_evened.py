"""Rare answers are taught as often as it takes, where each is taught apart from the others."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from mmagent.training.combined import Combined
from mmagent.training.order import evened
from mmagent.training.places import taught_apart
from mmagent.training.several import Several
from mmagent_adapters.concepts import build
from mmagent_adapters.prefix import build_linear


@pytest.mark.parametrize(
    ("answers", "counts"),
    [
        ("a" * 20 + "b" * 20, {"a": 20, "b": 20}),
        ("a" * 38 + "bb", {"a": 38, "b": 10}),
        ("a" * 58 + "bc", {"a": 58, "b": 10, "c": 10}),
        ("abc", {"a": 1, "b": 1, "c": 1}),
        ("", {}),
    ],
)
def test_every_answer_has_half_of_an_equal_share_or_more(answers: str, counts: dict[str, int]) -> None:
    deck = evened(answers)
    assert deck[: len(answers)] == list(range(len(answers)))  # nothing is left out
    assert Counter(answers[at] for at in deck) == counts


def test_rows_of_a_rare_answer_take_turns() -> None:
    deck = evened("a" * 30 + "bcbcbc")
    assert Counter(deck[36:]) == {30: 1, 32: 1, 34: 1, 31: 1, 33: 1, 35: 1}


def test_only_adapters_that_suppose_are_taught_so() -> None:
    concepts = build({"answers": ["a", "b"], "n_tokens": 2}, 4, 4)
    prefix = build_linear({"n_tokens": 2}, 4, 4)
    assert taught_apart(concepts)
    assert taught_apart(Several({"one": concepts, "two": concepts}))
    assert taught_apart(Combined(concepts, torch.nn.Linear(2, 2), keeps=True))
    assert not taught_apart(prefix)
    assert not taught_apart(Several({"one": concepts, "two": prefix}))
