"""A sense that the bundle lacks is trained: by every family, with the modality's own encoder or another."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmagent import Agent
from mmagent.bundle import Bundle

Call = Callable[..., tuple[int, str, str]]
FEW = ("--epochs", 2, "--validations", 1, "--dtype", "float32")


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory, write_rows: Any) -> Path:
    return write_rows(tmp_path_factory.mktemp("tones"), ["tone"], 36)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tones: Path) -> Path:
    from mmagent_cli.app import main

    out = tmp_path_factory.mktemp("trained") / "hearing"
    assert main([*map(str, ("train", "--data", tones, "--out", out, "--epochs", 6, *FEW[2:]))]) == 0
    return out


def test_the_core_and_the_other_senses_stay_as_they_were(trained: Path) -> None:
    before, after = Agent.load("tiny", dtype="float32"), Agent.load(trained, dtype="float32")
    assert after.modalities == [*before.modalities, "tone"]
    assert after.core.fingerprint() == before.core.fingerprint()
    own = {name: one.sha256 for name, one in before.bundle.files.items()}
    there = {name: one.sha256 for name, one in after.bundle.files.items()}
    assert own.items() <= there.items()
    assert set(there) - set(own) == {"tone/adapter.safetensors"}
    picture = str(Path(__file__).parents[2] / "examples" / "pictures" / "cat.jpg")
    assert after.ask(image=picture).text == before.ask(image=picture).text


def test_the_encoder_is_kept_by_the_word_that_the_modality_names(trained: Path) -> None:
    told = json.loads((trained / "bundle.json").read_text())
    assert told["senses"]["tone"]["encoder"] == "builtin"
    assert told["senses"]["tone"]["adapter"]["family"] == "concepts"
    assert told["scores"]["validation"] > 0.9


def test_it_is_asked_and_evaluated_like_any_other(call: Call, trained: Path, tones: Path) -> None:
    row = json.loads(tones.read_text().splitlines()[0])
    code, out, err = call("ask", "--tone", row["tone"], row["question"], "--bundle", trained)
    assert (code, out.strip()) == (0, row["answer"]), err
    code, out, err = call(
        "eval", "--data", tones, "--bundle", trained, "--json", "--controls", "blind,shuffled"
    )
    assert code == 0, err
    scores = {s["name"]: s["scores"]["exact match"]["value"] for s in json.loads(out)["systems"]}
    assert scores["the adapter"] > scores["blind"] + 0.3
    assert scores["logistic regression"] > 0.9


@pytest.mark.parametrize("family", ["prefix", "resampler", "memory", "prefix+memory", "prefix+lora"])
def test_every_family_can_begin_a_sense(call: Call, tones: Path, tmp_path: Path, family: str) -> None:
    out = tmp_path / "out"
    code, _, err = call("train", "--data", tones, "--out", out, "--adapter", family, *FEW)
    assert code == 0, err
    entry = Bundle.open(out).senses["tone"]
    assert (entry.adapter is None) == (family == "memory")
    assert (entry.shots is not None) == ("memory" in family)
    answer = Agent.load(out, dtype="float32").ask("What is this?", tone=np.zeros(6))
    assert isinstance(answer.text, str)


def test_an_encoder_that_the_user_names_goes_before(call: Call, tones: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, _, err = call("train", "--data", tones, "--out", out, "--encoder", "other", *FEW)
    assert code == 0, err
    assert json.loads((out / "bundle.json").read_text())["senses"]["tone"]["encoder"] == "other"


def test_a_folder_of_that_name_is_not_taken_for_the_encoder(
    call: Call, tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "builtin").mkdir()
    (tmp_path / "builtin" / "mine.txt").write_text("no encoder")
    monkeypatch.chdir(tmp_path)
    for family, out in (("auto", "one"), ("memory", "two")):
        code, _, err = call("train", "--data", tones, "--out", out, "--adapter", family, *FEW)
        assert code == 0, err
        assert Bundle.open(out).senses["tone"].encoder == "builtin"


def test_a_modality_without_an_encoder_needs_one(call: Call, write_rows: Any, tmp_path: Path) -> None:
    rows = write_rows(tmp_path, ["touch"], 12)
    for adapter in ("auto", "memory"):
        code, _, err = call("train", "--data", rows, "--out", tmp_path / "out", "--adapter", adapter)
        assert code == 2
        assert len(err.strip().splitlines()) == 1
        assert "names no encoder of its own" in err
        assert "--encoder" in err
        assert not (tmp_path / "out").exists()
    code, _, err = call("train", "--data", rows, "--out", tmp_path / "out", "--encoder", "other", *FEW)
    assert code == 0, err


def test_the_check_before_it_speaks_of_a_sense_to_come(call: Call, tones: Path) -> None:
    code, out, err = call("data", "check", tones)
    assert code == 0, err
    assert "no sense for 'tone' yet" in out
    assert "time to train" in out


def test_lora_alone_needs_an_adapter_that_is_there(call: Call, tones: Path, tmp_path: Path) -> None:
    code, _, err = call("train", "--data", tones, "--out", tmp_path / "out", "--adapter", "lora", *FEW)
    assert code == 2
    assert "prefix+lora" in err


def test_asking_with_a_sense_that_is_not_there_is_still_refused(call: Call, tones: Path) -> None:
    row = json.loads(tones.read_text().splitlines()[0])
    code, _, err = call("ask", "What is this?", "--tone", row["tone"])
    assert code == 2
    assert "has no sense for 'tone'" in err


def test_training_goes_on_from_the_sense_that_was_made(
    call: Call, trained: Path, tones: Path, tmp_path: Path
) -> None:
    out = tmp_path / "again"
    code, _, err = call("train", "--data", tones, "--bundle", trained, "--out", out, *FEW)
    assert code == 0, err
    assert json.loads((out / "bundle.json").read_text())["senses"]["tone"]["encoder"] == "builtin"
