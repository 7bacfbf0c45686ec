"""A file of questions: every row comes back in order, and stopping halfway costs nothing but time."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from mmagent.agent import Agent
from mmagent.batch import run_batch
from mmagent.errors import UserError

Save = Callable[[Path, np.ndarray], Path]
QUICK: dict[str, Any] = {"max_tokens": 3, "batch_size": 2}  # windows of 8 rows


class Interrupted(Exception):
    """Stands for Ctrl-C, a crash, a power cut."""


@pytest.fixture
def rows(tmp_path: Path, save_vector: Save, vectors: np.ndarray) -> Path:
    """Twenty rows of unlike kinds, some of them bad."""
    for at in range(6):
        save_vector(tmp_path / f"data/{at}.vec", vectors[at])
    kinds = [
        {"id": "é\u2028x", "vector": "data/0.vec"},
        {"question": "what is this?", "vector": "data/1.vec", "label": [1, {"k": None}]},
        {"question": "can a frog fly?", "big": 12345678901234567890, "float": 0.1},
        {"question": "which?", "vector": "data/2.vec", "choices": ["red", "blue"]},
        {
            "question": "what is this?",
            "vector": "data/3.vec",
            "shots": [{"vector": "data/3.vec", "answer": "dax"}],
        },
        {"question": "what is this?", "vector": "data/none.vec", "keep": "me"},
        {"question": 4},
    ]
    path = tmp_path / "rows.jsonl"
    lines = [json.dumps(kinds[at % 7] | {"n": at}, ensure_ascii=False) for at in range(20)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def test_rows_come_back_in_order_with_answers_and_errors(agent: Agent, rows: Path, tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    report = run_batch(agent, rows, tmp_path / "out.jsonl", progress=lambda *at: done.append(at), **QUICK)
    given, made = read(rows), read(tmp_path / "out.jsonl")
    assert len(made) == 20
    for before, after in zip(given, made, strict=True):
        kept = {key: value for key, value in after.items() if key not in ("answer", "confidence", "error")}
        assert kept == before
        assert list(after)[: len(before)] == list(before)
        bad = before["n"] % 7 in (5, 6)
        assert ("error" in after) == bad
        assert ("answer" in after) == ("confidence" in after) == (not bad)
    assert made[4]["answer"] == "dax"
    assert made[3]["answer"] in ("red", "blue")
    assert "none.vec" in made[5]["error"]
    assert (report.rows, report.errors, report.resumed) == (20, 5, 0)
    assert done == sorted(set(done))
    assert {(8, 20), (16, 20), (20, 20)} < set(done)  # each window, once it is written, and batches within
    assert any(8 < rows < 16 for rows, _ in done)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "out.jsonl", "rows.jsonl"]


def test_a_batch_answers_as_ask_does(agent: Agent, rows: Path, tmp_path: Path, vectors: np.ndarray) -> None:
    run_batch(agent, rows, tmp_path / "out.jsonl", **QUICK)
    said = agent.ask("what is this?", vector=vectors[1], max_tokens=3)
    made = read(tmp_path / "out.jsonl")[1]
    assert made["answer"] == said.text
    assert made["confidence"] == pytest.approx(said.confidence, abs=2e-6)


@pytest.mark.parametrize("windows", [1, 2])
@pytest.mark.parametrize("damage", ["none", "half a line", "lines of a half window"])
def test_interrupted_and_resumed_is_uninterrupted_to_the_byte(
    agent: Agent, rows: Path, tmp_path: Path, windows: int, damage: str
) -> None:
    run_batch(agent, rows, tmp_path / "whole.jsonl", **QUICK)
    whole = (tmp_path / "whole.jsonl").read_bytes()
    out, partial = tmp_path / "out.jsonl", tmp_path / "out.jsonl.partial"

    def stop(done: int, total: int) -> None:
        if done == 8 * windows:
            raise Interrupted

    with pytest.raises(Interrupted):
        run_batch(agent, rows, out, progress=stop, **QUICK)
    assert not out.exists()
    ahead = whole[len(partial.read_bytes()) :]
    if damage == "half a line":
        partial.write_bytes(partial.read_bytes() + ahead[:20])
    elif damage != "none":
        partial.write_bytes(partial.read_bytes() + b"".join(ahead.splitlines(keepends=True)[:2]) + b'{"n')
    report = run_batch(agent, rows, out, resume=True, **QUICK)
    assert out.read_bytes() == whole
    assert not partial.exists()
    assert (report.resumed, report.errors) == (8 * windows, 5)


@pytest.mark.parametrize(
    ("rows_asked", "says"), [(2, "None of 20 rows"), (12, "8 of 20 rows are kept.*--resume")]
)
def test_being_stopped_says_what_is_kept(
    agent: Agent, rows: Path, tmp_path: Path, rows_asked: int, says: str
) -> None:
    def stop(done: int, total: int) -> None:
        if done >= rows_asked:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=says):
        run_batch(agent, rows, tmp_path / "out.jsonl", progress=stop, **QUICK)
    assert run_batch(agent, rows, tmp_path / "out.jsonl", resume=True, **QUICK).resumed == rows_asked // 8 * 8


def feed(pipe: Path, content: bytes) -> None:
    """Write into a named pipe as soon as somebody reads it."""
    os.mkfifo(pipe)
    Thread(target=pipe.write_bytes, args=(content,), daemon=True).start()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are a thing of Unix")
@pytest.mark.parametrize("way", ["a pipe", "stdin"])
def test_rows_that_can_be_read_once_are_answered(
    agent: Agent, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.chdir(tmp_path)  # which the paths of such rows are relative to
    run_batch(agent, rows.name, "whole.jsonl", **QUICK)
    source = Path("-")
    if way == "stdin":
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(rows.read_bytes())))
    else:
        source = tmp_path / "elsewhere" / "pipe"
        source.parent.mkdir()
        feed(source, rows.read_bytes())
    report = run_batch(agent, source, "out.jsonl", **QUICK)
    assert report.rows == 20
    assert Path("out.jsonl").read_bytes() == Path("whole.jsonl").read_bytes()


def test_resuming_what_is_finished_asks_nothing(
    agent: Agent, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.jsonl"
    run_batch(agent, rows, out, **QUICK)
    before = out.read_bytes()
    monkeypatch.setattr(agent, "ask_many", None)
    report = run_batch(agent, rows, out, resume=True, **QUICK)
    assert out.read_bytes() == before
    assert (report.resumed, report.errors) == (20, 5)


def test_resume_without_anything_begins(agent: Agent, rows: Path, tmp_path: Path) -> None:
    report = run_batch(agent, rows, tmp_path / "out.jsonl", resume=True, **QUICK)
    assert report.resumed == 0
    assert len(read(tmp_path / "out.jsonl")) == 20


def test_answers_to_other_rows_are_not_continued(agent: Agent, rows: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    run_batch(agent, rows, out, **QUICK)
    before = out.read_bytes()
    rows.write_text(rows.read_text(encoding="utf-8").replace("can a frog", "can a dog"), encoding="utf-8")
    with pytest.raises(UserError, match=r"made from other rows.*line 3"):
        run_batch(agent, rows, out, resume=True, **QUICK)
    assert out.read_bytes() == before


def test_lines_that_are_no_rows_become_errors_with_their_number(agent: Agent, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    good = b'{"question": "can a frog fly?"}'
    rows.write_bytes(
        b"\xef\xbb\xbf" + b"\n".join([good, b"", b"{oops", b"[1]", b"\xff", b'"x"', b"{}", good])
    )
    report = run_batch(agent, rows, tmp_path / "out.jsonl", **QUICK)
    made = read(tmp_path / "out.jsonl")
    assert [row.get("line") for row in made] == [None, 3, 4, 5, 6, None, None]
    assert ["error" in row for row in made] == [False, True, True, True, True, True, False]
    assert "line 3 is not a row of JSON" in made[1]["error"]
    assert report.errors == 5


def test_shots_for_every_row_stand_beside_its_own(
    agent: Agent, rows: Path, tmp_path: Path, vectors: np.ndarray
) -> None:
    common = [{"vector": vectors[1], "answer": "wug"}]
    run_batch(agent, rows, tmp_path / "out.jsonl", shots=common, max_tokens=6, batch_size=2)
    made = read(tmp_path / "out.jsonl")
    assert (made[1]["answer"], made[4]["answer"]) == ("wug", "dax")


def test_text_that_cannot_be_written_spoils_its_row_alone(agent: Agent, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    odd = [
        {"question": "what is \ud800?"},
        {"question": "which?", "choices": ["red", "\udcff"]},
        {"question": "what?", "shots": [{"question": "that?", "answer": "a \ud800"}]},
        {"question": "what?", "shots": [{"question": "\ud800?", "answer": "dax"}]},
        {"question": "can a frog fly?"},
    ]
    rows.write_text("".join(json.dumps(row) + "\n" for row in odd), encoding="utf-8")
    report = run_batch(agent, rows, tmp_path / "out.jsonl", **QUICK)
    made = read(tmp_path / "out.jsonl")
    assert report.errors == 4
    for row, what in zip(
        made, ("the question", "a choice", "the answer of a shot", "the question of a shot"), strict=False
    ):
        assert row["error"].startswith(f"{what} is no text: it holds '\\ud")
    assert "answer" in made[4]


def test_half_a_surrogate_passes_through(agent: Agent, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"question": "what?", "odd": "\\ud800"}\n', encoding="utf-8")
    run_batch(agent, rows, tmp_path / "out.jsonl", **QUICK)
    assert read(tmp_path / "out.jsonl")[0]["odd"] == "\ud800"


@pytest.mark.parametrize("there", [True, False], ids=["to a file", "to nothing yet"])
def test_a_link_is_written_through(agent: Agent, tmp_path: Path, there: bool) -> None:
    rows, link, target = (
        tmp_path / "rows.jsonl",
        tmp_path / "out.jsonl",
        tmp_path / "elsewhere" / "kept.jsonl",
    )
    rows.write_text('{"question": "can a frog fly?"}\n', encoding="utf-8")
    target.parent.mkdir()
    if there:
        target.write_text("older answers\n", encoding="utf-8")
    link.symlink_to(target)
    run_batch(agent, rows, link, **QUICK)
    assert link.readlink() == target
    assert "answer" in read(target)[0]
    assert [path.name for path in target.parent.iterdir()] == ["kept.jsonl"]
    assert run_batch(agent, rows, link, resume=True, **QUICK).resumed == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are a thing of Unix")
def test_a_pipe_or_device_is_left_as_it_is(agent: Agent, rows: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "circle").symlink_to("circle")
    before = sorted(path.name for path in tmp_path.iterdir())
    for name, says in (("pipe", "is a pipe"), ("link", "is a pipe"), ("circle", "cannot be written")):
        with pytest.raises(UserError, match=f"cannot write the answers: .*{name} {says}"):
            run_batch(agent, rows, tmp_path / name, **QUICK)
    assert (tmp_path / "pipe").is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def wrong_calls(tmp_path: Path, rows: Path) -> Iterator[tuple[Path, Path, dict[str, Any], str]]:
    yield tmp_path / "none.jsonl", tmp_path / "out.jsonl", {}, "no such file"
    yield tmp_path, tmp_path / "out.jsonl", {}, "directory"
    yield rows, tmp_path / "no/out.jsonl", {}, "there is no directory"
    yield rows, tmp_path, {}, "it is a directory"
    yield rows, rows, {}, "would overwrite"
    yield rows, Path("-"), {}, "'-' is no file"
    yield rows, tmp_path / "out.jsonl", {"prompt": "vqq"}, "Did you mean 'vqa'"
    yield rows, tmp_path / "out.jsonl", {"temperature": -1.0}, "temperature"
    yield rows, tmp_path / "out.jsonl", {"shots": tmp_path / "none"}, "cannot read the shots"


def test_what_cannot_begin_leaves_nothing_behind(agent: Agent, rows: Path, tmp_path: Path) -> None:
    before = rows.read_bytes()
    for source, target, options, says in wrong_calls(tmp_path, rows):
        with pytest.raises(UserError) as caught:
            run_batch(agent, source, target, **options)
        assert says in str(caught.value)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "rows.jsonl"]
    assert rows.read_bytes() == before
