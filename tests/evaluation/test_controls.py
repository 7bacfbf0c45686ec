"""Controls: media removed, swapped or told; nothing gets its own media back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest

from mmagent.errors import UserError
from mmagent.evaluation import blind, derangement, oracle, shuffled


@dataclass(frozen=True)
class Row:
    row: int
    answer: str
    media: Mapping[str, tuple[object, ...]] = field(default_factory=dict)
    question: str | None = "what is this?"
    split: str = "test"


def rows(answers: str, split: str = "test", start: int = 0) -> list[Row]:
    return [Row(at, a, {"image": (f"{split}{at}.png",)}, split=split) for at, a in enumerate(answers, start)]


def test_blind_removes_the_media_and_nothing_else():
    given = rows("ab")
    assert [(r.row, r.answer, r.question, r.media) for r in blind(given)] == [
        (0, "a", "what is this?", {}),
        (1, "b", "what is this?", {}),
    ]
    assert given[0].media == {"image": ("test0.png",)}


def test_oracle_tells_the_media_in_words():
    told = oracle([Row(0, "frog", {"image": ("x.png",)})], lambda r: f"a photo of a {r.answer}.")
    assert told[0].media == {}
    assert told[0].question == "a photo of a frog.\nwhat is this?"
    form = "Picture: {told}\nQuestion: {question}"
    assert oracle([Row(0, "frog", question=None)], form=form)[0].question == (
        "Picture: frog\nQuestion: What is this?"
    )


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(
    "answers", ["ab", "aab", "aabb", "abc", "aaabbbccc", "aabbbcccddde" * 5, "a" * 20 + "b" * 20]
)
def test_shuffled_is_a_derangement_that_never_meets_its_answer(answers, seed):
    """No class is above half of these rows, but for 'aab' where one must meet its own."""
    given = rows(answers)
    found = shuffled(given, seed)
    assert Counter(r.media["image"] for r in found) == Counter(r.media["image"] for r in given)
    assert all(new.media != old.media for new, old in zip(found, given, strict=True))
    answer_of = {r.media["image"]: r.answer for r in given}
    met = sum(answer_of[r.media["image"]] == r.answer for r in found)
    assert met == max(0, 2 * max(Counter(answers).values()) - len(answers))
    assert [(r.row, r.answer, r.question) for r in found] == [(r.row, r.answer, r.question) for r in given]


@pytest.mark.parametrize("seed", range(10))
def test_random_class_sizes_meet_their_own_answer_as_rarely_as_can_be(seed):
    rng = np.random.default_rng(seed)
    answers = rng.integers(0, rng.integers(1, 6), rng.integers(2, 40)).tolist()
    found = derangement(answers, range(len(answers)), seed)
    assert sorted(found) == list(range(len(answers)))
    assert all(at != donor for at, donor in enumerate(found))
    met = sum(answers[at] == answers[donor] for at, donor in enumerate(found))
    assert met == max(0, 2 * max(Counter(answers).values()) - len(answers))


def test_rows_that_share_a_picture_do_not_get_it_from_each_other():
    """Three questions to each of ten pictures."""
    given = [Row(at, "yes" if at % 2 else "no", {"image": (f"{at // 3}.png",)}) for at in range(30)]
    found = shuffled(given, 1)
    assert all(new.media != old.media for new, old in zip(found, given, strict=True))


def test_a_class_meets_several_others():
    """A fixed partner would make the control say which pair of classes is confused, and no more."""
    answers = [at // 20 for at in range(100)]
    found = derangement(answers, range(100), 0)
    assert len({answers[found[at]] for at in range(20)}) == 4


def test_the_seed_decides():
    given = rows("abcd" * 10)
    assert shuffled(given, 1) == shuffled(given, 1)
    assert shuffled(given, 1) != shuffled(given, 2)


def test_media_stay_in_their_split_and_of_their_kind():
    given = rows("abab") + rows("abab", "train", 4)
    given += [Row(8, "a", {"audio": ("8.wav",)}), Row(9, "b", {"audio": ("9.wav",)}), Row(10, "a")]
    found = shuffled(given, 0)
    assert all("test" in r.media["image"][0] for r in found[:4])
    assert all("train" in r.media["image"][0] for r in found[4:8])
    assert [r.media for r in found[8:]] == [{"audio": ("9.wav",)}, {"audio": ("8.wav",)}, {}]


def test_objects_without_a_name_are_told_apart():
    pictures = [np.zeros(3), np.zeros(3), np.zeros(3)]
    found = shuffled([Row(at, "abc"[at], {"image": (p,)}) for at, p in enumerate(pictures)])
    assert all(r.media["image"][0] is not pictures[at] for at, r in enumerate(found))


def test_a_row_alone_cannot_be_shuffled():
    with pytest.raises(UserError, match="one row in the split 'dev' has image"):
        shuffled([*rows("abc"), *rows("a", "dev", 3)])


def test_twenty_thousand_rows_take_no_time_to_speak_of():
    rng = np.random.default_rng(0)
    answers = rng.integers(0, 50, 20_000).tolist()
    found = derangement(answers, rng.integers(0, 8000, 20_000).tolist())
    assert not any(answers[at] == answers[donor] for at, donor in enumerate(found))
