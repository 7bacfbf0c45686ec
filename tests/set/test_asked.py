"""What is asked of a set is held against it: by the reader, in training, by the agent, in its controls."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmagent import Agent
from mmagent.asked import Asked, asked_of, sources_asked
from mmagent.plugins import load_plugins
from mmagent_set.reader import SetReader

COLOURS, KINDS = ("red", "green", "blue"), ("apple", "pear", "plum")


def bowl(rng: np.random.Generator) -> list[dict[str, Any]]:
    n = int(rng.integers(1, 5))
    return [{"fruit": str(rng.choice(KINDS)), "color": str(rng.choice(COLOURS))} for _ in range(n)]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bowls of fruit, and statements that are true of half of them."""
    folder, rng = tmp_path_factory.mktemp("bowls"), np.random.default_rng(0)
    lines, seen = list[str](), set[str]()
    while len(lines) < 96:
        things = bowl(rng)
        color, fruit = str(rng.choice(COLOURS)), str(rng.choice(KINDS))
        true = any(one == {"fruit": fruit, "color": color} for one in things)
        told = f"{sorted(map(str, things))} {color} {fruit}"  # no question about the same bowl twice
        if true != (len(lines) % 2 == 0) or told in seen:
            continue
        seen.add(told)
        name = f"{len(lines)}.json"
        (folder / name).write_text(json.dumps(things))
        split = "test" if len(lines) >= 64 else "train"
        row = {"set": name, "question": f"There is a {color} {fruit}.", "answer": str(true).lower()}
        lines.append(json.dumps(row | {"split": split}) + "\n")
    (folder / "metadata.jsonl").write_text("".join(lines))
    return folder


@pytest.fixture
def call(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., str]:
    """Run ``mmagent`` with a feature cache of its own; what it says, where it went well."""
    from mmagent_cli.app import main

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def called(*arguments: object) -> str:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert code == 0, err
        return out

    return called


def test_a_question_for_yes_or_no_is_the_statement_of_a_set_and_another_is_not() -> None:
    reader, things = SetReader(), [{"color": "red"}]
    assert reader.load(Asked(things, "Is there a red thing?")).statement == "Is there a red thing?"
    assert reader.load(Asked(things, "In which box is it?")).statement == ""
    own = {"objects": things, "statement": "There is a red thing."}
    assert reader.load(Asked(own, "Is it true?")).statement == "There is a red thing."


def test_only_modalities_that_say_so_are_told_what_is_asked() -> None:
    modalities = load_plugins().modalities
    media = {"image": ("a.png",), "set": ("b.json",)}
    told = asked_of(media, "Is it red?", modalities)
    assert told == {"image": ("a.png",), "set": [Asked("b.json", "Is it red?")]}
    assert asked_of(media, None, modalities) is media
    assert asked_of({"image": ("a.png",)}, "Is it red?", modalities)["image"] == ("a.png",)
    assert sources_asked(told["set"], "Is it red?", modalities["set"]) == told["set"]


def test_training_asking_and_controls_hold_the_statement_against_the_set(
    rows: Path, call: Callable[..., str], tmp_path: Path
) -> None:
    bundle = tmp_path / "bowls"
    how = ["--epochs", 12, "--learning-rate", 0.03, "--validations", 2, "--dtype", "float32"]
    call("train", "--data", rows, "--out", bundle, *how)
    entry = json.loads((bundle / "bundle.json").read_text())["senses"]["set"]
    assert entry["adapter"]["family"] == "concepts"
    agent = Agent.load(bundle, dtype="float32")
    things = [{"fruit": "pear", "color": "green"}, {"fruit": "apple", "color": "red"}]
    (tmp_path / "things.json").write_text(json.dumps(things))
    said = [
        agent.ask(f"There is a {what}.", set=tmp_path / "things.json").text
        for what in ("green pear", "green apple")
    ]
    assert said == ["true", "false"]
    told = json.loads(
        call("eval", "--data", rows, "--bundle", bundle, "--json", "--controls", "blind,shuffled")
    )
    scores = {one["name"]: one["scores"]["exact match"]["value"] for one in told["systems"]}
    assert scores["the adapter"] >= 0.9
    assert scores["logistic regression"] >= 0.9
    assert max(scores["blind"], scores["shuffled"]) < 0.75
