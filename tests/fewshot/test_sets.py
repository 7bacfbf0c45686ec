"""The few-shot sets: no row of the test in train, words that tell no answers, readable as labelled data."""

from __future__ import annotations

import io
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmagent.data import read_labelled
from mmagent.plugins import load_plugins

SCRIPTS = Path(__file__).resolve().parents[2] / "examples" / "fewshot"
THINGS = ("dog", "cat", "bus", "traffic light")


@pytest.fixture
def sets(monkeypatch):
    """The script, imported from its folder."""
    pytest.importorskip("pyarrow")
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import sets

    return sets


def picture(shade: int) -> dict[str, Any]:
    out = io.BytesIO()
    Image.new("RGB", (16, 16), (shade, 90, 30)).save(out, "PNG")
    return {"bytes": out.getvalue(), "path": f"{shade}.png"}


@pytest.fixture
def data(sets, tmp_path) -> Path:
    """Twelve rows in the form of each source."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def put(rows: list[dict[str, Any]], place: str) -> None:
        (tmp_path / place).parent.mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / place)

    for part, first in (("train", 0), ("dev", 20)):
        rows = []
        for at in range(12):
            thing, n = THINGS[at % 4], 1 + at % 3
            box = {"category": thing, "iscrowd": 0}
            said = ["Something.", "A scene." if at % 5 else "a light in the dark."]
            rows.append({"image": picture(first + at), "captions": said, "objects": [box] * n})
        put(rows, f"coco_mini/{part}.parquet")
    put(
        [
            {
                "image": picture(40 + at // 2),
                "sentence": f"There are {at // 3} boxes.",
                "label": ("true", "false")[at % 2],
                "identifier": f"{at // 2}-{at % 2}",
            }
            for at in range(40)
        ],
        "nlvr/dev.parquet",
    )
    put(
        [
            {"image": picture(100 + at), "label": f"{alphabet} character 1", "alphabet": alphabet}
            for at, alphabet in enumerate(("Greek", "Balinese", "Early_Aramaic"))
        ],
        "omniglot/train.parquet",
    )
    return tmp_path


def test_only_alphabets_that_no_training_saw(sets, data, monkeypatch):
    assert {row["label"].split()[0] for row in sets.omniglot(data)} == {"Balinese", "Early_Aramaic"}
    monkeypatch.syspath_prepend(str(SCRIPTS.parent / "tiny"))
    import pictures

    assert pictures.HELD_OUT_ALPHABETS == sets.HELD_OUT_ALPHABETS


def test_sentences_of_the_test_stand_in_no_shot(sets, data):
    rows = sets.nlvr(data)
    train, test = ([row for row in rows if row["split"] == part] for part in ("train", "test"))
    assert train
    assert test
    for of in (lambda row: row["question"], lambda row: row["image"]["bytes"]):
        assert not {of(row) for row in train} & {of(row) for row in test}
    assert {row["answer"] for row in rows} == {"true", "false"}
    assert all(row["question"].endswith("boxes. True or false?") for row in rows)


def test_the_name_of_a_thing_does_not_tell_whether_it_is_there(sets, data):
    rows = sets.coco_exists(data)
    counts = Counter((row["question"], row["split"], row["answer"]) for row in rows)
    assert {question for question, _, _ in counts} == {f"Is there a {thing}?" for thing in THINGS}
    for question, split, _ in counts:
        assert counts[question, split, "yes"] == counts[question, split, "no"] > 0
    lit = {f"{first + at}.png" for first in (0, 20) for at in range(0, 12, 5)}  # captions name a light
    asked = [row for row in rows if "traffic light" in row["question"] and row["answer"] == "no"]
    assert not {row["image"]["path"] for row in asked} & lit


def test_counts_are_those_of_the_boxes(sets, data):
    shown = {f"{first + at}.png": (THINGS[at % 4], 1 + at % 3) for first in (0, 20) for at in range(12)}
    names = {"dog": "dogs", "cat": "cats", "bus": "buses", "traffic light": "traffic lights"}
    for row in sets.coco_count(data):
        thing, n = shown[row["image"]["path"]]
        assert row["question"] == f"How many {names[thing]} are there?"
        assert row["answer"] == ("one", "two", "three")[n - 1]


def test_a_caption_of_another_picture_is_a_no(sets, data):
    rows = sets.coco_captions(data)
    assert Counter(row["answer"] for row in rows) == {"yes": 24, "no": 24}
    assert all(row["question"].startswith("Does this describe the picture: ") for row in rows)


@pytest.mark.parametrize(
    "name", ["omniglot", "nlvr", "nlvr-choices", "coco-exists", "coco-count", "coco-captions"]
)
def test_a_set_is_labelled_data(sets, data, name):
    rows = sets.SETS[name](data)
    assert rows == sets.SETS[name](data)
    labelled = read_labelled(sets.write(rows, data / "made" / f"{name}.parquet"), load_plugins().modalities)
    assert labelled.problems == ()
    assert len(labelled) == len(rows)
    assert labelled.is_classes is (name == "omniglot")
    assert set(labelled.splits) == (set() if name == "omniglot" else {"train", "test"})


def test_one_command_prints_the_table(shared_data, tmp_path):
    out = tmp_path / "table.json"
    words = ["--data", shared_data, "--seeds", 0, "--limit", 6, "--only", "coco-count", "--out", out]
    done = subprocess.run(
        [sys.executable, SCRIPTS / "table.py", *map(str, words)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split(" | ") for line in done.stdout.splitlines()]
    assert [line[1] for line in lines[2:]] == [
        "no shots",
        "1 shot, random",
        "4 shots, random",
        "1 shot, nearest",
        "4 shots, nearest",
    ]
    for word in ("majority class", "blind", "shuffled"):
        assert word in done.stdout
    assert out.is_file()
