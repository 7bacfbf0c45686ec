"""One side of the fine-tuning benchmark: ``mmagent``'s own training, in a process of its own.

    python -m benchmarks.finetune_ours plan FOLDER --bundle B [--encoder E] --data D --epochs N
    python -m benchmarks.finetune_ours run FOLDER

`plan` writes what both sides go by: FOLDER/plan.json and FOLDER/adapter.safetensors. `run` trains and prints
losses and seconds as JSON; the feature cache is FOLDER/cache, empty the first time.
"""

from __future__ import annotations

import json
import os
import sys
import time
from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmagent.agent import Agent
    from mmagent.data import LabelledSet
    from mmagent.training.settings import TrainSettings

JUDGED = 4  # validation rows: the peer has no validation, and ours cannot be without


def main() -> None:
    """Do one of both."""
    parser = ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("plan", "run"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bundle", default="tiny")
    parser.add_argument("--encoder")
    parser.add_argument("--data")
    parser.add_argument("--epochs", type=float, default=30.0)
    given = parser.parse_args()
    cache = given.folder / ("plan" if given.what == "plan" else "cache")
    os.environ["XDG_CACHE_HOME"] = str(cache)
    if given.what == "plan":
        plan(given.folder, given.bundle, given.encoder, given.data, given.epochs)
    else:
        print(json.dumps(run(given.folder)))


def plan(folder: Path, bundle: str, encoder: str | None, data: str, epochs: float) -> None:
    """Write models, rows, their order, the settings, and where the adapter starts."""
    from mmagent.tensors import write_tensors
    from mmagent.training.order import Order
    from mmagent.training.run import prepare

    told: dict[str, Any] = {"bundle": bundle, "own_encoder": encoder, "data": data, "epochs": epochs}
    agent, labelled, settings = _loaded(told)
    prepared = prepare(labelled, agent, settings, encoder=encoder)
    order = Order([len(row) for row in prepared.task.train], settings.batch_size, settings.seed)
    rows = [{"image": str(one.media["image"][0]), "answer": one.answer} for one in prepared.train]
    told |= {
        "core": str(agent.bundle.core),
        "encoder": prepared.encoder,
        "rows": rows,
        "order": [order.rows(step) for step in range(order.steps(epochs))],
        "learning_rate": settings.learning_rate,
        "warmup": settings.warmup,
        "weight_decay": settings.weight_decay,
        "clip": settings.clip,
    }
    write_tensors(folder / "adapter.safetensors", prepared.adapter.state_dict())
    (folder / "plan.json").write_text(json.dumps(told), encoding="utf-8")


def run(folder: Path) -> dict[str, Any]:
    """Train as planned: losses, seconds before the first step (loading aside), and those of all steps."""
    from mmagent.training.loop import fine_tune
    from mmagent.training.run import prepare

    told = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    agent, labelled, settings = _loaded(told)
    losses: list[float] = []
    if told["own_encoder"] is None:
        agent.encoder("image")  # loaded before, as the peer's is
    began = time.perf_counter(), time.process_time()
    prepared = prepare(labelled, agent, settings, encoder=told["own_encoder"])
    ready = time.perf_counter(), time.process_time()
    task = replace(prepared.task, validation=prepared.task.validation[:JUDGED])
    outcome = fine_tune(
        task,
        prepared.adapter,
        settings,
        folder / "states",
        on_step=lambda step, steps, loss, score: losses.append(loss),
    )
    done = time.perf_counter(), time.process_time()
    return {
        "losses": losses,
        "filling": ready[0] - began[0],
        "filling cpu": ready[1] - began[1],
        "seconds": done[0] - ready[0],
        "cpu": done[1] - ready[1],
        "examples": outcome.examples,
        "waste": outcome.waste,
    }


def _loaded(told: dict[str, Any]) -> tuple[Agent, LabelledSet, TrainSettings]:
    from mmagent.agent import Agent
    from mmagent.data import read_labelled
    from mmagent.training.settings import TrainSettings

    agent = Agent.load(told["bundle"], device="cpu", dtype="float32")
    labelled = read_labelled(told["data"], agent.plugins.modalities, split="train")
    own = {
        "adapter": "prefix",
        "epochs": float(told["epochs"]),
        "keep": False,
        "patience": 0,
        "validations": 1,
    }
    return agent, labelled, TrainSettings(**own)


if __name__ == "__main__":
    sys.exit(main())
