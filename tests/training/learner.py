"""A small fine-tuning on made-up features, as a script: several processes of it are one run.

python learner.py FOLDER [FAMILIES]: writes FOLDER/adapter.safetensors, by the first process. FAMILIES is
prefix, lora, prefix+lora or concepts.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmagent import Agent
from mmagent.adapter import Labelled
from mmagent.core.assemble import spell
from mmagent.modality import Features
from mmagent.training.combined import Combined
from mmagent.training.loop import Outcome, Task, fine_tune
from mmagent.training.processes import leave
from mmagent.training.rows import fingerprint, learn_rows
from mmagent.training.settings import TrainSettings
from mmagent_adapters.bending import build_lora
from mmagent_adapters.concepts import build as build_concepts
from mmagent_adapters.concepts import fit
from mmagent_adapters.prefix import build_linear

WORDS = ("frog", "cat", "truck")
D = 12
SETTINGS = TrainSettings(epochs=8, batch_size=8, validations=4, patience=0, learning_rate=0.01)


@dataclass(frozen=True)
class Example:
    """A picture of something, made up."""

    row: int
    answer: str
    question: str | None = "What is this?"
    media: dict[str, Any] = field(default_factory=lambda: {"image": ("a.png",)})
    answers: tuple[str, ...] = ()
    choices: tuple[str, ...] | None = None
    source: str = ""


class Memory:
    """Features in memory: class number `at % 3` plus noise."""

    def __init__(self, n: int) -> None:
        rng = torch.Generator().manual_seed(0)
        centres = torch.randn(len(WORDS), D, generator=rng)
        self.pooled = centres[torch.arange(n) % len(WORDS)] + 0.1 * torch.randn(n, D, generator=rng)

    def batch(self, indices: Any) -> Features:
        pooled = self.pooled[list(indices)]
        return Features(pooled[:, None], torch.ones(len(pooled), 1, dtype=torch.bool), pooled)


def make_task(agent: Agent, n: int = 30, n_train: int = 24) -> Task:
    """`n` examples of three words, the first `n_train` of them to learn from."""
    examples = [Example(at + 1, WORDS[at % 3]) for at in range(n)]
    rows = learn_rows(agent, "image", examples, {at: [at] for at in range(n)}, 2)
    keys = [str(at) for at in range(n)]
    return Task(agent.core, rows[:n_train], rows[n_train:], Memory(n), fingerprint(rows, keys))


def new_adapter(agent: Agent, families: str = "prefix", dropout: float = 0.0) -> nn.Module:
    """The same untrained adapter every time, inside of the agent's core where the families say so."""
    agent.core.straighten()
    torch.manual_seed(3)
    if families == "concepts":
        concepts = build_concepts({"answers": sorted(WORDS), "n_tokens": 2}, D, agent.core.d_core)
        fit(
            concepts,
            Labelled(Memory(30).pooled, [WORDS[at % 3] for at in range(30)], partial(spell, agent.core)),
        )
        return concepts
    prefix = build_linear({"n_tokens": 2}, D, agent.core.d_core)
    if families == "prefix":
        return prefix
    inside = agent.core.bend(lambda model: build_lora({"r": 4, "dropout": dropout}, model))
    return Combined(prefix, inside, keeps=families == "lora")


def learn(
    agent: Agent, folder: Path, settings: TrainSettings = SETTINGS, families: str = "prefix"
) -> tuple[nn.Module, Outcome]:
    """Train in `folder`; the adapter and what the run came to."""
    adapter = new_adapter(agent, families)
    # 22 rows in steps of 8: the last step of an epoch has 6, and of 21 in four processes one has none
    return adapter, fine_tune(make_task(agent, 30, 21), adapter, settings, folder)


def main() -> None:
    """One process of a run."""
    from mmagent.tensors import write_tensors

    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    families = sys.argv[2] if len(sys.argv) > 2 else "prefix"
    adapter, out = learn(Agent.load("tiny", dtype="float32"), folder / "work", families=families)
    if torch.distributed.get_rank() == 0:
        write_tensors(folder / "adapter.safetensors", adapter.state_dict())
        (folder / "scores.txt").write_text(repr([(one.step, one.score) for one in out.history]))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
    leave(0)
