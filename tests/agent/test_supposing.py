"""What an input is supposed to be: which of its answers are looked at, and how they are added up."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch

from mmagent.continuation import continuations
from mmagent.core.score import ChoiceScore
from mmagent.decoding import mixture
from mmagent.supposing import MOST, BySuppositions, Supposed, Suppositions


def supposed(**shares: float) -> Supposed:
    return Supposed(tuple(shares), tuple(shares.values()))


def test_so_many_are_held_as_have_nearly_all_of_the_probability() -> None:
    one = supposed(a=0.004, b=0.7, c=0.29, d=0.006)
    assert one.likeliest == 1
    held = one.held()
    assert [at for _, at in held] == [1, 2]
    assert [share for share, _ in held] == pytest.approx([0.7 / 0.99, 0.29 / 0.99])
    many = Supposed(tuple(map(str, range(40))), (1 / 40,) * 40)
    assert [at for _, at in many.held()] == list(range(MOST))


def test_of_what_is_offered_it_must_be_one() -> None:
    one = supposed(cat=0.1, dog=0.3, horse=0.6)
    assert [(round(share, 6), at) for share, at in one.held(["cat ", "dog", "zebra"])] == [
        (0.75, 1),
        (0.25, 0),
    ]
    assert len(one.held(["yes", "no"])) == 3  # another question: all that it may be
    assert one.held(["cat"]) == [(1.0, 0)]


def test_an_answer_is_held_beside_however_improbable() -> None:
    one = supposed(a=0.0, b=0.999, c=0.001)
    assert one.held(beside="a") == [(1.0, 1), (0.0, 0)]
    assert supposed(a=0.0, b=1.0).held(["a"]) == [(1.0, 0)]


def test_texts_are_scored_under_the_sum_over_all_that_it_may_be() -> None:
    def scored(logprob: float) -> list[ChoiceScore]:
        return [ChoiceScore("x", logprob, 2)]

    found = mixture([(0.75, scored(math.log(0.2))), (0.25, scored(math.log(0.8)))])
    assert found[0].logprob == pytest.approx(math.log(0.75 * 0.2 + 0.25 * 0.8))
    assert found[0].normalised == pytest.approx(found[0].logprob / 2)
    assert mixture([(1.0, scored(-3.0))]) == scored(-3.0)
    assert mixture([(1.0, scored(-math.inf)), (0.0, scored(0.0))])[0].logprob == -math.inf


def test_it_is_as_sure_as_the_adapter_of_what_it_was_given_and_less_of_what_it_makes_of_it() -> None:
    one = Suppositions([""], "gun  draw", 0.8, supposed(x=0.8, y=0.2), lambda at: {})
    assert one.confidence(" gun draw", 0.1) == 0.8
    assert one.confidence("yes", 0.5) == pytest.approx(0.4)
    several = Suppositions(["", "two things"], None, 0.6, None, lambda at: {})
    assert several.confidence("gun draw", 0.5) == pytest.approx(0.3)
    assert several.prompts(["x"], beside="y") == [(1.0, ["", "two things"])]


class Codec:
    """One token a letter; 0 and 1 end an answer."""

    end_ids = (0, 1)

    def encode(self, answer: str) -> Sequence[int]:
        return [ord(letter) - 90 for letter in answer]


def test_what_the_core_says_of_one_is_dealt_out_to_all() -> None:
    """The likeliest is "ba": of what its token "b" has, "ba" and "bc" keep theirs, and "a" has the rest."""
    one_of = supposed(a=0.4, ba=0.5, bc=0.1)
    mixer = BySuppositions(one_of, continuations(one_of.answers, Codec()))
    a, b, c = (Codec().encode(letter)[0] for letter in "abc")
    probs = torch.full((40,), 0.1 / 39)
    probs[b] = 0.9
    mixed = mixer([], probs)
    assert float(mixed.sum()) == pytest.approx(1.0, abs=1e-6)
    assert float(mixed[b]) == pytest.approx(0.9 * 0.6)
    assert float(mixed[a]) == pytest.approx(0.1 / 39 + 0.9 * 0.4)
    after = mixer([b], probs)  # and of it, "ba" has five sixths
    assert float(after.sum()) == pytest.approx(1.0, abs=1e-6)
    assert float(after[c]) == pytest.approx(0.1 / 39 * (1 + 1 / 6))
    assert float(after[a]) == pytest.approx(0.1 / 39 * 5 / 6)
    ended = mixer([b, a], probs)  # how it ends, the core says
    torch.testing.assert_close(ended, probs)
    other = mixer([a], probs)  # of which the core was not told
    assert float(other[0] + other[1]) == pytest.approx(1.0)
    torch.testing.assert_close(mixer([c], probs), probs)
