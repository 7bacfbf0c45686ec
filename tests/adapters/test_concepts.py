"""Concepts: the probe they carry is the baseline's own, and they spell what it finds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmagent.adapter import Labelled
from mmagent.errors import UserError
from mmagent.evaluation import logistic_regression
from mmagent_adapters.concepts import Concepts, build, fit

D_ENCODER, D_CORE, K = 6, 5, 3


def blobs(answers: list[str], each: int, seed: int) -> tuple[torch.Tensor, list[str]]:
    """`each` points around one centre per answer, with one constant dimension."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(len(answers), D_ENCODER)) * 2
    points = np.concatenate([centre + rng.normal(size=(each, D_ENCODER)) for centre in centres])
    points[:, 0] = 7.0
    return torch.tensor(points, dtype=torch.float32), [name for name in answers for _ in range(each)]


def spell(text: str) -> torch.Tensor:
    """One embedding per letter."""
    return torch.tensor([[float(ord(letter))] * D_CORE for letter in text.strip()])


def fitted(answers: list[str], each: int = 12) -> tuple[Concepts, Labelled]:
    adapter = build({"answers": sorted(answers), "n_tokens": K}, D_ENCODER, D_CORE)
    pooled, said = blobs(sorted(answers), each, seed=1)
    rows = Labelled(pooled, said, spell)
    fit(adapter, rows, seed=3)
    return adapter, rows


@pytest.mark.parametrize("answers", [["low", "normal", "high"], ["no", "yes"]])
def test_its_probabilities_are_those_of_the_baseline(answers: list[str]) -> None:
    adapter, rows = fitted(answers)
    others, _ = blobs(sorted(answers), 9, seed=2)
    wanted = logistic_regression(rows.pooled.numpy(), rows.answers, others.numpy(), seed=3)
    assert wanted.labels == adapter.answers
    np.testing.assert_allclose(adapter.probabilities(others).numpy(), wanted.probabilities, atol=2e-3)


def test_a_sure_input_is_spelt_in_the_words_of_its_answer() -> None:
    adapter, _ = fitted(["abcd", "xy"])
    assert torch.equal(adapter.words[0, :, 0], torch.tensor([98.0, 99.0, 100.0]))  # the last three letters
    assert torch.equal(adapter.words[1, :, 0], torch.tensor([121.0, 120.0, 121.0]))  # over again, to its end
    adapter.bias.copy_(torch.tensor([50.0, -50.0]))
    pooled = torch.zeros(1, D_ENCODER)
    assert torch.allclose(adapter(pooled[:, None], torch.ones(1, 1).bool(), pooled)[0], adapter.words[0])


def test_fitting_again_leaves_the_trained_words_alone() -> None:
    adapter, rows = fitted(["low", "high"])
    with torch.no_grad():
        adapter.words.fill_(0.5)
    weight = adapter.weight.clone()
    more, said = blobs(["high", "low"], 6, seed=4)
    both = Labelled(torch.cat([rows.pooled, more]), [*rows.answers, *said], spell)
    fit(adapter, both, seed=3, again=True)
    assert bool((adapter.words == 0.5).all())
    assert not torch.equal(adapter.weight, weight)


def test_a_strength_that_is_given_is_the_probes_own_also_in_a_bundle() -> None:
    told = {"answers": ["high", "low"], "n_tokens": K, "strength": 1e-4}
    adapter, freely = build(told, D_ENCODER, D_CORE), fitted(["low", "high"])[0]
    assert adapter.config == told  # what a bundle keeps and builds it from
    pooled, said = blobs(["high", "low"], 12, seed=1)
    assert "C = 0.0001, as given" in fit(adapter, Labelled(pooled, said, spell))
    assert adapter.strength == 1e-4
    assert adapter.weight.norm() < 0.1 * freely.weight.norm()


@pytest.mark.parametrize("strength", [0, -1.0, "much", True, float("nan"), float("inf")])
def test_a_strength_that_is_none_is_one_sentence(strength: object) -> None:
    with pytest.raises(UserError, match=r"strength is .* must be more than 0"):
        build({"answers": ["high", "low"], "strength": strength}, D_ENCODER, D_CORE)


def test_only_the_words_are_trained() -> None:
    adapter, rows = fitted(["low", "high"])
    assert [name for name, one in adapter.named_parameters() if one.requires_grad] == ["words"]
    adapter(rows.pooled[:, None], torch.ones(len(rows.pooled), 1).bool(), rows.pooled).sum().backward()
    assert bool((adapter.words.grad != 0).all())


def test_what_it_cannot_be_made_of_is_said() -> None:
    for answers in (["one"], ["one", "one"], "one two", [1, 2], ["one", " "], None):
        with pytest.raises(UserError, match="answers"):
            build({"answers": answers}, D_ENCODER, D_CORE)
    adapter = build({"answers": ["a", "b", "c"]}, D_ENCODER, D_CORE)
    with pytest.raises(UserError, match="not fitted"):
        adapter.probabilities(torch.zeros(1, D_ENCODER))
    pooled, said = blobs(["a", "b"], 4, seed=1)
    with pytest.raises(UserError, match="no row to learn from has the answer 'c'"):
        fit(adapter, Labelled(pooled, said, spell))


def test_the_strength_is_chosen_for_new_speakers_where_rows_tell_whose_they_are() -> None:
    """Each speaker betrays its answers in a direction of its own, which is true of no other speaker."""
    seeded = torch.Generator().manual_seed(0)
    said = ["no", "yes"] * 60
    pooled = torch.randn(120, 20, generator=seeded)
    sign = torch.tensor([-1.0, 1.0]).repeat(60)
    pooled[:, 0] += sign / 2
    groups = [str(at // 20) for at in range(120)]
    for start in range(0, 120, 20):
        own = 1.5 * torch.randn(20, generator=seeded)
        pooled[start : start + 20] += torch.outer(sign[start : start + 20], own)
    alone, together = (build({"answers": ["no", "yes"]}, 20, D_CORE) for _ in range(2))
    fit(alone, Labelled(pooled, said, spell))
    fit(together, Labelled(pooled, said, spell, range(120), groups))
    assert isinstance(alone, Concepts)
    assert isinstance(together, Concepts)
    assert together.strength < alone.strength
    kept = Labelled(pooled, said, spell, range(120), groups).only([0, 119])
    assert kept.groups == ["0", "5"]
