"""``mmagent eval``: the verdict on stdout, the report where it is wanted, one line for what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Red and blue pictures with their rows, in the folder in which the command runs."""
    from PIL import Image

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    rows = []
    for at in range(16):
        colour, name = ("red", "blue")[at % 2], f"{at}.png"
        Image.new("RGB", (40, 40), (200, 5 * at, 20) if at % 2 == 0 else (20, 5 * at, 200)).save(
            tmp_path / name
        )
        rows.append({"image": name, "word": colour, "part": "train" if at < 8 else "test"})
    write(tmp_path / "rows.jsonl", rows)
    write(tmp_path / "plain.jsonl", [{"image": row["image"], "label": row["word"]} for row in rows])
    return tmp_path


def write(place, rows):
    place.write_text("".join(json.dumps(row) + "\n" for row in rows))


ROWS = ("--data", "rows.jsonl", "--column", "label=word", "--column", "split=part")


def test_the_verdict_is_on_stdout_and_the_report_where_it_is_wanted(call, here):
    done = call("eval", *ROWS, "--shots", "0,2", "--out", "report")
    assert done.code == 0, done.err
    report = json.loads((here / "report" / "report.json").read_text())
    assert done.out.splitlines() == report["verdict"]
    assert done.err == "mmagent: the report is in report/report.html\n"
    assert [system["name"] for system in report["systems"]] == [
        "the adapter",
        "majority class",
        "nearest class mean",
        "logistic regression",
        "shot memory (training-free)",
        "blind",
        "shuffled",
        "oracle",
        "the adapter with 2 shots",
        "blind with 2 shots",
        "shuffled with 2 shots",
        "oracle with 2 shots",
    ]
    assert report["n"] == 8
    page = (here / "report" / "report.html").read_text()
    assert "tiny on rows.jsonl, split test" in page


def test_the_command_of_a_report_gives_the_same_numbers(call, here):
    options = ("--question", "Which colour?", "--controls", "blind", "--baselines", "majority", "--seed", "4")
    first = call("eval", *ROWS, *options, "--json")
    assert first.code == 0, first.err
    command = json.loads(first.out)["command"]
    assert command[:2] == ["mmagent", "eval"]
    assert "--json" not in command
    assert command[command.index("--dtype") + 1] == json.loads(first.out)["settings"]["core"]["dtype"]
    assert call(*command[1:], "--json").out == first.out


def test_nothing_to_compare_with_is_told(call, here):
    done = call("eval", "--data", "plain.jsonl", "--controls", "none")
    assert done.code == 0
    assert "proves nothing" in done.out
    assert done.err == "mmagent: there are no training rows beside these, so no baseline is compared.\n"


def test_a_trained_bundle_is_measured_and_knows_its_own_rows(call, here, tiny_bundle):
    trained = call(
        "train",
        "--data",
        "plain.jsonl",
        "--bundle",
        tiny_bundle,
        "--out",
        "mine",
        "--epochs",
        1,
        "--validations",
        1,
        "--no-refit",
    )
    assert trained.code == 0, trained.err
    assert "the report is in mine-report" in trained.err
    report = json.loads((here / "mine-report" / "report.json").read_text())
    assert report["verdict"][0].startswith("The adapter ")
    assert "was chosen by 4 of these 4 rows" in report["verdict"][1]
    assert [system["name"] for system in report["systems"]][-1] == "blind"
    assert len(report["systems"]) == 6
    assert report["verdict"][0] in trained.out
    assert not any("fitted once more" in note for note in report["notes"])  # --no-refit
    again = call("eval", *report["command"][2:], "--json")
    assert json.loads(again.out)["systems"] == report["systems"]
    manifest = json.loads((here / "mine" / "bundle.json").read_text())
    kept = manifest["trained"]["split"]["validation"]
    answered = (here / "mine-report" / "answers.jsonl").read_text().splitlines()
    assert [json.loads(line)["source"] for line in answered] == [f"plain.jsonl, line {row}" for row in kept]
    score = report["systems"][0]["scores"]["exact match"]["value"]
    assert score == pytest.approx(manifest["scores"]["validation"], abs=1e-3)


def test_a_report_has_its_place_before_training_begins(call, here, tiny_bundle):
    (here / "mine-report").mkdir()
    (here / "mine-report" / "thesis.tex").write_text("mine")
    done = call("train", "--data", "plain.jsonl", "--bundle", tiny_bundle, "--out", "mine")
    assert done.code == 2
    assert "thesis.tex" in done.err
    assert not (here / "mine").exists()


CASES = {
    "no data": ([], ["--data", "mmagent eval --help"]),
    "nothing there": (["--data", "rwos.jsonl"], ["rwos.jsonl", "Did you mean 'rows.jsonl'?"]),
    "no data in it": (["--data", "0.png"], ["0.png is not labelled data", "a PNG picture"]),
    "unknown bundle": ([*ROWS, "--bundle", "tny"], ["no bundle called 'tny'", "Did you mean 'tiny'?"]),
    "unknown split": ([*ROWS, "--split", "tset"], ["no split 'tset'", "train, test"]),
    "unknown column": ([*ROWS[:2], "--column", "label=wrod"], ["no column 'wrod'", "Did you mean 'word'?"]),
    "no column at all": ([*ROWS, "--column", "label"], ["--column 'label'"]),
    "no numbers": ([*ROWS, "--shots", "a few"], ["--shots 'a few'", "--shots 0,1,4"]),
    "less than no shots": ([*ROWS, "--shots", "-1"], ["--shots", "0,1,4"]),
    "too many shots": ([*ROWS, "--shots", "9"], ["8 rows", "9 were asked for"]),
    "no shots there": (["--data", "plain.jsonl", "--shots", "1"], ["train", "is not there"]),
    "unknown control": ([*ROWS, "--controls", "blnd"], ["no control 'blnd'", "Did you mean 'blind'?"]),
    "unknown baseline": ([*ROWS, "--baselines", "knn"], ["no baseline 'knn'", "nearest, logistic, memory"]),
    "unknown judge": ([*ROWS, "--judge", "f1"], ["no judge 'f1'", "exact match"]),
    "place taken": ([*ROWS, "--out", "."], ["left alone"]),
    "place is a file": ([*ROWS, "--out", "0.png"], ["0.png is a file"]),
    "unknown option": ([*ROWS, "--shot", "1"], ["--shot", "--shots"]),
}


@pytest.mark.parametrize("case", CASES)
def test_one_line_that_helps(case, call, here):
    arguments, words = CASES[case]
    done = call("eval", *arguments)
    assert (done.code, done.out) == (2, ""), done.err
    assert done.err.count("\n") == 1
    for word in words:
        assert word in done.err


@pytest.mark.parametrize(
    "arguments",
    [["--data", "rwos.jsonl"], [*ROWS, "--bundle", "tny"], [*ROWS, "--controls", "blnd"]],
    ids=" ".join,
)
def test_what_is_wrong_is_told_before_torch_is_there(here, arguments):
    code = (
        "import sys\nfrom mmagent_cli.app import main\n"
        f"code = main({['eval', *arguments]!r})\n"
        "print('torch' in sys.modules)\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "False\n"), done.stderr


def test_a_core_is_quantised_for_an_evaluation_or_it_is_said_why_not(call, here):
    done = call("eval", *ROWS, "--load-in", "3bit")
    assert done.code == 2
    assert done.err == "mmagent: no core is loaded in '3bit'. There are: 8bit, 4bit. Did you mean '8bit'?\n"
