"""Everything a person can get wrong ends in one line that helps, the right exit code, no half-written file.

Each case makes its input in the folder the command runs in and returns the arguments; the words are what the
line must at least hold.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import sys
import zlib
from pathlib import Path

import pytest

import mmagent.agent
from mmagent_cli import failure


def png(width: int, height: int) -> bytes:
    """A PNG whose header announces this size, with next to nothing in it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


def missing(here):
    return ["--image", "re.png"]


def directory(here):
    (here / "folder").mkdir()
    return ["--image", "folder"]


def empty(here):
    (here / "x.jpg").write_bytes(b"")
    return ["--image", "x.jpg"]


def truncated(here):
    (here / "x.jpg").write_bytes((here / "green.jpg").read_bytes()[:300])
    return ["--image", "x.jpg"]


def renamed_text(here):
    (here / "x.jpg").write_text("Dear Sir or Madam,\n")
    return ["--image", "x.jpg"]


def bomb(here):
    (here / "x.png").write_bytes(png(30_000, 30_000))
    return ["--image", "x.png"]


def zero_size(here):
    (here / "x.png").write_bytes(png(0, 0))
    return ["--image", "x.png"]


def unknown_bundle(here):
    return ["hi", "--bundle", "tny"]


def missing_weights(here):
    (here / "random" / "core" / "model.safetensors").unlink()
    return ["hi", "--bundle", "random"]


def corrupt_weights(here):
    file = here / "random" / "image" / "adapter.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    return ["--image", "red.png", "--bundle", "random"]


def short_weights(here):
    file = here / "random" / "core" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    return ["hi", "--bundle", "random"]


def manifest_no_json(here):
    (here / "random" / "bundle.json").write_text("{")
    return ["hi", "--bundle", "random"]


def shots_nowhere(here):
    return ["hi", "--shots", "nowhere.jsonl"]


def shots_malformed(here):
    (here / "shots.jsonl").write_text('{"image": "red.png", "answer": "dax"}\n{"image": \n')
    return ["hi", "--shots", "shots.jsonl"]


def rows_nowhere(here):
    return ["--batch", "nowhere.jsonl", "--out", "out.jsonl"]


def out_nowhere(here):
    (here / "rows.jsonl").write_text('{"question": "hi"}\n')
    return ["--batch", "rows.jsonl", "--out", "no/such/folder/out.jsonl"]


def out_to_stdout(here):
    (here / "rows.jsonl").write_text('{"question": "hi"}\n')
    return ["--batch", "rows.jsonl", "--out", "-"]


def out_a_pipe(here):
    (here / "rows.jsonl").write_text('{"question": "hi"}\n')
    os.mkfifo(here / "pipe")
    return ["--batch", "rows.jsonl", "--out", "pipe"]


def prompt_nowhere(here):
    return ["hi", "--prompt", "nowhere.jinja"]


def core_nowhere(here):
    return ["hi", "--core", "./nowhere"]


def plain(*arguments):
    return lambda here: list(arguments)


# What makes the case, and the words that its line must hold.
CASES = {
    "missing file": (missing, ["re.png", "Did you mean 'red.png'?"]),
    "address": (plain("--image", "https://example.org/a.png"), ["https://example.org/a.png is an address"]),
    "empty name": (plain("--image", ""), ["name of the picture is empty"]),
    "directory": (directory, ["folder is a directory"]),
    "empty file": (empty, ["x.jpg is empty"]),
    "truncated JPEG": (truncated, ["x.jpg", "damaged or cut off"]),
    "text renamed .jpg": (renamed_text, ["x.jpg is not a picture", "text"]),
    "decompression bomb": (bomb, ["x.png", "too many pixels", "30,000 x 30,000"]),
    "zero-size image": (zero_size, ["x.png", "no pixels"]),
    "unknown bundle": (unknown_bundle, ["no bundle called 'tny'", "tiny (embedded)", "Did you mean 'tiny'?"]),
    "missing weights": (missing_weights, ["core/model.safetensors"]),
    "corrupt weights": (corrupt_weights, ["image/adapter.safetensors", "sha256"]),
    "short weights": (short_weights, ["core/model.safetensors", "bytes"]),
    "manifest is no JSON": (manifest_no_json, ["bundle.json is not JSON"]),
    "shots nowhere": (shots_nowhere, ["nowhere.jsonl"]),
    "shots malformed": (shots_malformed, ["shots.jsonl, line 2"]),
    "rows nowhere": (rows_nowhere, ["nowhere.jsonl"]),
    "out in no folder": (out_nowhere, ["no/such/folder"]),
    "out to stdout": (out_to_stdout, ["cannot write the answers", "'-' is no file", "Name a file"]),
    "out a pipe": (out_a_pipe, ["cannot write the answers", "pipe is a pipe", "Name a file"]),
    "prompt nowhere": (prompt_nowhere, ["nowhere.jinja", "caption"]),
    "core nowhere": (core_nowhere, ["nowhere"]),
    "nothing asked": (plain(), ["nothing to ask about", "--image"]),
    "a file in place of the question": (plain("red.png"), ["red.png is a file", "--image red.png"]),
    "no bundle's name": (plain("hi", "--bundle", ""), ["name of the bundle is empty", "tiny (embedded)"]),
    "no core's name": (plain("hi", "--core", ""), ["--core is empty", "the bundle's own"]),
    "unknown option": (plain("--imge", "red.png"), ["--imge", "--image", "mmagent ask --help"]),
    "unknown memory": (plain("hi", "--memory", "maybe"), ["'--memory'", "'maybe'", "'on', 'off'"]),
    "unknown device": (plain("hi", "--device", "gpu7"), ["'gpu7'", "cpu"]),
    "unknown dtype": (plain("hi", "--dtype", "float33"), ["'float33'", "float32", "bfloat16"]),
    "no number": (plain("hi", "--max-tokens", "many"), ["'--max-tokens'", "integer"]),
    "number too small": (
        plain("hi", "--temperature", "-1"),
        ["'--temperature'", "greater than or equal to 0"],
    ),
    "no finite number": (plain("hi", "--temperature", "inf"), ["temperature inf is no finite number"]),
    "no share": (plain("hi", "--top-p", "0"), ["'--top-p'", "'0' is not a number above 0 and at most 1"]),
    "no share at all": (plain("hi", "--top-p", "much"), ["'--top-p'", "'much' is not a number"]),
    "seed too large": (plain("hi", "--seed", "9" * 23), ["'--seed'", "less than or equal to"]),
    "shot without an answer": (plain("hi", "--shot", "image=red.png"), ["answer"]),
    "shot with an unknown key": (plain("hi", "--shot", "imge=red.png,answer=x"), ["'imge'", "image"]),
    "shot nowhere": (plain("hi", "--shot", "image=re.png,answer=x"), ["re.png"]),
    "one choice": (plain("hi", "--choices", "red"), ["--choices 'red'", "--choices red,blue"]),
    "an empty choice": (
        plain("hi", "--choices", "cat,,dog"),
        ["--choices 'cat,,dog' has an empty choice, number 2", "--choices red,blue"],
    ),
    "a choice twice": (plain("hi", "--choices", "a,b,a"), ["--choices 'a,b,a'", "'a' is given twice"]),
    "half a character": (plain("What is \udcff?"), ["the question is no text", "UTF-8"]),
    "half a character among choices": (plain("hi", "--choices", "a,\udcff"), ["a choice is no text"]),
    "half a character in a shot": (plain("hi", "--shot", "question=x,answer=\udcff"), ["answer of a shot"]),
    "out without batch": (plain("hi", "--out", "out.jsonl"), ["--out belongs to --batch"]),
    "stdin twice": (plain("--image", "-", "--image", "-"), ["stdin can be read once"]),
    "stdin twice, once in a shot": (
        plain("--image", "-", "--shot", "image=-,answer=dax"),
        ["stdin can be read once", "2 times"],
    ),
    "stdin for rows and a shot": (
        plain("--batch", "-", "--out", "out.jsonl", "--shot", "image=-,answer=dax"),
        ["stdin can be read once"],
    ),
}


@pytest.fixture
def here(tmp_path, monkeypatch, pictures, tiny_bundle):
    """A folder with pictures and a bundle, in which the command runs."""
    for picture in pictures.iterdir():
        shutil.copy(picture, tmp_path)
    shutil.copytree(tiny_bundle, tmp_path / "random")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(here: Path) -> set[str]:
    return {str(path.relative_to(here)) for path in here.rglob("*")}


def ask(call, arguments):
    if "--bundle" not in arguments:
        arguments = [*arguments, "--bundle", "./random"]
    return call("ask", *arguments)


@pytest.mark.parametrize("case", CASES)
def test_one_line_that_helps(case, call, here):
    make, words = CASES[case]
    arguments = make(here)
    before = files(here)
    done = ask(call, arguments)
    assert done.code == 2, done.err
    assert done.out == ""
    assert done.err.count("\n") == 1, done.err
    assert done.err.startswith("mmagent: ")
    for word in words:
        assert word in done.err
    assert files(here) == before


def test_a_file_that_may_not_be_read(call, here, monkeypatch):
    file = here / "red.png"
    file.chmod(0)
    if os.access(file, os.R_OK):  # root reads everything
        opened = Path.open

        def refuse(path, *arguments, **more):
            if path.name == "red.png":
                raise PermissionError(13, "Permission denied", str(path))
            return opened(path, *arguments, **more)

        monkeypatch.setattr(Path, "open", refuse)
    done = ask(call, ["--image", "red.png"])
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert "red.png may not be read" in done.err


@pytest.mark.parametrize("batch", [False, True], ids=["ask", "batch"])
def test_out_of_memory(call, here, monkeypatch, batch):
    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr(mmagent.agent.Agent, "_answers", full)
    (here / "rows.jsonl").write_text('{"question": "hi"}\n')
    before = files(here)
    done = ask(call, ["--batch", "rows.jsonl", "--out", "out.jsonl"] if batch else ["hi"])
    assert (done.code, done.out) == (1, "")
    assert done.err == f"mmagent: {failure.OUT_OF_MEMORY}.\n"
    assert files(here) == before


@pytest.mark.parametrize("source", ["--image=-", "--shot=image=-,answer=dax", "--table=-", "--audio=-"])
def test_a_closed_stdin_is_told(call, here, monkeypatch, source):
    monkeypatch.setattr(sys, "stdin", None)
    done = ask(call, ["what is this?", source])
    assert (done.code, done.out) == (2, "")
    assert "standard input is closed" in done.err
    assert done.err.count("\n") == 1


def test_a_malformed_row_is_told_in_its_place(call, here):
    (here / "rows.jsonl").write_text('{"question": "hi"}\n{"question": \n["a list"]\n{"question": 7}\n')
    done = ask(call, ["--batch", "rows.jsonl", "--out", "out.jsonl", "--max-tokens", "2"])
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert '3 of them with an "error"' in done.err
    rows = [json.loads(line) for line in (here / "out.jsonl").read_text().splitlines()]
    assert ["error" in row for row in rows] == [False, True, True, True]


def test_no_traceback_without_debug(call, here):
    assert "Traceback" not in ask(call, ["--image", "nowhere.png"]).err
    assert "Traceback" in ask(call, ["--image", "nowhere.png", "--debug"]).err
