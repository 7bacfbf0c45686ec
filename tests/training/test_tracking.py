"""Trackers: what they are told, and one line for one that is not there."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, ClassVar

import pytest
from accelerate import tracking
from accelerate.tracking import GeneralTracker
from learner import SETTINGS, make_task, new_adapter

from mmagent import Agent
from mmagent.errors import UserError
from mmagent.training.loop import fine_tune
from mmagent.training.processes import new_accelerator
from mmagent.training.tracking import demand_tracker, tracked


class Notes(GeneralTracker):
    """Writes down what it is told."""

    name = "notes"
    requires_logging_directory = True
    kept: ClassVar[list[Any]] = []

    def __init__(self, run_name: str, logging_dir: str) -> None:
        super().__init__()
        self.kept.append((logging_dir, run_name))

    @property
    def tracker(self) -> list[Any]:
        return self.kept

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self.kept.append(values)

    def log(self, values: dict[str, Any], step: int | None = None, **more: Any) -> None:
        self.kept.append((step, values))

    def finish(self) -> None:
        self.kept.append("finished")


def test_a_tracker_is_told_settings_losses_and_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "notes", Notes)
    monkeypatch.setattr(Notes, "kept", [])
    agent = Agent.load("tiny", device="cpu", dtype="float32")
    few = SETTINGS.changed({"epochs": 1.0, "validations": 1})
    with tracked("notes", tmp_path / "run", few.as_json(), new_accelerator("cpu")) as log:
        out = fine_tune(make_task(agent), new_adapter(agent), few, tmp_path / "work", on_step=log)
    place, settings, *steps, last = Notes.kept
    assert place == (str(tmp_path), "run")
    assert settings == few.as_json()
    assert [step for step, _ in steps] == [1, 2, 3]
    assert steps[-1][1]["validation/score"] == out.history[-1].score
    assert sum(values["train/loss"] for _, values in steps) / 3 == pytest.approx(out.history[-1].loss)
    assert last == "finished"


def test_one_that_is_unknown_or_not_installed_is_one_line() -> None:
    with pytest.raises(UserError, match=r"no tracker called 'tensorbord'. .* Did you mean 'tensorboard'\?"):
        demand_tracker("tensorbord")
    if importlib.util.find_spec("wandb") is None:
        with pytest.raises(UserError, match=r"wandb is not installed: pip install wandb. Trackers installed"):
            demand_tracker("wandb")


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="tensorboard is not installed")
def test_tensorboard_writes_its_file(tmp_path: Path) -> None:
    with tracked("tensorboard", tmp_path / "run", SETTINGS.as_json(), new_accelerator("cpu")) as log:
        log(1, 2, 0.5, None)
    assert list((tmp_path / "run").rglob("events.out.tfevents.*"))
