"""Few-shot episodes: evaluated with the shots of an episode read once, against read for every question.

500 episodes, 2-way 5-shot with one query per way, evaluated as `mmagent eval --episodes` does: in context
alone and with the shot memory, each beside its shuffled control. So eight questions follow the same ten
shots: two queries, each as it is and shuffled, without the memory and with it. The episodes are evaluated in
parts of 100, other ones in every pair of runs. On both sides everything is encoded before the time is taken.
Answers must be equal.
"""

from __future__ import annotations

import sys
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.batch import no_reuse
from benchmarks.measure import Figure, Run, demand_equal, in_turns, script, timed

if TYPE_CHECKING:
    from mmagent.agent import Agent
    from mmagent.data import LabelledSet

LIMIT = 3.0
SETTING = "ways=2,shots=5"
PART, PARTS = 100, 5  # episodes at a time, and how often
CLASSES, EACH = 12, 10  # what the pictures show does not matter to the time


def measure(given: Namespace) -> list[Figure]:
    """One figure, over five parts unless told."""
    from mmagent.agent import Agent

    agent = Agent.load(given.bundle, dtype=given.dtype)
    count = 12 if given.quick else PART
    parts = given.runs or (1 if given.quick else PARTS)
    with tempfile.TemporaryDirectory() as name:
        labelled = classes(agent, Path(name))

        def evaluated(part: int) -> Run[list[str]]:
            fresh = Agent(agent.bundle, agent.core, agent.plugins)
            fresh.memory_keys("image", [one.media["image"][0] for one in labelled])
            return timed(lambda: answers(fresh, labelled, count, part))

        ours, theirs = iter(range(parts)), iter(range(parts))

        def read_every_time() -> Run[list[str]]:
            with no_reuse():
                return evaluated(next(theirs))

        timed(
            lambda: answers(agent, labelled, 4, parts)
        )  # files and kernels: no whole pair is run for nothing
        told = Namespace(quick=True, runs=parts)
        pairs = in_turns(lambda: evaluated(next(ours)), read_every_time, told, usual=parts)
    for a, b in zip(pairs.ours, pairs.peer, strict=True):
        demand_equal(a.result, b.result, f"the answers in {count} episodes")
    mine, peers = pairs.medians(lambda one: one.seconds)
    return [
        Figure(
            f"{count * parts} few-shot episodes, 2-way 5-shot, throughput",
            "the same without prefix reuse",
            at_least=True,
            limit=LIMIT,
            ratios=pairs.ratios(lambda one: one.seconds, speed=True),
            cpu=pairs.ratios(lambda one: one.cpu, speed=True),
            ours=f"{count / mine:.1f} per second",
            theirs=f"{count / peers:.1f} per second",
            about={"dtype": str(agent.core.dtype).removeprefix("torch.")},
        )
    ]


def classes(agent: Agent, folder: Path) -> LabelledSet:
    """Drawn pictures, put into classes."""
    from benchmarks.pictures import draw_many
    from mmagent.data import read_labelled

    pictures = draw_many(folder, CLASSES * EACH)
    rows = [{"image": str(one), "label": f"thing {at % CLASSES}"} for at, one in enumerate(pictures)]
    return read_labelled(rows, agent.plugins.modalities)


def answers(agent: Agent, labelled: LabelledSet, count: int, seed: int) -> list[str]:
    """Every answer of an evaluation, the control's among them."""
    from mmagent.evaluation.episodes import evaluate_episodes, parse_settings

    found = evaluate_episodes(
        agent, labelled, parse_settings(SETTING), controls=("shuffled",), count=count, seed=seed, resamples=10
    )
    return [row.got for run in found.runs for row in (*run.answers, *run.controls["shuffled"])]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as ``python -m benchmarks.episodes``."""
    return script(__doc__ or "", measure, arguments)


if __name__ == "__main__":
    sys.exit(main())
