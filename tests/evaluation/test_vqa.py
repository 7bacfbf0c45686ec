"""VQA accuracy by hand, and the quirks of the official script (GT-Vision-Lab/VQA, vqaEval.py)."""

from __future__ import annotations

import pytest

from mmagent.errors import UserError
from mmagent.evaluation import vqa_accuracy, vqa_right
from mmagent.evaluation.vqa import CONTRACTIONS, normalise


@pytest.mark.parametrize(("matches", "worth"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (9, 1.0)])
def test_ten_people_leave_one_out(matches, worth):
    """Of ten subsets, m hold m - 1 matches and the others m, so 3 gives (3 * 2/3 + 7 * 1) / 10."""
    people = ["red"] * matches + ["blue", "green"] * 5
    assert vqa_right("red", people[:10]) == pytest.approx(worth)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Cat", "cat"),
        ("two dogs", "2 dogs"),
        ("none", "0"),
        ("ten", "10"),
        ("twelve", "twelve"),
        ("a", ""),
        ("black/white", "black white"),
        ("black / white/grey", "black whitegrey"),  # one blank beside a sign deletes every such sign
        ("1,000", "1000"),
        ("1,000-2", "10002"),  # a number with a comma deletes every sign
        ("red,green", "red green"),
        ("red, green", "red green"),
        ("3.5", "3.5"),
        ("a.b 3. x", "ab 3 x"),
        ("st. 5", "st 5"),
        (".5", ".5"),
        ("yes!", "yes"),
        ("what\nnow\tthen", "what now then"),
        ("dont", "don't"),
        ("couldnt've", "couldn't've"),
        ("yalld've", "yalld've"),  # two are missing: no such key
        ("Im", "im"),  # the key has a capital, the text has none left
        ("lets shes", "lets shes"),
        ("somebody'd", "somebodyd"),
        ("twas", "'twas"),
        ("one o'clock", "1 o'clock"),
        ("it's: me", "it's: me"),  # neither apostrophes nor colons are signs
    ],
)
def test_normalisation_is_the_scripts(text, expected):
    assert normalise(text) == expected


def test_at_most_32_full_stops_are_removed():
    assert normalise("x" + "." * 40) == "x" + "." * 8


def test_the_map_of_contractions_is_whole():
    assert len(CONTRACTIONS) == 120
    assert CONTRACTIONS["'ow'sat"] == "'ow's'at"
    assert CONTRACTIONS["y'all'dve"] == "y'all'd've"
    assert CONTRACTIONS["Id've"] == "I'd've"


def test_people_who_all_agree_are_compared_to_the_letter():
    assert vqa_right("Black.", ["black"] * 10) == 0.0
    assert vqa_right(" black\n", ["black"] * 10) == 1.0
    assert vqa_right("Black.", ["black"] * 10, always_normalise=True) == 1.0
    assert vqa_right("Black.", ["black"] * 9 + ["grey"]) == 1.0


def test_both_sides_are_normalised_where_people_differ():
    assert vqa_right("2", ["two", "The two", "2!", "2", *["three"] * 6]) == 1.0


def test_the_order_of_people_says_nothing():
    people = ["red", "red", "blue", "green", "Red", "a red", "teal", "blue", "blue", "x"]
    assert vqa_right("red", people) == vqa_right("red", people[::-1]) == 1.0
    assert vqa_accuracy(["red", "teal"], [people, people]).tolist() == pytest.approx([1.0, 0.3])


def test_too_few_people_are_refused():
    with pytest.raises(UserError, match=r"several people .* has 1. Use exact match"):
        vqa_right("red", ["red"])
