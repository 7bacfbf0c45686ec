"""`mmagent eval` on several senses: what is lost without some of them, and what fewer are worth."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmagent.evaluation.missing import curve, subsets

Call = Callable[..., tuple[int, str, str]]
BOTH = ("smell", "tone")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, write_rows: Any) -> tuple[Path, Path]:
    """A bundle of two senses, and rows of which a few lack one."""
    from mmagent_cli.app import main

    folder = tmp_path_factory.mktemp("missing")
    train = write_rows(folder, BOTH, 90, noise=0.9)
    out = folder / "two"
    few = ("--epochs", 3, "--validations", 1, "--dtype", "float32")
    assert main([*map(str, ("train", "--data", train, "--out", out, *few))]) == 0
    return out, write_rows(folder, BOTH, 60, noise=0.9, missing=0.1, seed=5)


def test_the_report_tells_what_each_sense_is_worth(
    call: Call, two: tuple[Path, Path], tmp_path: Path
) -> None:
    out, rows = two
    report = tmp_path / "report"
    code, said, err = call(
        "eval", "--data", rows, "--bundle", out, "--baselines", "logistic", "--out", report
    )
    assert code == 0, err
    assert "Without tone (smell alone)" in said
    assert "Without smell (tone alone)" in said
    told = json.loads((report / "report.json").read_text())
    kinds = {one["name"]: one["kind"] for one in told["systems"]}
    assert kinds["smell alone"] == kinds["tone alone"] == "missing"
    scores = {one["name"]: one["scores"]["exact match"]["value"] for one in told["systems"]}
    points = told["missing"]
    assert points[0]["score"] == pytest.approx(scores["the adapter"])
    assert points[-1]["score"] == pytest.approx(scores["blind"])
    half = (scores["the adapter"] + scores["smell alone"] + scores["tone alone"] + scores["blind"]) / 4
    assert points[5]["score"] == pytest.approx(half)
    assert "What is left when senses are missing" in (report / "report.html").read_text()
    assert (report / "missing.png").is_file()
    told_twice = call("eval", "--data", rows, "--bundle", out, "--baselines", "none", "--out", report)
    assert told_twice[0] == 0, told_twice[2]  # a report with this plot is replaced like any other


def test_senses_can_be_left_out_of_everything(call: Call, two: tuple[Path, Path]) -> None:
    out, rows = two
    asked = ("eval", "--data", rows, "--bundle", out, "--baselines", "none", "--controls", "none", "--json")
    code, whole, err = call(*asked)
    assert code == 0, err
    code, part, err = call(*asked, "--senses", "tone")
    assert code == 0, err
    one, other = json.loads(whole), json.loads(part)
    alone = next(system for system in one["systems"] if system["name"] == "tone alone")
    assert other["systems"][0]["scores"]["exact match"] == alone["scores"]["exact match"]
    assert [system["name"] for system in other["systems"]] == ["the adapter"]
    assert other["settings"]["asked"]["senses"] == ["tone"]
    assert any("have no tone: asked without media" in note for note in other["notes"])
    assert "<smell" not in other["runs"][0]["prompt"]


@pytest.mark.parametrize(
    ("given", "said"),
    [("tones", "the data have no 'tones'"), ("none", "name the senses"), ("image", "have no")],
)
def test_a_sense_that_the_data_lack_is_one_line(
    call: Call, two: tuple[Path, Path], given: str, said: str
) -> None:
    code, _, err = call("eval", "--data", two[1], "--bundle", two[0], "--senses", given)
    assert code == 2
    assert said in err
    assert len(err.strip().splitlines()) == 1


def test_the_check_and_the_training_say_which_senses_there_are(
    call: Call, two: tuple[Path, Path], write_rows: Any, tmp_path: Path
) -> None:
    rows = write_rows(tmp_path, BOTH, 24, missing=0.4)
    given = [json.loads(line) for line in rows.read_text().splitlines()]
    n = {name: sum(name in row for row in given) for name in BOTH}
    both = sum(all(name in row for name in BOTH) for row in given)
    assert both < min(n.values())
    code, said, err = call("data", "check", rows)
    assert code == 0, err
    assert f"rows that have smell {n['smell']}, tone {n['tone']}, all of them {both}" in said
    few = ("--epochs", 1, "--validations", 1, "--dtype", "float32", "--encoder", "tone=other")
    code, said, err = call("train", "--data", rows, "--out", tmp_path / "out", *few)
    assert code == 0, err
    assert "sense   smell  new to tiny, adapter concepts, encoder builtin" in said
    assert "sense   tone  new to tiny, adapter concepts, encoder other" in said
    code, said, err = call("bundles", "show", tmp_path / "out")
    assert code == 0, err
    assert "`concepts` adapter for smell and a `concepts` adapter for tone" in said


def test_choices_of_senses() -> None:
    assert subsets(["a"]) == []
    assert subsets(["b", "a"]) == [("a",), ("b",)]
    assert len(subsets("abc")) == 6
    assert subsets("abcd") == [
        ("a",),
        ("b",),
        ("c",),
        ("d",),
        *[tuple(x for x in "abcd" if x != y) for y in "dcba"],
    ]


def test_the_curve_needs_every_choice() -> None:
    scores: dict[tuple[str, ...], float] = {("a",): 0.6, ("b",): 0.8, ("a", "b"): 0.9}
    assert curve(["a", "b"], scores) == []
    found = curve(["a", "b"], {**scores, (): 0.1}, shares=(0.0, 0.25, 1.0))
    assert [point["score"] for point in found] == pytest.approx(
        [0.9, 0.5625 * 0.9 + 0.1875 * 0.6 + 0.1875 * 0.8 + 0.0625 * 0.1, 0.1]
    )


def test_a_memory_of_two_senses_is_refused_before_anything_is_done(
    call: Call, two: tuple[Path, Path], tmp_path: Path
) -> None:
    for family in ("memory", "auto+memory"):
        code, _, err = call("train", "--data", two[1], "--out", tmp_path / "out", "--adapter", family)
        assert code == 2
        assert "one modality is remembered at a time" in err
        assert not (tmp_path / "out").exists()


def test_an_encoder_must_say_whose_it_is(call: Call, two: tuple[Path, Path], tmp_path: Path) -> None:
    train = ("train", "--data", two[1], "--out", tmp_path / "out")
    for given, said in (
        (("--encoder", "other"), "whose encoder is 'other'?"),
        (("--encoder", "tone=other", "--encoder", "other"), "each is for a sense of its own"),
        (("--encoder", "image=other"), "an encoder is given for 'image'"),
    ):
        code, _, err = call(*train, *given)
        assert code == 2, given
        assert said in err
    few = ("--epochs", 1, "--validations", 1, "--dtype", "float32")
    code, _, err = call(*train, "--encoder", "tone=other", *few)
    assert code == 0, err
    told = json.loads((tmp_path / "out" / "bundle.json").read_text())["senses"]
    assert (told["tone"]["encoder"], told["smell"]["encoder"]) == ("other", "builtin")
