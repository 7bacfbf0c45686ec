"""A wrong row is told with its number and stops no other; what is wrong with the whole is told at once."""

from __future__ import annotations

import json

import pytest

from mmagent.data.arrow import needed
from mmagent.errors import UserError


def test_every_wrong_row_has_its_number_and_the_others_are_read(place, rows, read):
    image = rows[0]["image"]
    (place / "empty.png").touch()
    wrong = [
        json.dumps({"image": image, "answer": "ok"}),
        json.dumps({"image": "nowhere.png", "answer": ""}),
        "{",
        "[1, 2]",
        json.dumps({"image": image, "answer": True}),
        json.dumps({"answer": "x"}),
        json.dumps({"image": "https://example.org/a.png", "answer": "x"}),
        json.dumps({"image": "train", "answer": "x"}),
        json.dumps({"image": "empty.png", "answer": "x"}),
        json.dumps({"image": [image, "gone.png"], "answer": "x"}),
        json.dumps({"image": "a\0.png", "answer": "x"}),
        json.dumps({"image": image, "answer": "a \ud800"}),
        json.dumps({"image": image, "answer": "x", "question": "\udcff?"}),
    ]
    (place / "rows.jsonl").write_bytes("\n".join(wrong).encode() + b"\n\xff\xfe\n")
    labelled = read(place / "rows.jsonl")
    assert [one.row for one in labelled] == [1]
    found = [(problem.row, problem.what) for problem in labelled.problems]
    expected = [
        (2, "there is no file nowhere.png."),
        (2, "its answer is empty."),
        (3, "is not a row of JSON"),
        (4, "a JSON list"),
        (5, "its answer is True; it must be text or a number."),
        (6, "it has no image."),
        (7, "is an address"),
        (8, "train is a directory."),
        (9, "empty.png is empty"),
        (10, "there is no file gone.png."),
        (11, "cannot be read"),
        (12, "its answer is no text"),
        (13, "its question is no text"),
        (14, "is not UTF-8 text."),
    ]
    assert [row for row, _ in found] == [row for row, _ in expected]
    for (_, what), (_, words) in zip(found, expected, strict=True):
        assert words in what
    assert str(labelled.problems[0]) == "line 2: there is no file nowhere.png."
    with pytest.raises(UserError) as caught:
        labelled.demand_sound()
    assert "14 rows that cannot be learned from: line 2: there is no file nowhere.png." in str(caught.value)


def test_many_problems_are_told_up_to_twenty_and_counted(rows, lines, read):
    file = lines([*rows, *({"image": f"no{at}.png", "label": "x"} for at in range(50))])
    with pytest.raises(UserError) as caught:
        read(file).demand_sound()
    assert "no19.png" in str(caught.value)
    assert "no20.png" not in str(caught.value)
    assert "and 30 more like these." in str(caught.value)


def test_rows_without_a_split_where_others_have_one(rows, lines, read):
    labelled = read(lines([*rows, {"image": rows[0]["image"], "label": "red"}]))
    assert len(labelled) == 12
    assert [str(one) for one in labelled.problems] == ["line 13: it has no split, and other rows do."]


def test_a_split_by_name(rows, lines, read):
    file = lines([*rows, {"image": "nowhere.png", "label": "x", "split": "train"}])
    valid = read(file, split="valid")
    assert (len(valid), valid.problems, valid.splits) == (3, (), ("validation",))
    with pytest.raises(UserError, match=r"no split 'tests'. There are: train, validation."):
        read(file, split="tests")


def test_a_cell_too_many_in_a_table(place, rows, read):
    image = rows[0]["image"]
    (place / "rows.csv").write_text(f'image,caption\n{image},a cat, sitting\n{image},"a cat, sitting"\n')
    labelled = read(place / "rows.csv")
    assert [one.answer for one in labelled] == ["a cat, sitting"]
    assert "line 2: has 3 cells, the header 2" in str(labelled.problems[0])


def test_folders_tell_what_has_no_label(place, read):
    (place / "train" / "yellow").mkdir()
    (place / "train" / "red" / "0.png").rename(place / "train" / "stray.png")
    (place / "train" / "red" / "notes.txt").write_text("nothing")
    labelled = read(place)
    told = [str(problem) for problem in labelled.problems]
    assert len(told) == 2
    assert "the class folder 'yellow' holds no file" in told[0]
    assert "stray.png lies beside the class folders" in told[1]
    assert "1 files" in labelled.notes[0]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("x.jsonl", "", "holds no rows"),
        ("x.csv", "image,label\n", "holds no rows"),
        ("x.json", '{"train": []}', "a JSON dict with train"),
        ("x.json", "nonsense", "is not JSON"),
        ("x.jsonl", "nonsense\n", "no row that can be read: line 1: is not a row of JSON"),
        (
            "x.jsonl",
            '{"image": "no.png", "label": "x"}',
            "no row that can be learned from: line 1: there is no file",
        ),
        ("x.csv", "image,image\n", "two columns called 'image'"),
        ("x.parquet", "PK\x03\x04", "is not a parquet file; it starts like a zip archive"),
        ("x.txt", "a cat", "is not labelled data: it starts like text"),
        ("x.zip", "PK\x03\x04", "it starts like a zip archive"),
        ("folder", None, "holds no folders and no table"),
        ("folder/red", None, "no file that a plugin can read ("),
        ("folder/train/red", None, "splits without a file"),
    ],
)
def test_a_set_that_cannot_serve_is_one_clear_sentence(tmp_path, read, name, content, says):
    place = tmp_path / name.split("/")[0]
    if content is None:
        (tmp_path / name).mkdir(parents=True)
    else:
        place.write_text(content)
    with pytest.raises(UserError) as caught:
        read(place)
    assert says in str(caught.value)
    assert str(place) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_path_that_is_not_there_is_not_looked_for_on_the_hub(place, read, monkeypatch):
    monkeypatch.chdir(place.parent)
    with pytest.raises(UserError, match=r"there is no file or folder sett. Did you mean 'set'\?"):
        read("sett")
    with pytest.raises(UserError, match=r"no file or folder set/trian. Did you mean 'train'\?"):
        read("set/trian")
    with pytest.raises(UserError, match="There is no folder no/such either"):
        read("no/such/rows.csv")


def test_splits_beside_other_folders_are_refused(place, read):
    (place / "raw").mkdir()
    with pytest.raises(
        UserError, match=r"holds splits \(train, val\) and other folders \(raw\) side by side"
    ):
        read(place)


def test_what_is_not_installed_is_said_with_the_way_to_install_it(monkeypatch):
    with pytest.raises(UserError, match="pip install nosuchthing, or pip install 'mmagent"):
        needed("nosuchthing.part", "such files")


def test_only_rows_are_rows(read):
    with pytest.raises(UserError, match="cannot be read from a int"):
        read(3)
    with pytest.raises(UserError, match="a row is a mapping"):
        read([1, 2])
