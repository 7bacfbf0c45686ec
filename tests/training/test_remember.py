"""`--adapter memory` from labelled rows to a bundle that answers: alone, tuned, joined, other encoder."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mmagent import Agent
from mmagent.data import read_labelled
from mmagent.errors import UserError
from mmagent.plugins import load_plugins
from mmagent.stored import read_stored
from mmagent.tensors import read_tensors
from mmagent.training.families import without_memory
from mmagent.training.remember import Remembered, gather, remember
from mmagent.training.settings import TrainSettings
from mmagent_cli.app import main

GAUGES = Path(__file__).resolve().parents[2] / "examples" / "gauges"
FAMILY = load_plugins().adapters["memory"]
Run = Callable[..., int]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A feature cache of this file's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def train(out: Path, *arguments: object) -> int:
    data = ["--data", str(GAUGES / "labels.csv"), "--out", str(out), "--dtype", "float32"]
    return main(["train", *data, *map(str, arguments)])


@pytest.fixture(scope="module")
def gauges(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("memory") / "gauges"
    assert train(out, "--adapter", "memory") == 0
    return out


def right(agent: Agent, question: str | None = "What is this?") -> float:
    """Share of the test pictures that are answered to their end."""
    files = sorted((GAUGES / "test").glob("*.jpg"))[::2]
    said = [agent.ask(question, image=str(file)).text for file in files]
    return sum(text == file.stem.split("-")[0] for text, file in zip(said, files, strict=True)) / len(files)


def test_the_bundle_answers_by_its_shots_and_says_how_it_was_made(gauges: Path) -> None:
    agent = Agent.load(gauges, dtype="float32")
    assert right(agent) > 0.85
    assert agent.ask("What is this?", image=str(GAUGES / "test" / "low-00.jpg"), memory=False).shots == []
    told = json.loads((gauges / "bundle.json").read_text())
    shots = read_stored(agent.bundle, "image")
    assert shots is not None
    assert set(shots.answers) == {"low", "normal", "high"}
    assert told["trained"]["memory"]["shots"] == len(shots) == len(told["trained"]["split"]["train"])
    assert not set(told["trained"]["split"]["train"]) & set(told["trained"]["split"]["validation"])
    assert told["trained"]["core_sha256"] == agent.core.fingerprint()
    assert "memory" in told["trained"]["settings"]["adapter"]
    card = (gauges / "README.md").read_text()
    assert "nothing was trained" in card
    assert "Chosen by the validation rows" in card


def test_its_report_has_a_row_with_and_without_the_memory(gauges: Path) -> None:
    report = json.loads((gauges.with_name("gauges-report") / "report.json").read_text())
    names = [system["name"] for system in report["systems"]]
    assert "the adapter, memory off" in names
    assert "shot memory (training-free)" not in names
    scores = {one["name"]: one["scores"]["exact match"]["value"] for one in report["systems"]}
    told = json.loads((gauges / "bundle.json").read_text())
    assert scores["the adapter"] == pytest.approx(told["scores"]["validation"], abs=1e-3)
    assert scores["the adapter, memory off"] == pytest.approx(
        told["trained"]["memory"]["without_memory"], abs=1e-3
    )
    assert any("its shot memory off" in line for line in report["verdict"])


def test_the_same_seed_gives_the_same_keys_and_other_rows_first_the_same_answers(
    gauges: Path, tmp_path: Path
) -> None:
    plugins = load_plugins()
    data = read_labelled(GAUGES / "labels.csv", plugins.modalities)
    agent = Agent.load("tiny", dtype="float32", plugins=plugins)
    turned = type(data)(**{**vars(data), "examples": data.examples[::-1]})
    made = [
        remember(gather(rows, agent, TrainSettings(adapter="memory")), FAMILY, TrainSettings(), tmp_path / n)
        for n, rows in (("a", data), ("b", turned))
    ]
    first = read_tensors(gauges / "image" / "shots.safetensors")["keys"]
    assert torch.equal(made[0].shots.keys, first)
    one, other = (Agent.load(found.bundle.path, dtype="float32") for found in made)
    for file in sorted((GAUGES / "test").glob("*.jpg"))[::9]:
        said = [agent.ask("What is this?", image=str(file)) for agent in (one, other)]
        assert said[0].text == said[1].text
        assert said[0].confidence == pytest.approx(said[1].confidence, abs=1e-3)


def test_another_encoder_leaves_a_sense_of_memory_alone(tiny_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "other"
    encoder = tiny_bundle / "image" / "encoder"
    assert train(out, "--adapter", "memory", "--encoder", encoder, "--tune-keys", "--key-epochs", 3) == 0
    agent = Agent.load(out, dtype="float32")
    assert agent.bundle.senses["image"].adapter is None
    assert not (out / "image" / "adapter.safetensors").exists()
    picture = str(GAUGES / "test" / "high-01.jpg")
    said = agent.ask("What is this?", image=picture)
    assert said.text in {"low", "normal", "high"}
    assert said.memory_weight is not None
    assert said.memory_weight > 0.5
    assert agent.ask(image=picture).text == said.text
    with pytest.raises(UserError, match="memory on"):
        agent.ask("What is this?", image=picture, memory=False)
    told = json.loads((out / "bundle.json").read_text())["trained"]["memory"]
    assert len(told["tuning"]["history"]) == 4
    report = json.loads((tmp_path / "other-report" / "report.json").read_text())
    assert any("blind control" in note for note in report["notes"])


def test_it_joins_another_family(tmp_path: Path, tiny_bundle: Path) -> None:
    out = tmp_path / "both"
    few = ("--epochs", 2, "--validations", 1, "--bundle", tiny_bundle)
    assert train(out, "--adapter", "prefix+memory", *few) == 0
    agent = Agent.load(out, dtype="float32")
    entry = agent.bundle.senses["image"]
    assert entry.adapter is not None
    assert entry.adapter.family == "prefix"
    assert entry.shots is not None
    told = json.loads((out / "bundle.json").read_text())
    assert told["name"] == "both"
    assert told["trained"]["settings"]["adapter"] == "prefix+memory"
    assert told["trained"]["steps"] > 0
    shots = read_stored(agent.bundle, "image")
    assert shots is not None
    assert len(shots) == len(told["trained"]["split"]["train"])
    card = (out / "README.md").read_text()
    assert "training loss" in card
    assert "Shot memory" in card
    assert card.count("Licence of the data") == 1
    report = json.loads((tmp_path / "both-report" / "report.json").read_text())
    assert "the adapter, memory off" in [system["name"] for system in report["systems"]]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--adapter", "memry"], ["no adapter family called 'memry'", "Did you mean 'memory'?"]),
        (["--adapter", "prefix+memry"], ["no adapter family called 'memry'"]),
        (["--adapter", "memory+memory"], ["remembers twice"]),
        (["--adapter", "memory+"], ["no adapter family called ''"]),
        (["--adapter", "prefix", "--tune-keys"], ["--tune-keys", "--adapter prefix+memory"]),
        (["--adapter", "memory", "--key-epochs", "0"], ["key_epochs is 0"]),
        (["--adapter", "memory", "--encoder", "nowhere/at/all"], ["nowhere"]),
    ],
)
def test_one_line_for_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: list[str]
) -> None:
    assert train(tmp_path / "out", *arguments) == 2
    told = capsys.readouterr().err
    assert len([line for line in told.splitlines() if line.strip()]) == 1, told
    for word in words:
        assert word in told
    assert not (tmp_path / "out").exists()


def rows(*of: dict[str, Any]) -> Any:
    files = sorted((GAUGES / "train").glob("*.jpg"))
    made = []
    for at, one in enumerate(of):
        one = dict(one)
        names = one.pop("n", 1)
        media = [str(file) for file in files[2 * at : 2 * at + names]]
        made.append({"image": media if names > 1 else media[0] if names else None, **one})
    return read_labelled(made, load_plugins().modalities)


def test_several_media_per_example(tmp_path: Path) -> None:
    pairs = [{"n": 2, "question": "Same?", "answer": ("yes", "no")[at % 2]} for at in range(12)]
    agent = Agent.load("tiny", dtype="float32")
    found = made(agent, rows(*pairs), tmp_path / "pairs")
    assert found.shots.keys.shape[1] == 2
    with pytest.raises(UserError, match=r"row \d+ has \d image inputs and row \d+ has \d"):
        gather(rows(*pairs[:-1], {"question": "Same?", "answer": "no"}), agent, TrainSettings())


def made(agent: Agent, data: Any, out: Path) -> Remembered:
    settings = TrainSettings(adapter="memory")
    return remember(gather(data, agent, settings), FAMILY, settings, out)


def test_what_cannot_be_remembered_names_the_row(tmp_path: Path) -> None:
    agent = Agent.load("tiny", dtype="float32")
    plain = [{"answer": ("low", "high")[at % 2], "question": "What is this?"} for at in range(8)]
    data = rows(*plain)
    blind = tuple(replace(one, media={}) if one.row == 3 else one for one in data.examples)
    with pytest.raises(UserError, match=r"row 3 has no image"):
        gather(replace(data, examples=blind), agent, TrainSettings())
    split = [{**one, "split": "train" if at < 6 else "validation"} for at, one in enumerate(plain)]
    data = rows(*split, {"answer": "low", "question": "so " * 3000, "split": "validation"})
    with pytest.raises(UserError, match=r"^row 9: "):
        made(agent, data, tmp_path / "long")
    assert list(tmp_path.iterdir()) == []


def test_the_words_of_a_run_are_parted() -> None:
    families = load_plugins().adapters
    assert without_memory("prefix", families) == ("prefix", None)
    assert without_memory("memory", families) == ("", FAMILY)
    assert without_memory("memory+prefix-mlp", families) == ("prefix-mlp", FAMILY)
