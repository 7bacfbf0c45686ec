"""``mmagent ask --batch``: rows in, rows with answers out, in order; a bad row stops nothing."""

from __future__ import annotations

import json
from functools import partial

import pytest

import mmagent.batch


@pytest.fixture
def rows(tmp_path, pictures):
    """A file of rows beside its pictures."""
    for picture in pictures.iterdir():
        (tmp_path / picture.name).symlink_to(picture)
    content = [
        {"id": 7, "question": "what is this?", "image": "red.png"},
        {"image": "blue.png", "note": {"kept": True}},
        {"question": "which?", "image": ["red.png", "blue.png"], "choices": ["red", "blue"]},
        {
            "image": "red.png",
            "question": "?",
            "shots": [{"image": "red.png", "question": "?", "answer": "dax"}],
        },
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in content))
    return file


@pytest.fixture
def batch(call, tiny_bundle):
    return lambda rows, *more: call(
        "ask", "--batch", rows, "--bundle", tiny_bundle, "--max-tokens", "4", *more
    )


def read(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_each_row_comes_back_with_its_answer(batch, rows, tmp_path):
    done = batch(rows, "--out", tmp_path / "out.jsonl")
    assert (done.code, done.out) == (0, "")
    assert done.err.startswith("mmagent: 4 rows")
    found = read(tmp_path / "out.jsonl")
    for before, after in zip(read(rows), found, strict=True):
        assert after.items() >= before.items()
        assert isinstance(after["answer"], str)
        assert 0 <= after["confidence"] <= 1
    assert found[2]["answer"] in {"red", "blue"}


def test_a_bad_row_becomes_an_error_and_the_rest_goes_on(batch, rows, tmp_path):
    with rows.open("a") as file:
        file.write('{"image": "nowhere.png", "id": 8}\n{"image": broken\n{"question": "last?"}\n')
    done = batch(rows, "--out", tmp_path / "out.jsonl")
    assert done.code == 1
    assert '2 of them with an "error" in place of an answer' in done.err
    found = read(tmp_path / "out.jsonl")
    assert ["error" in row for row in found] == [False, False, False, False, True, True, False]
    assert found[4]["id"] == 8
    assert "nowhere.png" in found[4]["error"]
    assert "answer" not in found[4]


def test_resuming_gives_what_an_uninterrupted_run_gives(batch, rows, tmp_path, monkeypatch):
    monkeypatch.setattr(mmagent.batch, "WINDOW", 2)
    monkeypatch.setattr(mmagent.batch, "run_batch", partial(mmagent.batch.run_batch, batch_size=1))
    batch(rows, "--out", tmp_path / "whole.jsonl")
    whole = (tmp_path / "whole.jsonl").read_text()
    kept = "".join(whole.splitlines(keepends=True)[:2])
    (tmp_path / "half.jsonl").write_text(kept + '{"image": "cut off')
    done = batch(rows, "--out", tmp_path / "half.jsonl", "--resume")
    assert done.code == 0
    assert "4 rows" in done.err
    assert "2 of them answered before" in done.err
    assert (tmp_path / "half.jsonl").read_text() == whole
    told = kept.replace(json.dumps(read(tmp_path / "whole.jsonl")[0]["answer"]), '"said before"', 1)
    (tmp_path / "half.jsonl").write_text(told)
    batch(rows, "--out", tmp_path / "half.jsonl", "--resume")
    assert read(tmp_path / "half.jsonl")[0]["answer"] == "said before"


def test_shots_of_the_command_serve_every_row(batch, rows, pictures, tmp_path):
    asked = [{"image": f"{name}.png", "question": "what is this?"} for name in ("blue", "red", "blue")]
    rows.write_text("\n".join(map(json.dumps, asked)))
    shots = [
        f"--shot=image={pictures / name}.png,answer={word}"
        for name, word in (("red", "dax"), ("blue", "wug"))
    ]
    assert batch(rows, "--out", tmp_path / "out.jsonl", *shots).code == 0
    assert [row["answer"] for row in read(tmp_path / "out.jsonl")] == ["wug", "dax", "wug"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ([], "--out"),
        (["--out", "rows.jsonl"], "overwrite"),
        (["--out", "x", "--image", "red.png"], "--image"),
        (["--out", "x", "a question"], "question"),
        (["--out", "x", "--choices", "a,b"], "--choices"),
        (["--out", "x", "--json"], "--json"),
    ],
)
def test_what_cannot_go_with_batch(batch, rows, tmp_path, monkeypatch, more, words):
    monkeypatch.chdir(tmp_path)
    before = rows.read_text()
    done = batch("rows.jsonl", *more)
    assert done.code == 2
    assert words in done.err
    assert done.err.count("\n") == 1
    assert rows.read_text() == before
    assert not (tmp_path / "x").exists()
