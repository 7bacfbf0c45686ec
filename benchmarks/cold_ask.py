"""A cold ``mmagent ask`` against the shortest hand-written script that gives the same answer (peer_ask.py).

Both are started from nothing each time, about one picture; wall time, and the most memory held.
"""

from __future__ import annotations

import json
import sys
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import (
    Figure,
    Pairs,
    demand_equal,
    in_turns,
    milliseconds,
    mmagent,
    run,
    script,
)
from mmagent.bundle import find_bundle
from mmagent.plugins import load_plugins

TIME_LIMIT, MEMORY_LIMIT = 1.25, 1.15
QUESTION = "What is this?"  # as peer_ask.py has it
PEER = Path(__file__).with_name("peer_ask.py")
DRAWING = "import sys; from benchmarks.pictures import draw; draw(sys.argv[1], 1)"


def measure(given: Namespace) -> list[Figure]:
    """Time both, after they gave the same answer."""
    with tempfile.TemporaryDirectory() as folder:
        picture = given.image or drawn(Path(folder) / "picture.png")
        place = find_bundle(given.bundle, load_plugins().bundles).resolve()
        limit = ["--max-tokens", str(given.max_tokens), "--device", "cpu"]
        ours = [*mmagent(), "ask", QUESTION, "--image", picture, "--bundle", place, *limit]
        ours += ["--dtype", given.dtype] if given.dtype else []
        dtype = given.dtype or json.loads(run([*ours, "--json"]).result)["dtype"]
        peer = [sys.executable, PEER, place, picture, dtype, str(given.max_tokens)]
        pairs = in_turns(lambda: run(ours), lambda: run(peer), given, usual=9)
    for a, b in zip(pairs.ours, pairs.peer, strict=True):
        demand_equal([a.result.strip()], [b.result.strip()], "the answer")
    return [_time(pairs, dtype), _memory(pairs, dtype)]


def drawn(target: Path) -> Path:
    """One picture, drawn in a process of its own."""
    run([sys.executable, "-c", DRAWING, target], env={"PYTHONPATH": str(PEER.parents[1])})
    return target


def _time(pairs: Pairs[str], dtype: str) -> Figure:
    ours, theirs = pairs.medians(lambda one: one.seconds)
    return Figure(
        "cold `mmagent ask`, wall time",
        "transformers script, same weights and answer",
        at_least=False,
        limit=TIME_LIMIT,
        ratios=pairs.ratios(lambda one: one.seconds),
        cpu=pairs.ratios(lambda one: one.cpu),
        ours=milliseconds(ours),
        theirs=milliseconds(theirs),
        about={"dtype": dtype, "answer": pairs.ours[0].result.strip()},
    )


def _memory(pairs: Pairs[str], dtype: str) -> Figure:
    ours, theirs = pairs.medians(lambda one: one.peak)
    return Figure(
        "cold `mmagent ask`, peak memory",
        "the same script",
        at_least=False,
        limit=MEMORY_LIMIT,
        ratios=pairs.ratios(lambda one: one.peak),
        ours=f"{ours / 2**20:.0f} MiB",
        theirs=f"{theirs / 2**20:.0f} MiB",
        about={"dtype": dtype},
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as ``python -m benchmarks.cold_ask``."""
    return script(__doc__ or "", measure, arguments)


if __name__ == "__main__":
    sys.exit(main())
