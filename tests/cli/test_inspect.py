"""``mmagent inspect`` from its options to its output."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from PIL import Image

from mmagent.profile import ASPECTS


@pytest.fixture
def inspect(call, tiny_bundle):
    """Run ``mmagent inspect`` with the random bundle."""
    return lambda *arguments: call("inspect", "--bundle", tiny_bundle, *arguments)


def test_every_heading_is_there_with_the_cost(inspect, pictures):
    done = inspect(pictures / "red.png")
    assert (done.code, done.err) == (0, "")
    for heading in ASPECTS.values():
        assert f"\n{heading}\n" in done.out
    assert "2 of the 512 that the core reads (0.4%), bundle random" in done.out


def test_json_is_an_object_for_each_file(inspect, pictures):
    done = inspect("--json", pictures / "red.png", pictures / "green.jpg")
    red, green = map(json.loads, done.out.splitlines())
    assert red["aspects"].keys() == ASPECTS.keys()
    assert red["tokens"]["soft_tokens"] == 2
    assert green["aspects"]["structure"]["file format"] == "JPEG"
    assert green["bytes"] == (pictures / "green.jpg").stat().st_size


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every file name is text")
def test_a_file_name_that_is_no_text_is_told(pictures, tmp_path):
    odd = os.fsencode(tmp_path) + b"/\xff.png"
    shutil.copy(pictures / "red.png", odd)
    command = [sys.executable, "-m", "mmagent_cli", "inspect", odd, "--json"]
    env = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(command, capture_output=True, env=env)
    assert (done.returncode, done.stderr) == (0, b"")
    assert os.fsencode(json.loads(done.stdout)["source"]) == odd


def test_a_bad_file_spoils_no_other(inspect, pictures, tmp_path):
    (tmp_path / "x.txt").write_text("a few words")
    done = inspect(tmp_path / "x.txt", pictures / "red.png", "--json")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "it starts like text" in done.err
    assert json.loads(done.out)["modality"] == "image"
    told = inspect(tmp_path / "x.txt", pictures / "red.png")
    assert told.out.startswith(str(pictures / "red.png"))  # no empty line before what is printed first


def test_a_picture_is_drawn(inspect, pictures, tmp_path):
    target = tmp_path / "new" / "seen.png"
    done = inspect(pictures / "red.png", "--picture", target)
    assert done.code == 0
    assert str(target) in done.err
    one = Image.open(target)
    assert one.width > 800
    assert max(one.convert("RGB").getcolors(1 << 24))[1] == (255, 255, 255)
    assert (255, 0, 0) in {colour for _, colour in one.convert("RGB").getcolors(1 << 24)}
    inspect(pictures / "red.png", pictures / "blue.png", "--picture", target)
    assert Image.open(target).height == 2 * one.height


def test_a_picture_takes_no_pipes_place(inspect, pictures, tmp_path):
    os.mkfifo(tmp_path / "seen.png")
    done = inspect(pictures / "red.png", "--picture", tmp_path / "seen.png")
    assert (done.code, done.out) == (2, "")
    assert "seen.png is a pipe" in done.err
    assert (tmp_path / "seen.png").is_fifo()


def test_a_page_holds_the_profile_and_escapes_names(inspect, pictures, tmp_path):
    odd = tmp_path / "<b>$a$.png"
    odd.write_bytes((pictures / "red.png").read_bytes())
    assert inspect(odd, "--picture", tmp_path / "seen.html").code == 0
    page = (tmp_path / "seen.html").read_text()
    assert "&lt;b&gt;$a$.png" in page
    assert "<b>" not in page
    assert "distinct colours" in page
    assert "data:image/png;base64," in page
    assert "http" not in page


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no.png"], "there is no file no.png"),
        (
            ["red.png", "--modality", "smell"],
            "no modality called 'smell'. There are: ",
        ),
        (["red.png", "--picture", "x.pdf"], "is written as .png or .html"),
        (["-", "-"], "stdin can be read once"),
        ([], "Missing argument"),
    ],
)
def test_mistakes_are_told_in_one_line(inspect, pictures, monkeypatch, arguments, words):
    monkeypatch.chdir(pictures)
    done = inspect(*arguments)
    assert done.code == 2
    assert words in done.err
    assert done.err.count("\n") == 1


def test_stdin_is_recognised_and_read_whole(pictures, tiny_bundle):
    command = [sys.executable, "-m", "mmagent_cli", "inspect", "-", "--json", "--bundle", str(tiny_bundle)]
    done = subprocess.run(command, input=(pictures / "red.png").read_bytes(), capture_output=True)
    told = json.loads(done.stdout)
    assert (told["source"], told["bytes"]) == ("-", None)
    assert told["aspects"]["sampling"]["stored size (bytes)"] == (pictures / "red.png").stat().st_size


def test_neither_torch_nor_matplotlib_is_imported_without_need(pictures, tiny_bundle):
    code = (
        "import sys\nfrom mmagent_cli.app import main\n"
        f"main(['inspect', {str(pictures / 'red.png')!r}, '--bundle', {str(tiny_bundle)!r}])\n"
        "print(*sorted({'torch', 'transformers', 'matplotlib'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "soft tokens" in done.stdout
    assert done.stderr.split() == []


def test_without_matplotlib_a_picture_is_refused_before_anything_is_read(inspect, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = inspect("no.png", "--picture", "x.png")
    assert done.code == 2
    assert "pip install 'mmagent[pictures]'" in done.err
    extras = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert any(one.startswith("matplotlib") for one in extras["optional-dependencies"]["pictures"])
