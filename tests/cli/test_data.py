"""``mmagent data check``: how data are read, and one line for each reason to refuse them."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest


@pytest.fixture
def here(tmp_path, monkeypatch, pictures):
    """A folder with pictures and four good rows, in which the command runs."""
    import shutil

    for picture in pictures.iterdir():
        shutil.copy(picture, tmp_path)
    monkeypatch.chdir(tmp_path)
    write(tmp_path, good())
    return tmp_path


def good():
    return [
        {"image": f"{name}", "label": name.partition(".")[0]} for name in ("red.png", "blue.png", "green.jpg")
    ]


def write(here, rows):
    (here / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_sound_set(call, here, tiny_bundle):
    done = call("data", "check", "rows.jsonl", "--bundle", tiny_bundle)
    assert (done.code, done.err) == (0, "")
    for words in (
        "rows.jsonl: json lines, 3 rows",
        "no split",
        "<image: 2 tokens>",
        "> red",
        "longest prompt of random with its answer",
    ):
        assert words in done.out


def test_it_says_how_long_training_would_take(call, here, tiny_bundle):
    from PIL import Image

    for at in range(40):
        Image.new("RGB", (9 + at, 9), "red").save(here / f"{at}.png")
    write(here, [{"image": f"{at}.png", "label": ("red", "blue")[at % 2]} for at in range(40)])
    done = call("data", "check", "rows.jsonl", "--bundle", tiny_bundle)
    assert done.code == 0, done.err
    assert "time to encode: about 1 s for 40 media" in done.out
    assert "30 epochs of 32 rows and 20 validations of 8" in done.out
    assert re.search(r"- memory: \d+ MB core .* about \d+ MB more than now; .*B are free\n", done.out)


def test_data_of_which_no_split_can_be_drawn_say_so_instead_of_an_estimate(call, here, tiny_bundle):
    done = call("data", "check", "rows.jsonl", "--bundle", tiny_bundle)
    assert "estimate:\n  - none: no validation split can be drawn from rows.jsonl" in done.out


def test_as_json(call, here):
    found = json.loads(call("data", "check", "rows.jsonl", "--quick", "--json").out)
    assert (found["clean"], found["rows"], found["opened"], found["prompts"]) == (True, 3, False, None)


def test_columns_and_a_question_are_taken_as_said(call, here, tiny_bundle):
    write(here, [{"img": row["image"], "word": row["label"], "part": "train"} for row in good()])
    told = ["--column", "label=word", "--split-column", "part", "--question", "Which colour?"]
    done = call("data", "check", "rows.jsonl", "--bundle", tiny_bundle, *told)
    assert done.code == 0, done.err
    assert "Question: Which colour?" in done.out
    assert "train" in done.out


def test_reasons_to_refuse_stand_one_by_one_and_are_counted(call, here):
    write(here, [*good(), *({"image": f"no{at}.png", "label": "x"} for at in range(30))])
    done = call("data", "check", "rows.jsonl", "--quick")
    assert done.code == 2
    lines = done.err.splitlines()
    assert lines[0] == "mmagent: line 4: there is no file no0.png."
    assert lines[-1] == "mmagent: and 10 more like these."
    assert len(lines) == 21
    assert "3 rows to learn from" in done.out


CASES = {
    "nothing there": (["rwos.jsonl"], ["rwos.jsonl", "Did you mean 'rows.jsonl'?"]),
    "no data": (["red.png"], ["red.png is not labelled data", "a PNG picture"]),
    "no such column": (["rows.jsonl", "--column", "question=ask"], ["no column 'ask'", "image, label"]),
    "no such meaning": (["rows.jsonl", "--column", "labell=label"], ["'labell'", "Did you mean 'label'?"]),
    "no column at all": (["rows.jsonl", "--column", "label"], ["--column 'label'", "question=prompt_text"]),
    "a column twice": (["rows.jsonl", "--column", "label=label", "--column", "label=image"], ["two columns"]),
    "unknown bundle": (["rows.jsonl", "--bundle", "tny"], ["no bundle called 'tny'"]),
    "no names": (["rows.jsonl", "--names", "no.txt"], ["no.txt"]),
    "no path": ([], ["PATH", "mmagent data --help"]),
    "unknown option": (["rows.jsonl", "--quik"], ["--quik", "--quick"]),
}


@pytest.mark.parametrize("case", CASES)
def test_one_line_that_helps(case, call, here):
    arguments, words = CASES[case]
    done = call("data", "check", *arguments)
    assert (done.code, done.out) == (2, ""), done.err
    assert done.err.count("\n") == 1
    for word in words:
        assert word in done.err


def test_without_a_command_says_what_there_is(call):
    done = call("data")
    assert done.code == 0
    assert "check" in done.out


def test_a_quick_look_imports_no_torch(here):
    code = (
        "import sys\nfrom mmagent_cli.app import main\n"
        "code = main(['data', 'check', 'rows.jsonl', '--quick'])\n"
        "heavy = {'torch', 'transformers', 'datasets', 'pyarrow'} & set(sys.modules)\n"
        "print(*sorted(heavy), file=sys.stderr)\n"
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr.split()) == (0, [])
