"""A drawn validation split: seeded, stratified, the same in any order of the rows, no copy on both sides."""

from __future__ import annotations

import random
import shutil
from collections import Counter

import pytest

from mmagent.data import stratified_split
from mmagent.errors import UserError


@pytest.fixture
def many(place, rows, lines, read):
    """40 red, 20 green, 10 blue rows and a single yellow one, each with a picture of its own name."""
    first = place / rows[0]["image"]
    made = []
    for label, count in (("red", 40), ("green", 20), ("blue", 10), ("yellow", 1)):
        for at in range(count):
            shutil.copy(first, place / f"{label}{at}.png")
            made.append({"image": f"{label}{at}.png", "label": label})

    def build(order=None, **more):
        ordered = made if order is None else random.Random(order).sample(made, len(made))
        return read(lines([{**row, **more} for row in ordered]))

    return build


def images(labelled, rows):
    return {str(one.media["image"][0]) for one in labelled if one.row in rows}


def test_every_answer_gives_its_share_and_a_single_one_stays(many):
    labelled = many()
    drawn = stratified_split(labelled, 0.2, seed=1)
    assert sorted(drawn["train"] + drawn["validation"]) == [one.row for one in labelled]
    split = labelled.with_split(drawn)
    assert Counter(one.answer for one in split.part("val")) == {"red": 8, "green": 4, "blue": 2}
    assert split.counts() == {"train": 57, "validation": 14}


def test_the_draw_hangs_on_content_and_seed_alone(many):
    labelled, shuffled = many(), many(order=5)
    drawn = stratified_split(labelled, seed=1)
    assert drawn == stratified_split(labelled, seed=1)
    again = stratified_split(shuffled, seed=1)
    assert again != drawn
    assert images(shuffled, again["validation"]) == images(labelled, drawn["validation"])
    other = stratified_split(labelled, seed=2)
    assert images(labelled, other["validation"]) != images(labelled, drawn["validation"])


def test_the_folder_may_move(many, place, read, tmp_path):
    before = many()
    drawn = stratified_split(before)
    shutil.move(place, tmp_path / "moved")
    assert stratified_split(read(tmp_path / "moved" / "rows.jsonl")) == drawn


def test_no_copy_of_a_row_is_on_the_other_side(rows, lines, read):
    labelled = read(lines([{"image": row["image"], "label": row["label"]} for row in rows] * 4))
    drawn = stratified_split(labelled, 0.3)
    assert not images(labelled, drawn["train"]) & images(labelled, drawn["validation"])


def test_all_captions_of_a_picture_go_together(rows, lines, read):
    labelled = read(lines([{"image": row["image"], "caption": f"{at}"} for at, row in enumerate(rows * 5)]))
    drawn = stratified_split(labelled, 0.25)
    assert len(drawn["validation"]) == 15
    assert not images(labelled, drawn["train"]) & images(labelled, drawn["validation"])


def test_a_test_split_is_left_alone(many):
    labelled = many(split="test")
    with pytest.raises(UserError, match="no validation split can be drawn"):
        stratified_split(labelled)
    assert stratified_split(many(split="train"))["validation"]


@pytest.mark.parametrize("fraction", [0, 1, -0.5, 7])
def test_an_impossible_fraction(many, fraction):
    with pytest.raises(UserError, match="is impossible"):
        stratified_split(many(), fraction)


def test_a_split_of_other_data_is_refused(many):
    with pytest.raises(UserError, match="names row 99"):
        many().with_split({"validation": (1, 99)})


@pytest.fixture
def spoken(place, rows, lines, read):
    """Five speakers who each say "yes" and "no" twice, in one folder with pictures of their own names."""
    first = place / rows[0]["image"]

    def build(speakers="abcde", order=None, **more):
        made = []
        for speaker in speakers:
            for answer in ("yes", "no"):
                for take in range(2):
                    shutil.copy(first, place / f"{speaker}-{answer}-{take}.png")
                    name = f"{speaker}-{answer}-{take}.png"
                    made.append({"image": name, "label": answer, "speaker": speaker, **more})
        return read(lines(made if order is None else random.Random(order).sample(made, len(made))))

    return build


def groups(labelled, split):
    return {one.group for one in labelled.part(split)}


def test_a_speaker_stands_on_one_side(spoken):
    labelled = spoken()
    assert labelled.columns["group"] == "speaker"
    assert any("'speaker' stay together" in note for note in labelled.notes)
    seen = set()
    for seed in range(8):
        drawn = stratified_split(labelled, 0.2, seed)
        split = labelled.with_split(drawn)
        assert len(drawn["validation"]) == 4
        assert not groups(split, "train") & groups(split, "validation")
        seen |= groups(split, "validation")
    assert len(seen) > 2
    shuffled = spoken(order=3)
    again = stratified_split(shuffled, 0.2, 0)
    assert images(shuffled, again["validation"]) == images(
        labelled, stratified_split(labelled, 0.2, 0)["validation"]
    )


def test_copies_keep_two_groups_together(spoken, place, lines, read):
    spoken()
    rows = [
        {"image": f"{speaker}-{answer}-{take}.png", "label": answer, "group": speaker}
        for speaker in "abcde"
        for answer in ("yes", "no")
        for take in range(2)
    ]
    rows.append({"image": "a-yes-0.png", "label": "yes", "group": "b"})
    labelled = read(lines(rows))
    for seed in range(8):
        split = labelled.with_split(stratified_split(labelled, 0.4, seed))
        assert len({one.split for one in split if one.group in ("a", "b")}) == 1
        assert split.part("validation")


def test_the_only_group_with_an_answer_stays_and_large_groups_go_alone(spoken, place, lines, read):
    labelled = spoken("ab")
    split = labelled.with_split(stratified_split(labelled, 0.2))
    assert len(groups(split, "validation")) == 1  # more rows than were wanted, and no fewer can be drawn
    alone = read(
        lines(
            [
                {"image": f"a-{answer}-{take}.png", "label": answer, "group": answer}
                for answer in ("yes", "no")
                for take in range(2)
            ]
        )
    )
    split = alone.with_split(stratified_split(alone, 0.5))
    assert {one.answer for one in split.part("train")} == {"yes", "no"}  # as if there were no groups
