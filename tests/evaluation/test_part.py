"""Which rows are answered; and what is said where the bundle knows them from its training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mmagent.bundle import Bundle
from mmagent.data import LabelledSet, read_labelled
from mmagent.data.identity import identity
from mmagent.errors import UserError
from mmagent.evaluation.part import TrainedOn, choose, trained_on
from mmagent.plugins import load_plugins


@pytest.fixture(scope="module")
def modalities():
    return load_plugins().modalities


@pytest.fixture
def read(tmp_path, pictures, modalities):
    """Rows about the same picture, written to a folder of their own and read."""

    def made(answers: str, *splits: str, folder: str = "data", name: str = "rows.jsonl") -> LabelledSet:
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        shutil.copy(pictures / "red.png", place)
        rows = [{"image": "red.png", "label": answer} for answer in answers]
        for row, split in zip(rows, splits, strict=bool(splits)):
            row["split"] = split
        (place / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        return read_labelled(place / name, modalities)

    return made


def trained(data: LabelledSet, learned: list[int], judged: list[int], sha256: str | None = None) -> TrainedOn:
    known = identity(data) if sha256 is None else sha256
    return TrainedOn("mine", data.source, known, frozenset(learned), frozenset(judged))


@pytest.mark.parametrize(
    ("splits", "asked", "expected"),
    [
        (("train", "test", "val"), None, "test"),
        (("train", "train", "val"), None, "validation"),
        (("train", "test", "val"), "dev", "validation"),
        (("train", "train", "test"), "train", "train"),
        (("train", "train", "extra"), "extra", "extra"),
        ((), None, None),
    ],
    ids=str,
)
def test_the_rows_that_are_answered(read, splits, asked, expected):
    data = read("abc", *splits)
    part = choose(data, None, asked)
    assert part.split == expected
    wanted = data.part(expected) if expected else data.examples
    assert part.examples == wanted
    assert not {one.row for one in part.train} & {one.row for one in part.examples}
    assert part.train == (data.part("train") if expected not in (None, "train") else ())
    assert (part.warnings, part.notes) == ((), ())


@pytest.mark.parametrize(
    ("splits", "asked", "words"),
    [
        (("train", "test", "val"), "tset", ["no split 'tset'", "train, validation, test", "'test'"]),
        (("train", "train", "train"), None, ["no rows kept back", "train", "--split"]),
        ((), "test", ["no split 'test'", "none"]),
    ],
    ids=str,
)
def test_a_split_there_is_not(read, splits, asked, words):
    with pytest.raises(UserError) as error:
        choose(read("abc", *splits), None, asked)
    for word in words:
        assert word in str(error.value)


def test_data_without_splits_are_split_as_the_bundle_was_trained(read):
    data = read("abcd")
    part = choose(data, trained(data, [1, 3], [2, 4]))
    assert part.split == "validation"
    assert [one.row for one in part.examples] == [2, 4]
    assert [one.row for one in part.train] == [1, 3]
    [warning] = part.warnings
    assert "was chosen by 2 of these 2 rows" in warning
    [note] = part.notes
    assert "by which 'mine' was chosen" in note


def test_validation_rows_made_of_the_training_rows_are_kept_apart(read):
    data = read("abcdef", "train", "train", "train", "train", "test", "test")
    before = trained(data, [1, 3], [2, 4])
    part = choose(data, before)
    assert (part.split, part.warnings) == ("test", ())
    assert [one.row for one in part.examples] == [5, 6]
    assert [one.row for one in part.train] == [1, 3]
    assert [one.row for one in choose(data, before, "validation").examples] == [2, 4]


def test_rows_that_were_learned_are_told_whatever_the_data_call_them(read):
    data = read("abcd", "train", "train", "test", "test")
    [warning] = choose(data, trained(data, [1, 3], [2])).warnings
    assert warning.startswith("'mine' was trained on 1 of these 2 rows")
    everything = read("abcd", folder="whole")
    kept = choose(everything, trained(everything, [1, 2, 3], []), "train").warnings
    assert kept[0].startswith("'mine' was trained on 3 of these 3 rows")


def test_a_copy_elsewhere_is_the_same_data(read):
    first, copy = read("abcd"), read("abcd", folder="copy", name="other.jsonl")
    assert choose(copy, trained(first, [1, 3], [2, 4])).split == "validation"


def test_splits_and_questions_do_not_make_other_data(read, modalities):
    plain, split = read("ab"), read("ab", "train", "test", folder="other")
    asked = read_labelled(plain.source, modalities, question="Which letter?")
    assert identity(plain) == identity(split) == identity(asked)
    assert identity(plain) != identity(read("ba", folder="third"))


def test_other_data_of_the_same_name_are_told(read):
    data = read("abcd")
    before = trained(data, [1, 3], [2, 4])
    part = choose(read("abce"), before)
    assert part.split is None
    [warning] = part.warnings
    assert "is not what it was" in warning


def test_other_data_are_noted(read):
    data = read("abcd")
    part = choose(read("efgh", folder="other"), trained(data, [1], [2]))
    assert part.warnings == ()
    [note] = part.notes
    assert data.source in note


def test_a_bundle_that_kept_no_identity_is_known_by_the_place(read):
    data = read("abcd")
    assert choose(data, trained(data, [1, 3], [2, 4], sha256="")).split == "validation"
    other = read("abcd", folder="other")
    assert choose(other, trained(data, [1, 3], [2, 4], sha256="")).split is None


def test_what_a_bundle_says_of_its_training(tiny_bundle, tmp_path):
    assert trained_on(Bundle.open(tiny_bundle)) is None
    mine = tmp_path / "mine"
    shutil.copytree(tiny_bundle, mine)
    raw = json.loads((mine / "bundle.json").read_text())
    raw["trained"] = {
        "data": "rows.jsonl",
        "rows_sha256": "ab",
        "split": {"train": [1, 2], "validation": [3]},
    }
    (mine / "bundle.json").write_text(json.dumps(raw))
    found = trained_on(Bundle.open(mine))
    assert found == TrainedOn("random", "rows.jsonl", "ab", frozenset({1, 2}), frozenset({3}))
    raw["trained"] = "yes"
    (mine / "bundle.json").write_text(json.dumps(raw))
    assert trained_on(Bundle.open(Path(mine))) is None


def test_where_the_adapter_was_fitted_to_the_validation_rows_the_baselines_are_too(read):
    data = read("abcab", "train", "train", "train", "test", "test")
    known = TrainedOn("mine", data.source, identity(data), frozenset({1, 2, 3}), frozenset({3}), refit=True)
    part = choose(data, known, "test")
    assert sorted(one.row for one in part.train) == [1, 2, 3]
    assert part.warnings == ()
    judged = choose(data, known, "validation")
    assert [one.row for one in judged.train] == [1, 2]
    assert "was trained on 1 of these 1 rows" in judged.warnings[0]


def test_rows_of_few_groups_have_too_narrow_intervals(read):
    from dataclasses import replace

    data = read("abab")
    of = [replace(one, group=group) for one, group in zip(data, "xxyz", strict=True)]
    [note] = [n for n in choose(replace(data, examples=tuple(of)), None).notes if "groups" in n]
    assert "these 4 rows come from 3 groups" in note
    alone = [replace(one, group=group) for one, group in zip(data, "wxyz", strict=True)]
    assert not [n for n in choose(replace(data, examples=tuple(alone)), None).notes if "groups" in n]
