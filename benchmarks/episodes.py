"""Few-shot episodes: evaluated with the shots of an episode read once, against read for every question.

500 episodes, 2-way 5-shot with one query per way, evaluated as `mmagent eval --episodes` does: in context
alone and with the shot memory, each beside its shuffled control. So eight questions follow the same ten
shots: two queries, each as it is and shuffled, without the memory and with it. On both sides everything is
encoded before the time is taken. Answers must be equal.
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
CLASSES, EACH = 12, 10  # what the pictures show does not matter to the time


def measure(given: Namespace) -> list[Figure]:
    """One figure: a long one, so one pair of runs counts unless more are asked for."""
    from mmagent.agent import Agent

    agent = Agent.load(given.bundle, dtype=given.dtype)
    count = 12 if given.quick else 500
    with tempfile.TemporaryDirectory() as name:
        labelled = classes(agent, Path(name))

        def answered(episodes: int = count) -> Run[list[str]]:
            fresh = Agent(agent.bundle, agent.core, agent.plugins)
            fresh.memory_keys("image", [one.media["image"][0] for one in labelled])
            return timed(lambda: answers(fresh, labelled, episodes))

        def read_every_time() -> Run[list[str]]:
            with no_reuse():
                return answered()

        answered(8)  # files, kernels
        once = Namespace(
            **{**vars(given), "quick": True}
        )  # no whole pair for nothing before the one that counts
        pairs = in_turns(answered, read_every_time, once, usual=1)
    for a, b in zip(pairs.ours, pairs.peer, strict=True):
        demand_equal(a.result, b.result, f"the answers in {count} episodes")
    ours, theirs = pairs.medians(lambda one: one.seconds)
    return [
        Figure(
            f"{count} few-shot episodes, 2-way 5-shot, throughput",
            "the same without prefix reuse",
            at_least=True,
            limit=LIMIT,
            ratios=pairs.ratios(lambda one: one.seconds, speed=True),
            cpu=pairs.ratios(lambda one: one.cpu, speed=True),
            ours=f"{count / ours:.1f} per second",
            theirs=f"{count / theirs:.1f} per second",
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


def answers(agent: Agent, labelled: LabelledSet, count: int) -> list[str]:
    """Every answer of an evaluation, the control's among them."""
    from mmagent.evaluation.episodes import evaluate_episodes, parse_settings

    found = evaluate_episodes(
        agent, labelled, parse_settings(SETTING), controls=("shuffled",), count=count, resamples=10
    )
    return [row.got for run in found.runs for row in (*run.answers, *run.controls["shuffled"])]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as ``python -m benchmarks.episodes``."""
    return script(__doc__ or "", measure, arguments)


if __name__ == "__main__":
    sys.exit(main())
