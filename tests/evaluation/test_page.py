"""The report on disk: verdict first, every number that of the JSON, whole or not at all."""

from __future__ import annotations

import json
import re
import sys
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from mmagent.errors import UserError
from mmagent.evaluation import Evaluation, Result, Run, judged, page, write_report
from mmagent.evaluation.worst import Shown

VOID = {"meta", "img", "source", "br"}
ODD = 'a <b>&amp;</b> "quoted" one.png'


def result(name: str, got: str, sure: float = 0.75, **more: Any) -> Result:
    """Eight rows of three classes; `got` has a letter for each answer."""
    words = {"r": "red", "g": "green", "b": "blue", "x": "<i>none</i>"}
    wanted = ["red", "green", "blue", "red"] * 2
    rows = tuple(
        judged("Which colour?", [right], words[said], confidence=sure - at / 50, source=f"{at} {ODD}", **more)
        for at, (right, said) in enumerate(zip(wanted, got, strict=True))
    )
    return Result(name, rows, labels=("blue", "green", "red"))


def picture() -> bytes:
    out = BytesIO()
    Image.new("RGB", (9, 7), "red").save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def evaluation() -> Evaluation:
    adapter = result("the adapter", "rgbrrgxb", logprob=-1.25, tokens=2)
    blind = result("blind", "rrrrrrrr", logprob=-2.5, tokens=2)
    four = result("the adapter with 4 shots", "rgbrrgbr")
    run = Run(0, (), "Picture:<image: 2 tokens>\nQuestion: <?>", "red", adapter, {"blind": blind})
    shots = Run(4, ("train, row 1", "train, row 2"), "Picture: ...", "red", four, {})
    settings = {
        "data": {"source": "flowers/", "split": "test", "columns": {"image": "image"}},
        "bundle": {"name": "tiny", "sha256": "ab" * 32},
        "asked": {"resamples": 200, "seed": 3, "shots": [0, 4], "controls": []},
    }
    shown = tuple(Shown(row, (picture(),), ("a sound of 2 s",)) for row in adapter.worst())
    return Evaluation(
        (run, shots),
        (result("majority class", "rrrrrrrr", 0.5),),
        ("it was trained on these.",),
        ("a note.",),
        settings,
        ("mmagent", "eval", "--data", "my flowers/"),
        shown,
    )


class Page(HTMLParser):
    """A page, read strictly: what is open must be closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[tuple[str, ...], str]] = []
        self.cells: list[tuple[str, str]] = []
        """(data-value, text) of every element that tells a number."""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.append((tag, given))
        if "data-value" in given:
            self.cells.append((given["data-value"], ""))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if text := " ".join(data.split()):
            self.texts.append((tuple(self.open), text))
            if self.cells and not self.cells[-1][1]:
                self.cells[-1] = (self.cells[-1][0], text)

    def said(self, *tags: str) -> list[str]:
        """Texts directly inside these tags."""
        return [text for inside, text in self.texts if inside and inside[-1] in tags]


def numbers(data: Any) -> Iterator[float]:
    if isinstance(data, dict):
        data = list(data.values())
    if isinstance(data, list):
        for one in data:
            yield from numbers(one)
    elif isinstance(data, int | float) and not isinstance(data, bool):
        yield float(data)


def read(folder: Any) -> tuple[Page, dict[str, Any]]:
    text = (folder / "report.html").read_text(encoding="utf-8")
    return Page(text), json.loads((folder / "report.json").read_text(encoding="utf-8"))


def test_the_verdict_comes_first_and_what_makes_it_worth_less_after_it(evaluation, tmp_path):
    write_report(evaluation, tmp_path / "report")
    shown, report = read(tmp_path / "report")
    assert shown.said("p")[: len(report["verdict"])] == report["verdict"]
    assert report["verdict"][0].startswith("The adapter does not beat majority class and its blind control")
    assert report["verdict"][1] == "it was trained on these."
    kinds = [given["class"] for tag, given in shown.tags if tag == "p" and "class" in given]
    assert kinds[:2] == ["verdict", "warning"]
    assert report["verdict"][-1].startswith("The adapter with 4 shots does not beat majority class")
    assert report["verdict"] == evaluation.lines
    assert "Note: a note." in shown.said("p")


def test_every_number_of_the_page_is_one_of_the_json(evaluation, tmp_path):
    write_report(evaluation, tmp_path / "report")
    shown, report = read(tmp_path / "report")
    known = set(numbers(report))
    told = [value for value, _ in shown.cells if value]
    assert len(told) > 50
    assert {value for value in told if float(value) not in known} == set()
    # ... and the words beside it are that number: the whole table of scores, cell by cell
    cells = iter(shown.cells)
    for system in report["systems"]:
        for name in ("exact match", "ahead", "macro-F1", "ECE", "Brier score", "perplexity"):
            if name == "ahead" and system["ahead"]:
                value, text = next(cells)
                assert float(value) == system["ahead"]["value"]
                assert float(text) == pytest.approx(100 * float(value), abs=0.06)
                assert float(next(cells)[0]) == system["ahead"]["p"]
            if name in system["scores"]:
                value, text = next(cells)
                one = system["scores"][name]["value"]
                assert float(value) == one
                told_as = 100 * one if "match" in name or "F1" in name else one
                assert float(text) == pytest.approx(told_as, abs=0.06)


def test_the_numbers_follow_from_the_answers(evaluation, tmp_path):
    write_report(evaluation, tmp_path / "report")
    _, report = read(tmp_path / "report")
    lines = (tmp_path / "report" / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == report["n"] == 8
    for system in report["systems"]:
        right = [row["answers"][system["name"]]["correct"] for row in rows]
        assert system["scores"]["exact match"]["value"] == pytest.approx(sum(right) / len(right))
    assert rows[6]["answers"]["the adapter"]["got"] == "<i>none</i>"
    assert report["confused"] == [
        {"wanted": "blue", "got": "<i>none</i>", "n": 1},
        {"wanted": "red", "got": "blue", "n": 1},
    ]
    assert sum(map(sum, report["confusion"]["counts"])) == 8


def test_it_needs_no_network_and_no_script(evaluation, tmp_path):
    text = write_report(evaluation, tmp_path / "report").read_text(encoding="utf-8")
    shown = Page(text)
    assert not {"script", "link", "iframe", "a", "object"} & {tag for tag, _ in shown.tags}
    named = [given[key] for _, given in shown.tags for key in ("src", "srcset", "href") if key in given]
    assert named
    assert all(one.startswith("data:image/png;base64,") for one in named)
    outside_data = re.sub(r"data:image/png;base64,[\w+/=]+", "", text)
    assert "://" not in outside_data
    assert "url(" not in outside_data
    assert "@import" not in outside_data
    assert "prefers-color-scheme: dark" in text


def test_text_of_the_data_is_shown_and_not_obeyed(evaluation, tmp_path):
    write_report(evaluation, tmp_path / "report")
    shown, _ = read(tmp_path / "report")
    said = shown.said("p", "b", "pre")
    assert "<i>none</i>" in said
    assert f"6 {ODD}" in said
    assert any("Question: <?>" in text for text in said)
    assert "mmagent eval --data 'my flowers/'" in said


def test_mistakes_have_their_pictures_and_words(evaluation, tmp_path):
    write_report(evaluation, tmp_path / "report")
    shown, report = read(tmp_path / "report")
    small = [given["src"] for tag, given in shown.tags if tag == "img" and given["alt"] in ("red", "blue")]
    assert len(small) == len(report["worst"]) == 2
    image = Image.open(BytesIO(b64decode(small[0].partition(",")[2])))
    assert image.size == (9, 7)
    assert shown.said("p").count("a sound of 2 s") == 2


def test_the_same_evaluation_gives_the_same_bytes_but_for_one_line(evaluation, tmp_path, monkeypatch):
    for name, hour in (("one", 1), ("two", 2)):
        monkeypatch.setattr(page.time, "gmtime", lambda hour=hour: (2026, 1, 1, hour, 0, 0, 3, 1, 0))
        write_report(replace(evaluation), tmp_path / name)
    names = sorted(file.name for file in (tmp_path / "one").iterdir())
    assert names == [
        "answers.jsonl",
        "confusion.png",
        "reliability.png",
        "report.html",
        "report.json",
        "scores.png",
    ]
    for name in names:
        first, second = ((tmp_path / folder / name).read_bytes() for folder in ("one", "two"))
        differing = [
            pair for pair in zip(first.splitlines(), second.splitlines(), strict=True) if pair[0] != pair[1]
        ]
        assert len(differing) == (1 if name == "report.html" else 0)
        assert all(b"Written 2026-01-01" in line for pair in differing for line in pair)


def test_plots_are_pictures_for_light_and_dark(evaluation, tmp_path):
    write_report(evaluation, tmp_path / "report")
    shown, _ = read(tmp_path / "report")
    dark = [given["srcset"] for tag, given in shown.tags if tag == "source"]
    light = [given["src"] for tag, given in shown.tags if tag == "img" and given["src"] not in dark][:1]
    assert len(dark) == 3
    corner = [
        Image.open(BytesIO(b64decode(one.partition(",")[2]))).convert("L").getpixel((1, 1))
        for one in (light[0], dark[0])
    ]
    assert corner[0] > 200
    assert corner[1] < 60


def test_words_that_are_no_common_knowledge_are_explained(evaluation, tmp_path):
    write_report(evaluation, tmp_path / "report")
    shown, _ = read(tmp_path / "report")
    (scores,) = [text for text in shown.said("p") if "95 % intervals. Ahead:" in text]
    assert all(word in scores for word in ("ECE: how far", "Brier score: their mean", "Perplexity is"))
    assert any("(other): none of the classes" in text for text in shown.said("figcaption"))


def test_without_matplotlib_there_are_tables_and_what_to_install(evaluation, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    write_report(evaluation, tmp_path / "report")
    shown, report = read(tmp_path / "report")
    assert not list((tmp_path / "report").glob("*.png"))
    assert any("pip install 'mmagent[train]'" in text for text in shown.said("p"))
    outside = [text for inside, text in shown.texts if "details" not in inside and "table" in inside]
    assert "mean confidence" in outside
    assert "(other)" in outside
    assert len([tag for tag, _ in shown.tags if tag == "img"]) == len(report["worst"])


def test_an_endless_perplexity_is_told_in_words(evaluation, tmp_path):
    row = replace(evaluation.main.adapter.rows[0], logprob=-1e6, tokens=1)
    rows = (row, *evaluation.main.adapter.rows[1:])
    run = replace(evaluation.main, adapter=replace(evaluation.main.adapter, rows=rows))
    write_report(replace(evaluation, runs=(run,)), tmp_path / "report")
    shown, report = read(tmp_path / "report")
    assert report["systems"][0]["scores"]["perplexity"]["value"] is None
    assert "infinite" in shown.said("td")


def test_a_report_replaces_a_report(evaluation, tmp_path, monkeypatch):
    write_report(evaluation, tmp_path / "report")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "matplotlib", None)
        write_report(evaluation, tmp_path / "report")
    assert sorted(file.name for file in (tmp_path / "report").iterdir()) == [
        "answers.jsonl",
        "report.html",
        "report.json",
    ]


@pytest.mark.parametrize("name", ["thesis.tex", "report.html", ".git"])
def test_a_folder_that_is_no_report_is_left_alone(evaluation, tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match="left alone"):
        write_report(evaluation, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_a_report_beside_something_else_is_left_alone(evaluation, tmp_path):
    write_report(evaluation, tmp_path / "report")
    (tmp_path / "report" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"notes\.txt"):
        write_report(evaluation, tmp_path / "report")
    assert (tmp_path / "report" / "notes.txt").read_text() == "mine"


def test_a_file_is_no_place_for_a_report(evaluation, tmp_path):
    (tmp_path / "x").write_text("mine")
    with pytest.raises(UserError, match="is a file"):
        write_report(evaluation, tmp_path / "x")


def test_a_report_that_fails_leaves_the_one_before(evaluation, tmp_path, monkeypatch):
    write_report(evaluation, tmp_path / "report")
    before = (tmp_path / "report" / "report.json").read_bytes()

    def fail(*given: object) -> str:
        raise RuntimeError("no page")

    monkeypatch.setattr(page, "render_page", fail)
    with pytest.raises(RuntimeError, match="no page"):
        write_report(replace(evaluation, warnings=()), tmp_path / "report")
    assert (tmp_path / "report" / "report.json").read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["report"]
