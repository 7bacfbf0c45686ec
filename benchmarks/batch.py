"""Many questions: ``--batch`` against one at a time, and shared shots read once against read every time.

Both sides have the same core, loaded and warm, and each run a new agent, so that no picture has been seen
before. Answers must be equal.
"""

from __future__ import annotations

import json
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from benchmarks.measure import Figure, Pairs, Run, demand_equal, in_turns, script, timed

if TYPE_CHECKING:
    from mmagent.agent import Agent
    from mmagent.core import Inputs

LIMIT = 4.0
QUESTIONS = (
    "What is this?",
    "What colour is it?",
    "Is there a circle in the picture?",
    "What is the shape of the thing in the picture?",
)
NAMES = ("dax", "blicket")
N_SHOTS = 8
ELSEWHERE = 1_000_000  # seeds of pictures that are in no question


def measure(given: Namespace) -> list[Figure]:
    """The rows of a file, then questions that share eight shots."""
    from mmagent.agent import Agent

    agent = Agent.load(given.bundle, dtype=given.dtype)
    n_rows, n_shared = (24, 12) if given.quick else (256, 200)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [rows_of_a_file(agent, folder, n_rows, given), shared_shots(agent, folder, n_shared, given)]


def rows_of_a_file(agent: Agent, folder: Path, count: int, given: Namespace) -> Figure:
    """``--batch`` over a file of rows against the same questions through `Agent.ask`, one by one."""
    from benchmarks.pictures import draw_many
    from mmagent.batch import run_batch

    pictures = draw_many(folder, count)
    rows = [{"image": one.name, "question": _question(at)} for at, one in enumerate(pictures)]
    source, out = folder / "rows.jsonl", folder / "answers.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    def batched() -> Run[list[str]]:
        fresh = _fresh(agent, folder)
        done = timed(lambda: run_batch(fresh, source, out, max_tokens=given.max_tokens))
        answers = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
        return Run(done.seconds, done.cpu, [str(row.get("answer", row)) for row in answers])

    def one_by_one() -> Run[list[str]]:
        fresh = _fresh(agent, folder)

        def ask(at: int, picture: Path) -> str:
            return fresh.ask(_question(at), image=picture, max_tokens=given.max_tokens).text

        return timed(lambda: [ask(at, picture) for at, picture in enumerate(pictures)])

    pairs = in_turns(batched, one_by_one, given, usual=9)
    return _figure(f"`--batch` of {count} questions, throughput", "one at a time", pairs, count, agent)


def shared_shots(agent: Agent, folder: Path, count: int, given: Namespace) -> Figure:
    """Questions that share their shots, with prefix reuse and without; everything else is the same."""
    from benchmarks.pictures import draw_many
    from mmagent.agent import Request, Shot

    near = draw_many(folder, N_SHOTS, first=ELSEWHERE + 1)
    shots = tuple(Shot(NAMES[at % len(NAMES)], QUESTIONS[0], {"image": [one]}) for at, one in enumerate(near))
    pictures = draw_many(folder, count)
    requests = [Request(QUESTIONS[0], {"image": [one]}, shots) for one in pictures]

    def answered() -> Run[list[str]]:
        fresh = _fresh(agent, folder)
        done = timed(lambda: fresh.ask_many(requests, max_tokens=given.max_tokens))
        return Run(done.seconds, done.cpu, [getattr(one, "text", str(one)) for one in done.result])

    def read_every_time() -> Run[list[str]]:
        with no_reuse():
            return answered()

    pairs = in_turns(answered, read_every_time, given, usual=9)
    name = f"{count} questions sharing {N_SHOTS} shots, throughput"
    return _figure(name, "the same without prefix reuse", pairs, count, agent)


@contextmanager
def no_reuse() -> Iterator[None]:
    """The core reads every prompt from its first token: nothing is known before, and nothing is kept."""
    from mmagent.core import prefill
    from mmagent.core.cache import Match

    def nothing_known(core: object, inputs: Inputs, cache: object, shared: int) -> list[Match]:
        return [Match(0, [])] * len(inputs.keys)

    with mock.patch.multiple(prefill, _known=nothing_known, _store=lambda *arguments: None):
        yield


def _fresh(agent: Agent, folder: Path) -> Agent:
    """An agent that has seen none of the pictures, awake: its encoder is loaded and has run."""
    from benchmarks.pictures import draw
    from mmagent.agent import Agent

    new = Agent(agent.bundle, agent.core, agent.plugins)
    new.ask(QUESTIONS[0], image=draw(folder / "elsewhere.png", ELSEWHERE), max_tokens=2)
    return new


def _figure(name: str, against: str, pairs: Pairs[list[str]], count: int, agent: Agent) -> Figure:
    for a, b in zip(pairs.ours, pairs.peer, strict=True):
        demand_equal(a.result, b.result, f"the answers to {count} questions")
    ours, theirs = pairs.medians(lambda one: one.seconds)
    return Figure(
        name,
        against,
        at_least=True,
        limit=LIMIT,
        ratios=pairs.ratios(lambda one: one.seconds, speed=True),
        cpu=pairs.ratios(lambda one: one.cpu, speed=True),
        ours=f"{count / ours:.1f} per second",
        theirs=f"{count / theirs:.1f} per second",
        about={"dtype": str(agent.core.dtype).removeprefix("torch.")},
    )


def _question(at: int) -> str:
    return QUESTIONS[at % len(QUESTIONS)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as ``python -m benchmarks.batch``."""
    return script(__doc__ or "", measure, arguments)


if __name__ == "__main__":
    sys.exit(main())
