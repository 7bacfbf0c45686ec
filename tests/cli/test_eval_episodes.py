"""``mmagent eval --episodes``: a table on stdout, a report, and one line for what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Pictures of two colours in class folders, and rows with different questions."""
    from PIL import Image

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for colour in ("red", "blue"):
        (tmp_path / "data" / colour).mkdir(parents=True)
        for at in range(4):
            shade = (200, 9 * at, 20) if colour == "red" else (20, 9 * at, 200)
            Image.new("RGB", (40, 40), shade).save(tmp_path / "data" / colour / f"{at}.png")
    rows = [
        {"image": f"data/red/{at}.png", "question": f"How many of {at}?", "answer": str(at)} for at in (1, 2)
    ]
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


DATA = ("--data", "data")
EPISODES = (*DATA, "--episodes", "ways=2,shots=1,2", "--count", "3", "--controls", "blind")


def test_a_table_and_a_report(call, here):
    done = call("eval", *EPISODES, "--induction", "--memory", "both", "--out", "report")
    assert done.code == 0, done.err
    assert done.err == "mmagent: the report is in report/report.html\n"
    lines = done.out.splitlines()
    report = json.loads((here / "report" / "report.json").read_text())
    head = lines.index("") + 1
    assert lines[: head - 1] == report["headline"]
    for word in ("setting", "right", "95 %", "any name", "blind", "chance", "nearest shot mean"):
        assert word in lines[head]
    assert [line.split()[1] for line in lines[head + 1 :]] == ["1-shot", "1-shot", "2-shot", "2-shot"]
    for line, row in zip(lines[head + 1 :], report["rows"], strict=True):
        assert f"{100 * row['score']['value']:.1f}" in line
    assert report["settings"]["asked"]["induction"] is True
    assert {file.name for file in (here / "report").iterdir()} == {
        "report.html",
        "report.json",
        "answers.jsonl",
        "episodes.png",
    }
    page = (here / "report" / "report.html").read_text()
    assert "tiny: few-shot episodes of data" in page
    assert "Answer with " in page
    assert page.count('src="data:image/png;base64,') == 1 + 4 + 1  # the plot, four shots, the query
    answers = [json.loads(line) for line in (here / "report" / "answers.jsonl").read_text().splitlines()]
    assert len(answers) == 4 * 3 * 2
    row = report["rows"][0]
    assert answers[0]["prompt_sha256"] == row["prompts_sha256"][0][0]
    assert row["prompt"].startswith("Answer with ")
    again = call("eval", *EPISODES, "--out", "report")  # an earlier report is replaced
    assert again.code == 0, again.err


def test_the_command_in_the_report_gives_the_same_again(call, here):
    first = call("eval", *EPISODES, "--names", "real", "--induction", "--seed", "5", "--json")
    assert first.code == 0, first.err
    report = json.loads(first.out)
    command = report["command"]
    assert "--induction" in command
    assert "--shots" not in command
    assert call(*command[1:], "--json").out == first.out
    assert set(report["rows"][0]["target"].split()) <= {"red", "blue"}
    assert call("eval", *EPISODES, "--names", "real", "--induction", "--json").out != first.out


def test_shots_may_be_near(call, here):
    done = call("eval", *EPISODES, "--shot-choice", "nearest", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["settings"]["asked"]["shot_choice"] == "nearest"


CASES = {
    "no number": ([*DATA, "--episodes", "ways=2"], ["how many shots", "ways=2,shots=1,3,5"]),
    "unknown name": ([*DATA, "--episodes", "ways=2,shot=1"], ["no 'shot'", "Did you mean 'shots'?"]),
    "too many ways": ([*DATA, "--episodes", "ways=3,shots=1"], ["3-way", "of 2 classes 2"]),
    "too many shots": ([*DATA, "--episodes", "ways=2,shots=4"], ["at least 5 rows each"]),
    "no classes": (["--data", "asked.jsonl", "--episodes", "ways=2,shots=1"], ["to different questions"]),
    "other names": ([*EPISODES, "--names", "rael"], ["no names 'rael'", "Did you mean 'real'?"]),
    "other control": ([*EPISODES[:4], "--controls", "blnd"], ["no control 'blnd'"]),
    "shots twice": ([*EPISODES, "--shots", "1"], ["--shots means nothing", "Leave it away"]),
    "baselines": ([*EPISODES, "--baselines", "majority"], ["--baselines means nothing"]),
    "one episode": ([*EPISODES[:4], "--count", "1"], ["at least 2"]),
    "place taken": ([*EPISODES, "--out", "data"], ["left alone"]),
    "induction alone": ([*DATA, "--induction"], ["--induction is for few-shot episodes"]),
    "count alone": ([*DATA, "--count", "9"], ["--count is for few-shot episodes"]),
    "both alone": ([*DATA, "--memory", "both"], ["--memory both is for few-shot episodes"]),
    "names alone": ([*DATA, "--names", "invented"], ["--names invented is for few-shot episodes"]),
}


@pytest.mark.parametrize("case", CASES)
def test_one_line_that_helps(case, call, here):
    arguments, words = CASES[case]
    done = call("eval", *arguments)
    assert (done.code, done.out) == (2, ""), done.err
    assert done.err.count("\n") == 1
    for word in words:
        assert word in done.err


def test_a_wrong_setting_is_told_before_torch_is_there(here):
    code = (
        "import sys\nfrom mmagent_cli.app import main\n"
        f"code = main({['eval', *DATA, '--episodes', 'ways=2']!r})\n"
        "print('torch' in sys.modules)\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "False\n"), done.stderr
