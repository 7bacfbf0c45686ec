"""Shots as people keep them, on the command line, in files and in folders; and which of them are taken."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmagent.errors import UserError
from mmagent.request import Request, parse_shot, request_from_row
from mmagent.shots import read_shots
from mmagent.shotset import ranked

NAMES = ["image", "audio"]
Save = Callable[[Path, np.ndarray], Path]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("image=a.png,answer=dax", {"image": ["a.png"], "answer": "dax"}),
        (
            "image=a.png, question=Is it red, or blue?, answer=red, mostly",
            {"image": ["a.png"], "question": "Is it red, or blue?", "answer": "red, mostly"},
        ),
        ("image=a,b.png,image=c=d.png,answer=x", {"image": ["a,b.png", "c=d.png"], "answer": "x"}),
        ("question=what is 2+2?,answer=4", {"question": "what is 2+2?", "answer": "4"}),
    ],
)
def test_a_shot_on_the_command_line(text: str, expected: dict[str, Any]) -> None:
    assert parse_shot(text, NAMES) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("imgae=a.png,answer=x", "Did you mean 'image'?"),
        ("a.png", "image=FILE,answer=WORD"),
        ("audio=a.wav", "has no answer. Write it like audio=FILE,answer=WORD"),
        ("a.png,audio=a.wav,answer=x", "begins with 'a.png,audio'. Write it like audio=FILE,answer=WORD"),
        ("question=what?,image=a.png", "has no answer. Write it like image=FILE,answer=WORD"),
        ("image=a.png", "no answer"),
        ("image=a.png,answer=", "no answer"),
        ("image=a.png,answer=x,answer=y", "twice"),
    ],
)
def test_a_wrong_shot_says_how_to_write_it(text: str, says: str) -> None:
    for names in (NAMES, NAMES[::-1]):
        with pytest.raises(UserError) as caught:
            parse_shot(text, names)
        assert says in str(caught.value)


def test_rows_of_json_and_csv_are_the_same_shots(tmp_path: Path, plugins: Any) -> None:
    rows = [
        {"vector": "a.vec", "answer": "dax", "split": "train"},
        {"vector": "sub/b.vec", "question": "what colour?", "answer": "light, blue"},
    ]
    lines = "\n\n".join(json.dumps(row) for row in rows)
    (tmp_path / "rows.jsonl").write_text(f"\ufeff{lines}\n", encoding="utf-8")
    text = 'vector,question,answer\na.vec,,dax\nsub/b.vec,what colour?,"light, blue"\n'
    (tmp_path / "rows.csv").write_text(text, encoding="utf-8")
    (tmp_path / "rows.tsv").write_text(text.replace(",", "\t").replace('"light\t blue"', "light, blue"))
    shots = read_shots(tmp_path / "rows.jsonl", plugins.modalities)
    assert [(one.answer, one.question) for one in shots] == [("dax", None), ("light, blue", "what colour?")]
    assert [one.media["vector"] for one in shots] == [[tmp_path / "a.vec"], [tmp_path / "sub/b.vec"]]
    assert shots[0].source == str(tmp_path / "a.vec")
    assert read_shots(tmp_path / "rows.csv", plugins.modalities) == shots
    assert read_shots(tmp_path / "rows.tsv", plugins.modalities) == shots


def test_a_folder_of_folders_names_its_answers(
    tmp_path: Path, plugins: Any, save_vector: Save, vectors: np.ndarray, agent: Any
) -> None:
    for at, place in enumerate(["blicket/2.vec", "blicket/1.vec", "a dax/deep/x.dat", ".git/y.vec"]):
        save_vector(tmp_path / place, vectors[at])
    (tmp_path / "a dax/notes.txt").write_text("not a vector")
    (tmp_path / "a dax/.DS_Store").write_text("hidden")
    shots = read_shots(tmp_path, plugins.modalities)
    assert [(one.answer, Path(one.source).name) for one in shots] == [
        ("a dax", "x.dat"),
        ("blicket", "1.vec"),
        ("blicket", "2.vec"),
    ]
    assert agent.ask("whatever is it?", vector=vectors[2], shots=tmp_path).text == "a dax"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("rows.jsonl", "", "holds no shots"),
        (
            "rows.jsonl",
            '{"vector": "a.vec", "answer": "x"}\n{"vector": "a.vec"}\n',
            "line 2: the shot has no answer",
        ),
        ("rows.jsonl", '{"vector": "a.vec",\n', "line 1 is not a row of JSON"),
        ("rows.jsonl", "[1, 2]\n", "a row is an object"),
        ("rows.jsonl", '{"answer": "x"}\n', "nothing to answer about"),
        ("rows.jsonl", '{"vector": 3, "answer": "x"}\n', "must be a path"),
        ("rows.jsonl", '{"vector": null, "answer": "x"}\n', "nothing to answer about"),
        ("rows.csv", "vector,label\na.vec,x\n", "no column 'answer'. Its columns are: vector, label"),
        ("empty", None, "holds no folders"),
        ("full/a", None, "holds no file that"),
    ],
)
def test_wrong_shots_name_the_place(
    tmp_path: Path, plugins: Any, name: str, content: str | None, says: str
) -> None:
    place = tmp_path / name.split("/")[0]
    if content is None:
        (tmp_path / name).mkdir(parents=True)
    else:
        place.write_text(content, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_shots(place, plugins.modalities)
    assert says in str(caught.value)
    assert str(place) in str(caught.value)


def test_bytes_are_no_shots(tmp_path: Path, plugins: Any) -> None:
    (tmp_path / "x.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not UTF-8"):
        read_shots(tmp_path / "x.jsonl", plugins.modalities)
    with pytest.raises(UserError, match="no such file"):
        read_shots(tmp_path / "none", plugins.modalities)


def test_a_row_becomes_a_request(tmp_path: Path, plugins: Any) -> None:
    row = {
        "id": 7,
        "question": "which?",
        "image": ["a.png", "/abs/b.png"],
        "choices": ["x", "y"],
        "shots": [{"image": "s.png", "answer": 4, "id": 1}],
    }
    request = request_from_row(row, plugins.modalities, tmp_path)
    assert request.media == {"image": [tmp_path / "a.png", Path("/abs/b.png")]}
    assert request.choices == ("x", "y")
    assert request.shots[0].answer == "4"
    assert request.shots[0].media == {"image": [tmp_path / "s.png"]}


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"question": 3}, '"question" must be text'),
        ({"image": 3}, '"image" must be a path'),
        ({"image": ["a.png", ""]}, '"image" must be a path'),
        ({"image": "a\0.png"}, "null character"),
        ({"choices": "red"}, '"choices" must be a list'),
        ({"choices": ["", "x"]}, "none of them empty"),
        ({"choices": ["x", ""]}, "an empty choice, number 2"),
        ({"choices": ["red"]}, "choices ['red'] names fewer than two answers"),
        ({"shots": {"answer": "x"}}, '"shots" must be a list'),
        ({"shots": [{"image": "a.png"}]}, "shot 1 has no answer"),
        ({"shots": [{"image": "a.png", "answer": True}]}, "shot 1 has the answer True"),
    ],
)
def test_a_malformed_row_says_which_entry_is_wrong(
    tmp_path: Path, row: dict[str, Any], says: str, plugins: Any
) -> None:
    with pytest.raises(UserError) as caught:
        request_from_row(row, plugins.modalities, tmp_path)
    assert says in str(caught.value)


def test_every_answer_has_its_turn_and_the_nearest_come_first() -> None:
    answers = ["a", "a", "a", "b", "b", "c"]
    order = ranked(answers, [0.9, 0.8, 0.7, 0.5, 0.6, 0.1], seed=0)
    assert order == [0, 4, 5, 1, 3, 2]


def test_without_features_the_choice_is_drawn_by_seed_and_balanced() -> None:
    answers = ["a"] * 50 + ["b"] * 5
    order = ranked(answers, None, seed=3)
    assert order == ranked(answers, None, seed=3) != ranked(answers, None, seed=4)
    assert sorted(order) == list(range(55))
    assert sorted(answers[at] for at in order[:8]) == ["a"] * 4 + ["b"] * 4


def test_blanks_around_a_question_are_none_of_it() -> None:
    assert Request("  ").question is None
    assert Request(" what? ").question == "what?"
    assert Request("x", choices="red, blue").choices == ("red", "blue")
