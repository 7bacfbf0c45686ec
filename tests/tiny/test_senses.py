"""The embedded bundle hears, reads and watches untrained; its core and its eyes are as they were."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmagent_tiny
from mmagent import Agent
from mmagent.bundle import Bundle

Needs = Callable[[str], Any]
ROOT = Path(__file__).resolve().parents[2]
TINY = Path(mmagent_tiny.__file__).parent / "tiny"
MOST = 48_000_000  # bytes
UNCHANGED = {
    "core/model.safetensors": "1c5813f932022185c3ee6776bcf468d08fce9ccae5ef8f0ab426f6e94423270e",
    "core/tokenizer.json": "ce1e79e37711be569e7b28a2c3570ff570e11f4b02a65a33135f6b3bafefb486",
    "image/adapter.safetensors": "37a197e6e1bd8332841e394d5844bb38ecda05a09bdca742fbe8c79d2485ee82",
    "image/encoder/model.safetensors": "3c05adaac6899f4e5156c05047a5764267337a4794e5d98b3674d74132acb0f2",
    "image/memory.safetensors": "a7464763a42e54dc7710b2e39a1ab3059daa9fb33b61cced468151b801085d34",
}
TOWNS = "town,country,inhabitants\nOslo,Norway,717710\nLima,Peru,10092000\nPisa,Italy,89371\n"


@pytest.fixture(scope="module")
def agent() -> Agent:
    return Agent.load("tiny")


def answers(agent: Agent, sense: str) -> list[str]:
    """The answers that a sense was taught."""
    adapter = agent.bundle.senses[sense].adapter
    assert adapter is not None
    return list(adapter.config["answers"])


def test_seven_senses_whole_and_small() -> None:
    bundle = Bundle.open(TINY)  # every file by size and sha256
    assert list(bundle.senses) == ["image", "audio", "series", "video", "graph", "set", "table"]
    on_disk = {file.relative_to(TINY).as_posix(): file for file in TINY.rglob("*") if file.is_file()}
    assert set(on_disk) == {*bundle.files, "bundle.json", "README.md"}
    assert sum(file.stat().st_size for file in on_disk.values()) < MOST
    assert {file.suffix for file in on_disk.values()} <= {".safetensors", ".json", ".md"}


def test_core_and_image_sense_are_those_of_before() -> None:
    files = Bundle.open(TINY).files
    assert {name: files[name].sha256 for name in UNCHANGED} == UNCHANGED


def test_a_picture_is_named_as_before(agent: Agent) -> None:
    assert agent.ask("What is this?", image=str(ROOT / "examples/pictures/cat.jpg")).text == "cat"
    shapes = str(ROOT / "examples/pictures/shapes.png")
    assert agent.ask("What is to the right of the red circle?", image=shapes).text == "a blue star"


@pytest.mark.parametrize(
    ("dx", "dy", "said"), [(0, -4, "up"), (0, 4, "down"), (-4, 0, "left"), (4, 0, "right")]
)
def test_where_a_drawn_square_moves(agent: Agent, dx: int, dy: int, said: str) -> None:
    from PIL import Image, ImageDraw

    frames = []
    for at in range(10):
        frame = Image.new("RGB", (64, 64), "white")
        x, y = 26 + dx * (at - 5), 26 + dy * (at - 5)
        ImageDraw.Draw(frame).rectangle((x, y, x + 12, y + 12), fill=(220, 20, 20))
        frames.append(frame)
    gif = io.BytesIO()
    frames[0].save(gif, "GIF", save_all=True, append_images=frames[1:], duration=200)
    assert agent.ask("What direction does the shape move?", video=gif.getvalue()).text == said


def test_a_sugar_dissolves_and_an_oil_does_not(agent: Agent, needs: Needs) -> None:
    needs("rdkit")
    question = "How soluble in water is this molecule?"
    assert agent.ask(question, graph="OCC(O)C(O)C(O)C(O)CO").text == "high"
    assert agent.ask(question, graph="CCCCCCCCCCCCCCCCCC").text == "low"


def test_a_statement_is_held_against_the_objects(agent: Agent) -> None:
    from mmagent import Request

    box = [{"type": "circle", "color": "Yellow", "size": 20, "x_loc": 10, "y_loc": 60}]
    other = [{"type": "square", "color": "Black", "size": 30, "x_loc": 50, "y_loc": 20}]
    scene = json.dumps([box, other, other]).encode()
    held = {"There is a box with a yellow circle.": "true", "There is a blue triangle.": "false"}
    said = agent.ask_many([Request(statement, {"set": [scene]}) for statement in held])
    assert [one.text for one in said] == list(held.values())  # type: ignore[union-attr]


def test_a_table_is_looked_up(agent: Agent) -> None:
    pytest.importorskip("pandas", reason="tables are read with pandas: pip install 'mmagent[table]'")
    assert agent.ask("What is the country of Lima?", table=TOWNS.encode()).text == "Peru"
    assert agent.ask("Which town has the most inhabitants?", table=TOWNS.encode()).text == "Lima"


def test_a_note_a_noise_and_what_nobody_taught(agent: Agent, needs: Needs) -> None:
    needs("soundfile")
    rate = 16_000
    t = np.arange(rate) / rate
    rng = np.random.Generator(np.random.PCG64(0))
    note = 0.3 * sum(0.5**k * np.sin(2 * np.pi * 440 * (k + 1) * t) for k in range(4))
    noise = 0.1 * rng.standard_normal(rate)
    question = "Which sound is it?"
    assert agent.ask(question, audio=wav(note, rate)).text == "A"
    assert agent.ask(question, audio=wav(noise, rate)).text == "white noise"
    assert agent.ask("Which digit is spoken?", audio=wav(0 * t, rate)).text in answers(agent, "audio")


def test_a_wrist_at_rest_and_one_that_runs(agent: Agent, tmp_path: Path) -> None:
    rng = np.random.Generator(np.random.PCG64(0))
    t = np.arange(100) / 10
    rest = 0.05 * rng.standard_normal((100, 6))
    scale = np.array([11, 10, 3, 2, 2, 5])
    phases = rng.uniform(0, 6, 6)
    runs = scale * (np.sin(2 * np.pi * 2.7 * t[:, None] + phases) + 0.5 * rng.standard_normal((100, 6)))
    names = "accel_x,accel_y,accel_z,gyro_x,gyro_y,gyro_z"
    said = []
    for at, values in enumerate((rest, runs)):
        place = tmp_path / f"wrist-{at}.csv"
        np.savetxt(place, values, delimiter=",", header=names, comments="", fmt="%.4f")
        said.append(agent.ask("What does the person do?", series=place).text)
    assert said[0] == "standing"
    assert said[1] in ("running", "badminton")


@pytest.mark.parametrize(
    ("sense", "file", "question", "said"),
    [
        ("video", "moving.gif", "What direction does the shape move?", "up"),
        ("table", "towns.csv", "Which town has the most inhabitants?", "Lima"),
        ("set", "scene.json", "There is a yellow circle.", "true"),
        ("audio", "note.wav", "Which sound is it?", "A"),
        ("series", "still.csv", "What does the person do?", "standing"),
    ],
)
def test_the_examples_are_answered_by_the_command(
    capsys: pytest.CaptureFixture[str], needs: Needs, sense: str, file: str, question: str, said: str
) -> None:
    from mmagent_cli.app import main

    if sense == "table":
        pytest.importorskip("pandas", reason="tables are read with pandas: pip install 'mmagent[table]'")
    if sense == "audio":
        needs("soundfile")
    place = ROOT / "examples" / "senses" / "inputs" / file
    assert main(["ask", question, f"--{sense}", str(place)]) == 0
    assert capsys.readouterr().out.strip() == said


def test_the_card_says_what_each_sense_was_trained_on_and_how_good_it_is() -> None:
    card = (TINY / "README.md").read_text(encoding="utf-8")
    manifest = json.loads((TINY / "bundle.json").read_text(encoding="utf-8"))
    rows: dict[str, Any] = manifest["scores"]["table"]
    for sense in manifest["senses"]:
        if sense != "image":
            assert f"| {sense} | " in card
    for sense in ("audio", "series", "video", "graph", "set"):
        own = {name: row for name, row in rows.items() if name.startswith(f"{sense}: ")}
        assert own
        for name, row in own.items():
            assert row["score"] > max(row["blind"], row["shuffled"])
            assert f"| {name} | {row['n']} | {100 * row['score']:.1f} |" in card


def wav(samples: Any, rate: int) -> bytes:
    """A mono sound as the bytes of a wav file."""
    import wave

    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return stream.getvalue()
