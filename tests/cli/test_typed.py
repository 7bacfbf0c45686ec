"""Commands that give the same again: the numbers that were computed in, and nothing of an interruption."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mmagent.plugins import load_plugins
from mmagent.training.settings import TrainSettings
from mmagent_cli.train_run import Wish
from mmagent_cli.typed import typed

CORE = SimpleNamespace(dtype=torch.bfloat16)


@pytest.mark.parametrize("said", [[], ["--dtype", "auto"], ["--dtype=auto"]], ids=" ".join)
def test_a_resumed_command_is_told_from_the_start_and_with_its_dtype(monkeypatch, said):
    monkeypatch.setattr(sys, "argv", ["/bin/mmagent", "train", "--resume", *said, "--data", "my rows.csv"])
    assert typed(CORE) == ["mmagent", "train", "--data", "my rows.csv", "--dtype", "bfloat16"]


@pytest.mark.parametrize("given", [{}, {"device": "cuda", "load_in": "4bit"}], ids=str)
def test_a_bundle_is_measured_again_as_it_was(given):
    wish = Wish(
        data="rows.csv",
        out=Path("mine"),
        bundle="tiny",
        encoder=None,
        question="Which?",
        columns={"label": "word"},
        names=None,
        resume=True,
        report=Path("report"),
        dtype="auto",
        fsdp=False,
        tracker=None,
        settings=TrainSettings(seed=3),
        plugins=load_plugins(),
        **{"device": None, "load_in": None, **given},
    )
    words = ["mmagent", "eval", "--data", "rows.csv", "--bundle", "mine", "--split", "validation"]
    words += ["--question", "Which?", "--column", "label=word", "--controls", "blind", "--seed", "3"]
    words += ["--dtype", "bfloat16", *(["--device", "cuda", "--load-in", "4bit"] if given else [])]
    assert wish.again(CORE) == words
