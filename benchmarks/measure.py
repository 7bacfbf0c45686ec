"""The measuring: a command or a function timed in turns with its peer, and what comes of it as a figure.

Nothing here imports torch: what a script measures it imports itself.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

__all__ = [
    "Disagreement",
    "Figure",
    "Pairs",
    "Run",
    "add_options",
    "demand_equal",
    "figures_from",
    "find_shared",
    "in_turns",
    "milliseconds",
    "mmagent",
    "python_path",
    "run",
    "script",
    "timed",
]

T = TypeVar("T")

FAILED_TAIL = 2000  # characters of a failed command's stderr that are shown


class Disagreement(Exception):
    """The two sides of a comparison do not do the same, so there is nothing to compare."""


@dataclass(frozen=True)
class Run(Generic[T]):
    """One run of one side: wall and processor seconds, what it gave, and for a command its peak in bytes."""

    seconds: float
    cpu: float
    result: T
    peak: int = 0


@dataclass(frozen=True)
class Pairs(Generic[T]):
    """Runs of both sides, taken in turns: ours[i] and peer[i] are neighbours in time."""

    ours: list[Run[T]]
    peer: list[Run[T]]

    def ratios(self, of: Callable[[Run[T]], float], *, speed: bool = False) -> list[float]:
        """Ours over the peer's, pair by pair; of speeds where less is better the inverse."""
        pairs = [(of(a), of(b)) for a, b in zip(self.ours, self.peer, strict=True)]
        return [b / a if speed else a / b for a, b in pairs]

    def medians(self, of: Callable[[Run[T]], float]) -> tuple[float, float]:
        """The medians of both sides, in the unit they were measured in."""
        return statistics.median(map(of, self.ours)), statistics.median(map(of, self.peer))


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    name    what is measured
    against the peer
    limit   the figure has to be `at most` or `at least` this
    ratios  one per pair of runs; the figure is their median
    cpu     the same in processor time, where that means anything
    ours, theirs  the medians, with their unit
    """

    name: str
    against: str
    at_least: bool
    limit: float
    ratios: list[float]
    ours: str
    theirs: str
    cpu: list[float] = field(default_factory=list)
    about: dict[str, str] = field(default_factory=dict)

    @property
    def value(self) -> float:
        """The figure."""
        return statistics.median(self.ratios)

    @property
    def passed(self) -> bool:
        """Whether the figure reaches its limit."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def spread(self) -> str:
        """The least and the greatest pair."""
        return f"{min(self.ratios):.2f} to {max(self.ratios):.2f}"


def in_turns(
    ours: Callable[[], Run[T]], peer: Callable[[], Run[T]], given: Namespace, usual: int
) -> Pairs[T]:
    """Run both sides once for nothing (files, kernels, caches), then in turns, A B A B ...

    `usual` pairs are counted where no number was asked for; a quick look is one pair and nothing before it.
    """
    if not given.quick:
        ours(), peer()
    pairs = [(ours(), peer()) for _ in range(given.runs or (1 if given.quick else usual))]
    return Pairs([a for a, _ in pairs], [b for _, b in pairs])


def timed(work: Callable[[], T]) -> Run[T]:
    """Run a function in this process, which first clears away what is left of the run before it."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return Run(time.perf_counter() - wall, time.process_time() - cpu, result)


_LAUNCH = """
import json, os, sys, time
start = time.perf_counter()
_, status, usage = os.wait4(os.spawnvp(os.P_NOWAIT, sys.argv[2], sys.argv[2:]), 0)
told = [time.perf_counter() - start, status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss]
with open(sys.argv[1], "w") as file:
    json.dump(told, file)
"""


def run(command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> Run[str]:
    """Run a command to its end; its stdout, and the most memory it held. Raises RuntimeError if it fails.

    A small process starts it: a child begins with the peak of the process it was forked from, and this one
    may be large.
    """
    words = [str(word) for word in command]
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "usage.json"
        launch = [sys.executable, "-I", "-S", "-c", _LAUNCH, str(told), *words]
        done = subprocess.run(launch, capture_output=True, env={**os.environ, **(env or {})}, check=False)
        texts = [stream.decode("utf-8", "replace") for stream in (done.stdout, done.stderr)]
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)} could not be started:\n{texts[1][-FAILED_TAIL:]}")
        seconds, status, cpu, peak = json.loads(told.read_text(encoding="utf-8"))
    code = os.waitstatus_to_exitcode(status)
    if code:
        raise RuntimeError(f"{' '.join(words)} ended with {code}:\n{texts[1][-FAILED_TAIL:]}")
    return Run(seconds, cpu, texts[0], peak * (1 if sys.platform == "darwin" else 1024))


def mmagent() -> list[str]:
    """The installed ``mmagent`` command of this Python, or the module behind it."""
    script = Path(sys.executable).with_name("mmagent")
    return [str(script)] if script.is_file() else [sys.executable, "-m", "mmagent_cli"]


def demand_equal(ours: Sequence[object], theirs: Sequence[object], what: str) -> None:
    """Raise Disagreement unless both sides gave the same, saying where they first part."""
    if len(ours) != len(theirs):
        raise Disagreement(f"{what}: {len(ours)} against {len(theirs)}")
    wrong = [at for at, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b]
    if wrong:
        at = wrong[0]
        raise Disagreement(
            f"{what}: {len(wrong)} of {len(ours)} differ; number {at} is {ours[at]!r} against {theirs[at]!r}"
        )


def script(
    about: str,
    measure: Callable[[Namespace], list[Figure]],
    arguments: Sequence[str] | None,
    *,
    more: Callable[[ArgumentParser], None] = lambda parser: None,
) -> int:
    """The command line that all scripts share: measure, and print a table or, for the runner, JSON.

    `more` adds options that one script alone has.
    """
    parser = ArgumentParser(description=about.splitlines()[0])
    add_options(parser)
    more(parser)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args(arguments)
    try:
        figures = measure(given)
    except Disagreement as error:
        print(f"the two sides disagree: {error}", file=sys.stderr)
        return 1
    if given.json:
        print(json.dumps([asdict(figure) for figure in figures]))
    else:
        from benchmarks.report import table

        print(table(figures))
    return 0


def add_options(parser: ArgumentParser) -> None:
    """What every script takes."""
    parser.add_argument("--bundle", default="tiny", help="bundle to measure, by name or directory (tiny)")
    parser.add_argument("--image", help="picture to ask about (one is drawn)")
    parser.add_argument("--runs", type=int, help="pairs of runs per figure (5 to 15; with --quick 1)")
    parser.add_argument("--dtype", help="float32 or bfloat16, for both sides (what mmagent chooses)")
    parser.add_argument("--max-tokens", type=int, default=32, help="longest answer, both sides (32)")
    parser.add_argument("--quick", action="store_true", help="a few small runs, to see that all works")


def figures_from(text: str) -> list[Figure]:
    """The figures that a script printed with ``--json``."""
    rows: list[dict[str, Any]] = json.loads(text)
    return [Figure(**row) for row in rows]


def python_path() -> dict[str, str]:
    """What a process needs in order to find the benchmarks, whatever this one was told to find."""
    places = [str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, places))}


def find_shared(folder: str) -> Path | None:
    """A folder of the material beside the checkout, or where MMAGENT_SHARED says; None if it is not there."""
    base = Path(os.environ.get("MMAGENT_SHARED") or Path(__file__).resolve().parents[2] / "shared")
    return base / folder if (base / folder).is_dir() else None


def milliseconds(seconds: float) -> str:
    """Seconds as ``812 ms`` or ``3.42 s``."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.0f} ms"
