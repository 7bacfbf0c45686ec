"""A sense that tells in words is trained beside: what fits it is chosen, and shots vote along."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmagent.agent import Agent
from mmagent.bundle import Bundle
from mmagent.data import LabelledSet, read_labelled
from mmagent.errors import UserError
from mmagent.feature_cache import FeatureCache
from mmagent.training.prepare import prepare
from mmagent.training.remember import gather, remember
from mmagent.training.settings import TrainSettings
from mmagent_adapters import FAMILIES
from mmagent_adapters.spelling import build
from mmagent_table.asker import Asker
from mmagent_table.encoders import write_asker

TOWNS = b"town,country\nOslo,Norway\nBergen,Norway\nRome,Italy\nPisa,Italy\nLima,Peru\n"


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Features are kept where no other run looks."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def told(asker: Asker, tiny_bundle: Path, tmp_path: Path) -> Agent:
    """An agent whose table sense tells in words, through an untrained `spelling`."""
    write_asker(tmp_path / "asker", asker)
    config = {"n_words": 8, "n_before": 1, "n_after": 1, "d_hidden": 8}
    parts: dict[str, Any] = {"core": tiny_bundle / "core", "table/encoder": tmp_path / "asker"}
    parts["table/adapter.safetensors"] = build(config, 0, 32).state_dict()
    adapter = {"family": "spelling", "config": config, "weights": "table/adapter.safetensors"}
    sense = {"table": {"encoder": "table/encoder", "adapter": adapter}}
    manifest = {"name": "told", "core": {"path": "core"}, "senses": sense}
    Bundle.write(tmp_path / "told", manifest, parts, card="# told\n")
    return Agent.load(tmp_path / "told", dtype="float32")


@pytest.fixture
def rows(told: Agent) -> LabelledSet:
    """Questions of several kinds, each with a split."""
    asked = [("what is the country of Oslo?", "Norway"), ("what is the country of Pisa?", "Italy")]
    asked += [("how many have a country of Peru?", "1"), ("what is the country of Bergen?", "Norway")]
    made = [
        {"table": TOWNS, "question": question, "answer": answer, "split": split}
        for split in ("train", "validation")
        for question, answer in asked
    ]
    return read_labelled(made, told.plugins.modalities)


def test_training_takes_a_prefix_and_not_the_adapter_of_words(
    told: Agent, rows: LabelledSet, tmp_path: Path
) -> None:
    made = prepare(rows, told, TrainSettings(), cache=FeatureCache(tmp_path / "features"))
    assert made.start.chosen.sense is not None
    assert made.start.chosen.sense.name == "prefix"
    with pytest.raises(UserError, match=r"that takes features\. Train one with it: --adapter prefix"):
        prepare(rows, told, TrainSettings(adapter="lora"), cache=FeatureCache(tmp_path / "features"))


def test_shots_are_remembered_beside_it_and_it_still_tells(
    told: Agent, rows: LabelledSet, tmp_path: Path
) -> None:
    family = next(one for one in FAMILIES if one.remembers)
    settings = TrainSettings(adapter="memory")
    found = remember(gather(rows, told, settings), family, settings, tmp_path / "out")
    agent = Agent.load(found.bundle.path, dtype="float32")
    assert agent.bundle.senses["table"].shots is not None
    assert agent.ask("what is the country of Rome?", table=TOWNS, max_tokens=2).prompt_tokens > 0
