"""What a person can get wrong when training ends in one line that helps, exit code 2, and nothing lost.

Each case makes its input in the folder the command runs in and returns the arguments; the words are what the
line must at least hold.
"""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import mmagent.bundle
from mmagent.bundle import Bundle
from mmagent.files import sha256_of
from mmagent.tensors import read_tensors, write_tensors
from mmagent.training import checkpoint

COLOURS = ("red", "blue")
FEW = ["--epochs", "2", "--validations", "2", "--patience", "0", "--batch-size", "4", "--dtype", "float32"]
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def here(tmp_path, monkeypatch, tiny_bundle) -> Path:
    """A folder with sixteen labelled pictures, in which the command runs, and a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    place = tmp_path / "here"
    place.mkdir()
    shutil.copytree(tiny_bundle, place / "random")
    for at in range(16):
        Image.new("RGB", (20, 20 + at), COLOURS[at % 2]).save(place / f"{at}.png")
    write(place, rows())
    monkeypatch.chdir(place)
    return place


def rows() -> list[dict[str, Any]]:
    return [{"image": f"{at}.png", "label": COLOURS[at % 2]} for at in range(16)]


def write(place: Path, rows: list[dict[str, Any]]) -> None:
    with (place / "rows.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def train(call: Any, *arguments: object, data: str = "rows.csv", out: str = "out") -> Any:
    return call("train", "--data", data, "--bundle", "./random", "--out", out, *FEW, *arguments)


def contents(place: Path) -> dict[str, str]:
    """Every file below a folder, by its sha256."""
    return {str(path.relative_to(place)): sha256_of(path) for path in place.rglob("*") if path.is_file()}


def nothing(here):
    return []


def empty_table(here):
    (here / "rows.csv").write_text("image,label\n")
    return []


def empty_folder(here):
    (here / "none").mkdir()
    return ["--data", "none"]


def one_class(here):
    write(here, [{**row, "label": "red"} for row in rows()])
    return []


def class_missing_in_a_split(here):
    splits = ["train"] * 12 + ["val"] * 4
    write(
        here,
        [
            {**row, "split": split}
            for row, split in zip(rows(), splits, strict=True)
            if row["label"] == "red" or split == "train"
        ],
    )
    return []


def label_missing(here):
    write(here, [{**row, "label": "" if at in (3, 9) else row["label"]} for at, row in enumerate(rows())])
    return []


def split_missing(here):
    write(here, [{**row, "split": "" if at == 7 else "train"} for at, row in enumerate(rows())])
    return []


def unreadable_in_the_middle(here):
    (here / "5.png").write_bytes((here / "5.png").read_bytes()[:40])
    (here / "9.png").write_text("Dear Sir or Madam,\n")
    return []


def copies_across_splits(here):
    shutil.copy(here / "0.png", here / "15.png")
    write(
        here,
        [
            {**row, "split": "train" if at < 10 else "val", "label": "red" if at == 15 else row["label"]}
            for at, row in enumerate(rows())
        ],
    )
    return []


def long_prompt(here):
    write(here, [{**row, "question": "why " * (900 if at in (4, 9) else 1)} for at, row in enumerate(rows())])
    return []


def out_not_empty(here):
    (here / "out").mkdir()
    (here / "out" / "mine.txt").write_text("keep")
    return []


def out_is_a_file(here):
    (here / "out").write_text("keep")
    return []


def report_not_empty(here):
    (here / "out-report").mkdir()
    (here / "out-report" / "mine.txt").write_text("keep")
    return []


def damaged_core(here):
    file = here / "random" / "core" / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    return []


def adapter_of_another_core(here):
    """The adapter of the bundle makes prefixes of another width than its core reads."""
    raw = json.loads((here / "random" / "bundle.json").read_text())
    config = json.loads((here / "random" / "core" / "config.json").read_text())
    parts: dict[str, Any] = {"core": here / "random" / "core", "image/encoder": here / "random/image/encoder"}
    weights = read_tensors(here / "random" / "image" / "adapter.safetensors")
    wide = {name: torch.cat([tensor, tensor]) for name, tensor in weights.items()}
    assert config["hidden_size"] * 4 == len(wide["linear.bias"])
    manifest = {key: value for key, value in raw.items() if key not in ("format", "files")}
    Bundle.write(here / "wide", manifest, {**parts, "image/adapter.safetensors": wide}, card="# wide\n")
    return ["--bundle", "./wide"]


# What makes the case, and the words that its line must hold.
CASES = {
    "unknown column": (lambda here: ["--column", "question=ask"], ["no column 'ask'", "image, label"]),
    "no such meaning": (lambda here: ["--column", "labell=label"], ["'labell'", "'label'"]),
    "a meaning given twice": (
        lambda here: ["--column", "answer=label", "--column", "answer=image"],
        ["the answer is given two columns, label and image"],
    ),
    "nothing there": (lambda here: ["--data", "rwos.csv"], ["rwos.csv", "'rows.csv'"]),
    "empty table": (empty_table, ["rows.csv", "no rows"]),
    "empty folder": (empty_folder, ["none"]),
    "one class only": (one_class, ["'red'", "one class"]),
    "a class missing in a split": (class_missing_in_a_split, ["split validation", "blue"]),
    "labels missing": (label_missing, ["line 5", "line 11", "label is empty"]),
    "a split missing": (split_missing, ["line 9", "no split"]),
    "unreadable pictures": (
        unreadable_in_the_middle,
        ["line 7", "5.png", "line 11", "9.png is not a picture"],
    ),
    "copies across splits": (copies_across_splits, ["line 17", "line 2", "stand in train too"]),
    "a prompt too long": (
        long_prompt,
        ["rows.csv, line 6", "rows.csv, line 11", "the core reads 512", "a --bundle"],
    ),
    "out is not empty": (out_not_empty, ["out is there already"]),
    "out is a file": (out_is_a_file, ["out is there already"]),
    "report is not empty": (report_not_empty, ["out-report", "mine.txt"]),
    "a damaged core": (damaged_core, ["core/model.safetensors", "sha256"]),
    "an adapter of another core": (adapter_of_another_core, ["adapter.safetensors", "do not fit"]),
    "nothing to choose": (
        lambda here: ["--contrast", "1"],
        ["no row of rows.csv has any", "--column choices=NAME"],
    ),
    "a memory without loss": (
        lambda here: ["--contrast", "1", "--adapter", "memory"],
        ["'memory' trains none", "--adapter prefix+memory"],
    ),
    "a seed below nothing": (lambda here: ["--seed", "-1"], ["seed is -1"]),
    "unknown family": (lambda here: ["--adapter", "prefx"], ["'prefx'", "prefix"]),
    "unknown setting": (lambda here: ["--epoch", "2"], ["--epoch", "--epochs"]),
    "impossible rate": (lambda here: ["--learning-rate", "1e38"], ["learning_rate is 1e+38"]),
    "impossible setting": (lambda here: ["--batch-size", "0"], ["batch_size is 0"]),
}


def test_a_package_that_is_missing_is_told_with_what_installs_it(call, here, monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    done = train(call)
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "training needs accelerate" in done.err
    assert "pip install 'mmagent[train]'" in done.err


@pytest.mark.parametrize("case", CASES)
def test_one_line_that_helps_and_nothing_lost(case, call, here):
    make, words = CASES[case]
    arguments = make(here)
    before = contents(here)
    done = train(call, *arguments)
    assert done.code == 2, done.err
    assert done.err.count("\n") == 1, done.err
    assert done.err.startswith("mmagent: ")
    for word in words:
        assert word in done.err
    assert {name: there for name, there in contents(here).items() if ".out.training" not in name} == before


def test_a_prompt_that_is_too_long_is_told_before_anything_is_encoded(call, here, monkeypatch):
    from mmagent_image.encoder import ImageEncoder

    monkeypatch.setattr(ImageEncoder, "encode", None)
    long_prompt(here)
    done = train(call)
    assert done.code == 2, done.err
    assert "line 6: its prompt and answer take" in done.err
    assert "fewer shots" not in done.err


@pytest.mark.parametrize("damaged", [0, 5], ids=["from the first step", "one picture"])
def test_a_loss_that_is_no_number_stops_and_says_the_step(call, here, monkeypatch, damaged):
    from mmagent_image.encoder import ImageEncoder

    encode = ImageEncoder.encode

    def some_nan(self: Any, batch: Any) -> Any:
        found = encode(self, batch)
        bad = [at for at, picture in enumerate(batch) if not damaged or picture.height == 20 + damaged]
        found.pooled[bad] = float("nan")
        return found

    monkeypatch.setattr(ImageEncoder, "encode", some_nan)
    before = contents(here)
    done = train(call, "--seed", "1", "--adapter", "prefix")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "no number at step " in done.err
    assert not (here / "out").exists()
    assert {name: there for name, there in contents(here).items() if ".out.training" not in name} == before
    state = checkpoint.latest(here / ".out.training")
    assert ("No state" in done.err) if state is None else (f"state of step {state.step} is kept" in done.err)


@pytest.fixture
def full_disk(monkeypatch) -> Any:
    """A function that fills the disk: from the n-th tensor file on, nothing more can be written."""

    def fill(module: Any, after: int) -> None:
        left = [after]

        def refuse(file: Path, tensors: Any) -> None:
            left[0] -= 1
            if left[0] < 0:
                file.write_bytes(b"half")
                raise FULL
            write_tensors(file, tensors)

        monkeypatch.setattr(module, "write_tensors", refuse)

    return fill


def same_adapter(one: Path, other: Path) -> bool:
    weights = [read_tensors(place / "image" / "adapter.safetensors") for place in (one, other)]
    return weights[0].keys() == weights[1].keys() and all(
        torch.equal(weights[0][name], weights[1][name]) for name in weights[0]
    )


@pytest.mark.parametrize(
    ("module", "after", "words"),
    [
        (checkpoint, 3, ["the state of step", "No space left", "--resume"]),
        (mmagent.bundle, 0, ["out cannot be written", "No space left"]),
    ],
    ids=["a state", "the bundle"],
)
def test_a_full_disk_keeps_the_last_state_and_a_resume_ends_in_the_same_bits(
    call, here, full_disk, monkeypatch, module, after, words
):
    assert train(call, out="whole").code == 0
    with monkeypatch.context():
        full_disk(module, after)
        done = train(call)
    assert done.code == 2
    lines = [line for line in done.err.splitlines() if line.startswith("mmagent: ")]
    assert len(lines) == 1
    for word in words:
        assert word in lines[0]
    assert not (here / "out").exists()
    state = checkpoint.latest(here / ".out.training")
    assert state is not None
    assert state.step >= 3
    monkeypatch.setattr(module, "write_tensors", write_tensors)
    assert train(call, "--resume").code == 0
    assert same_adapter(here / "whole", here / "out")
    assert not list(here.glob(".out*"))


def test_a_disk_that_is_really_full(tmp_path):
    """A file system of 64 KiB: what safetensors says of it is an OSError like any other."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small file system can be mounted by root only")
    try:
        small, large = {"x": torch.ones(64)}, {"x": torch.ones(64_000)}
        checkpoint.save(place, checkpoint.State(1, {"adapter": small}, {"n": 1}))
        with pytest.raises(mmagent.errors.UserError, match=r"No space left.*--resume"):
            checkpoint.save(place, checkpoint.State(2, {"adapter": large}, {"n": 2}))
        kept = checkpoint.latest(place)
        assert kept is not None
        assert kept.facts == {"n": 1}
        assert [path.name for path in place.iterdir()] == ["step-000001"]
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def interrupted(call, here, full_disk, monkeypatch) -> Path:
    """A run into ./out that stopped after its first state."""
    with monkeypatch.context():
        full_disk(checkpoint, 3)
        train(call)
    monkeypatch.setattr(checkpoint, "write_tensors", write_tensors)
    return here / ".out.training"


def other_settings(here):
    return ["--learning-rate", "0.5", "--seed", "3"]


def other_data(here):
    Image.new("RGB", (9, 9), "red").save(here / "0.png")
    return []


def other_question(here):
    return ["--question", "Which colour is it?"]


def other_column(here):
    write(here, [{**row, "seen": COLOURS[at // 2 % 2]} for at, row in enumerate(rows())])
    return ["--column", "answer=seen"]


def other_encoder(here):
    encoder = shutil.copytree(here / "random" / "image" / "encoder", here / "eyes")
    weights = read_tensors(encoder / "model.safetensors")
    write_tensors(encoder / "model.safetensors", {name: tensor * 2 for name, tensor in weights.items()})
    return ["--encoder", "eyes"]


def another_core(here):
    raw = json.loads((here / "random" / "bundle.json").read_text())
    core = shutil.copytree(here / "random" / "core", here / "core")
    weights = read_tensors(core / "model.safetensors")
    write_tensors(core / "model.safetensors", {name: tensor + 0.01 for name, tensor in weights.items()})
    manifest = {key: value for key, value in raw.items() if key not in ("format", "files")}
    parts = {"core": core, "image": here / "random" / "image"}
    Bundle.write(here / "other", manifest, parts, card="# other\n")
    return ["--bundle", "./other"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (other_settings, ["learning_rate 0.001 there, 0.5 here", "seed 0 there, 3 here"]),
        (other_data, ["the data differ"]),
        (other_question, ["question 'What is this?' there, 'Which colour is it?' here"]),
        (other_column, ["answer=label there", "answer=seen here"]),
        (other_encoder, ["encoder image=", "image=eyes here"]),
        (another_core, ["the core's weights differ"]),
    ],
)
def test_a_resume_that_is_another_run_says_what_differs(call, here, interrupted, make, words):
    arguments = make(here)
    before = contents(here)
    done = train(call, "--resume", *arguments)
    assert done.code == 2
    lines = done.err.splitlines()
    assert len(lines) == 1
    for word in words:
        assert word in lines[0]
    assert contents(here) == before


def test_a_resume_computes_in_the_numbers_that_the_run_was_begun_in(call, here, interrupted, monkeypatch):
    from mmagent.core import loading

    choose = loading.choose_dtype

    def other_way(device: Any, requested: Any = None, **measured: Any) -> Any:
        chosen = "bfloat16" if requested in (None, "auto") else requested
        return choose(device, chosen, **measured)

    monkeypatch.setattr(loading, "choose_dtype", other_way)
    given = ["train", "--data", "rows.csv", "--bundle", "./random", "--out", "out", *FEW[:-2], "--resume"]
    done = call(*given, "--dtype", "auto")
    assert done.code == 2
    assert "core float32 there, bfloat16 here" in done.err
    done = call(*given)
    assert done.code == 0, done.err
    assert json.loads((here / "out" / "bundle.json").read_text())["trained"]["core_numbers"] == "float32"


def test_a_resume_that_finds_nothing_says_that_it_begins_anew(call, here, interrupted):
    done = train(call, "--resume", out="oot")
    assert done.code == 0
    assert done.err.splitlines()[0].endswith(
        "there is no run into oot to go on with, so it begins anew. Did you mean 'out'?"
    )
    assert "begins anew" not in train(call, "--resume").err


def test_a_run_that_is_not_gone_on_with_is_put_by_until_another_ends(
    call, here, interrupted, full_disk, monkeypatch
):
    kept = contents(interrupted)
    with monkeypatch.context():
        full_disk(checkpoint, 0)
        train(call)
    monkeypatch.setattr(checkpoint, "write_tensors", write_tensors)
    assert contents(here / ".out.training-before") == kept
    assert train(call).code == 0
    assert not list(here.glob(".out*"))


def test_a_core_in_the_place_of_the_bundles_own_is_refused(call, here):
    another_core(here)
    done = call("ask", "What is this?", "--image", "0.png", "--bundle", "./random", "--core", "core")
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert "other weights" in done.err
