"""``mmagent ask`` from its options to its output. The weights are random: what is said does not matter."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import sys

import pytest

from mmagent import Agent
from mmagent.errors import UserError
from mmagent_cli.ask import parse_choices


@pytest.fixture
def ask(call, tiny_bundle):
    """Run ``mmagent ask`` on the random bundle, with short answers."""
    return lambda *arguments: call("ask", "--bundle", tiny_bundle, "--max-tokens", "4", *arguments)


def test_json_holds_what_is_promised(ask, pictures):
    done = ask("what is this?", "--image", pictures / "red.png", "--json")
    assert (done.code, done.err) == (0, "")
    assert done.out.count("\n") == 1
    answer = json.loads(done.out)
    assert answer.keys() >= {"text", "confidence", "bundle", "seconds", "tokens"}
    assert answer["bundle"] == "random"
    assert 0 <= answer["confidence"] <= 1


def test_says_what_the_library_says(ask, pictures, tiny_bundle):
    expected = Agent.load(tiny_bundle).ask("what is this?", image=pictures / "red.png", max_tokens=4)
    done = ask("what is this?", "--image", pictures / "red.png", "--json")
    assert json.loads(done.out)["text"] == expected.text


def test_in_a_pipe_there_is_only_the_text(ask, pictures):
    told = json.loads(ask("--image", pictures / "red.png", "--json").out)["text"]
    assert ask("--image", pictures / "red.png") == (0, told + "\n", "")


def test_without_a_question_the_picture_is_described(ask, pictures):
    described = json.loads(ask("--image", pictures / "red.png", "--json").out)
    asked = json.loads(ask("what is this?", "--image", pictures / "red.png", "--json").out)
    assert described["prompt_tokens"] != asked["prompt_tokens"]


def test_several_pictures_make_a_longer_prompt(ask, pictures):
    one = json.loads(ask("same?", "--image", pictures / "red.png", "--json").out)
    two = ["--image", pictures / "red.png", "--image", pictures / "blue.png"]
    assert json.loads(ask("same?", *two, "--json").out)["prompt_tokens"] > one["prompt_tokens"]


def test_a_question_alone_needs_no_picture(ask):
    assert ask("can a frog fly?").code == 0


def test_reads_a_picture_from_stdin(ask, pictures, monkeypatch):
    file = pictures / "red.png"
    expected = ask("what is this?", "--image", file)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes())))
    assert ask("what is this?", "--image", "-") == expected


def test_a_shot_may_come_from_stdin(ask, pictures, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((pictures / "red.png").read_bytes())))
    shots = ["--shot", "image=-,answer=dax", "--shot", f"image={pictures / 'blue.png'},answer=wug"]
    assert ask("what is this?", "--image", pictures / "red.png", *shots) == (0, "dax\n", "")


def test_choices_are_scored(ask, pictures):
    done = ask("colour?", "--image", pictures / "red.png", "--choices", "red,blue", "--json")
    answer = json.loads(done.out)
    assert answer["text"] in {"red", "blue"}
    assert set(answer["choices"]) == {"red", "blue"}
    assert sum(answer["choices"].values()) == pytest.approx(1)


def test_a_choice_may_hold_a_comma():
    assert parse_choices('red, "light, blue"') == ["red", "light, blue"]


@pytest.mark.parametrize("text", ["red", "red,", ",", "red,red", ""])
def test_choices_that_leave_no_choice(text):
    with pytest.raises(UserError, match="--choices"):
        parse_choices(text)


def test_shots_speak_through_the_memory(ask, pictures):
    shots = ["--shot", f"image={pictures / 'red.png'},answer=dax"]
    shots += ["--shot", f"image={pictures / 'blue.png'},answer=wug"]
    question = ["what is this?", "--image", pictures / "red.png", "--json"]
    answer = json.loads(ask(*question, *shots).out)
    assert answer["text"] == "dax"
    assert answer["shots"][0]["answer"] == "dax"
    assert json.loads(ask(*question, *shots, "--memory", "off").out)["memory_weight"] is None


def test_shots_come_from_a_file_or_a_folder_too(ask, pictures, tmp_path):
    rows = [
        {"image": str(pictures / f"{name}.png"), "answer": word}
        for name, word in (("red", "dax"), ("blue", "wug"))
    ]
    (tmp_path / "shots.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for row in rows:
        (tmp_path / "shots" / row["answer"]).mkdir(parents=True)
        (tmp_path / "shots" / row["answer"] / "a.png").symlink_to(row["image"])
    for source in ("shots.jsonl", "shots"):
        done = ask("what is this?", "--image", pictures / "blue.png", "--shots", tmp_path / source, "--json")
        assert json.loads(done.out)["text"] == "wug", source


def test_sampling_follows_the_seed(ask, pictures):
    def sampled(seed):
        return ask(
            "--image", pictures / "red.png", "--temperature", "5", "--seed", seed, "--max-tokens", "12"
        ).out

    assert sampled(1) == sampled(1)
    assert len({sampled(seed) for seed in range(4)}) > 1


def test_a_prompt_of_ones_own(ask, pictures, tmp_path):
    template = tmp_path / "mine.jinja"
    template.write_text("{{ image }} Say: {{ question }}")
    done = ask("hello", "--image", pictures / "red.png", "--prompt", template)
    assert done.code == 0
    template.write_text("{{ image }} {{ qestion }}")
    done = ask("hello", "--image", pictures / "red.png", "--prompt", template)
    assert done.code == 2
    assert "'qestion'" in done.err


def test_debug_says_what_was_chosen_and_why(ask, pictures):
    told = ask("--image", pictures / "red.png", "--debug").err
    assert "float32" in told or "bfloat16" in told
    assert "oneDNN is" in told
    assert "on cpu" in told or "on cuda" in told or "on mps" in told


class Terminal(io.TextIOWrapper):
    """A terminal's end to write to, which remembers each piece."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(os.fdopen(descriptor, "wb", buffering=0), encoding="utf-8", write_through=True)
        self.pieces: list[str] = []

    def write(self, text: str) -> int:
        self.pieces.append(text)
        return super().write(text)


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are a thing of Unix")
def test_on_a_terminal_the_text_is_streamed(ask, pictures, monkeypatch):
    asked = ["--image", pictures / "red.png", "--max-tokens", "6"]
    plain = ask(*asked).out
    ours, theirs = pty.openpty()
    with Terminal(theirs) as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        assert ask(*asked).code == 0
        shown = b""
        while not shown.endswith(b"\n") and select.select([ours], [], [], 10)[0]:
            shown += os.read(ours, 65536)
    os.close(ours)
    assert shown.decode().replace("\r\n", "\n") == "".join(terminal.pieces) == plain
    said = [piece for piece in terminal.pieces if piece.strip()]
    assert len(said) > 1
    assert plain.rstrip("\n") not in said
