"""Fine-tuning with the feature cache against transformers' ``Trainer`` with the encoder in the loop.

Both sides start from the same weights, take the same rows in the same order with the same optimiser and
schedule, in float32, each in a process of its own; their losses must agree at every step to 1e-5 of the
first (rounding in the last bit of a gradient grows a little with every step of Adam). The peer
(peer_finetune.py) neither judges nor saves; ours does both once, and that counts against it. A first run
fills the cache, a later one finds it. Memory is the most a process held less what the imports of both take.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import Disagreement, Figure, Run, find_shared, python_path, run, script

FASTER, SMALLER, NEAR = 3.0, 0.8, 1e-5
EPOCHS = 30  # as `mmagent train` takes where nothing is said
FOREIGN_EPOCHS = 10  # with the larger encoder: the peer takes minutes
PEER = Path(__file__).with_name("peer_finetune.py")
DATA = PEER.parents[1] / "examples" / "gauges" / "labels.csv"
FOREIGN = "models/mobilenet_v2_1.0_224"
IMPORTS = "import torch, accelerate, transformers.modeling_utils"  # the last comes with any model

Told = dict[str, Any]


def measure(given: Namespace) -> list[Figure]:
    """The bundle's own encoder, and a larger one where it is there."""
    foreign = None if given.quick else find_shared(FOREIGN)
    encoders = {"its own encoder": None, **({foreign.name: foreign} if foreign else {})}
    floor = run([sys.executable, "-c", IMPORTS]).peak
    return [figure for name, place in encoders.items() for figure in _figures(name, place, floor, given)]


def _figures(name: str, encoder: Path | None, floor: int, given: Namespace) -> list[Figure]:
    """Speed of a first and of a later run, and memory of the first, with one encoder."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        epochs = 1 if given.quick else EPOCHS if encoder is None else FOREIGN_EPOCHS
        _ours("plan", folder, given, "--data", DATA, "--epochs", epochs, *_encoder(encoder))
        first: list[tuple[Run[str], Told]] = []
        later: list[tuple[Run[str], Told]] = []
        peer: list[tuple[Run[str], Told]] = []
        for _ in range(given.runs or (1 if given.quick else 3 if encoder is None else 1)):
            shutil.rmtree(folder / "cache", ignore_errors=True)
            first.append(_told(_ours("run", folder, given)))
            later.append(_told(_ours("run", folder, given)))
            peer.append(_told(run([sys.executable, PEER, folder])))
    apart = max(_apart(one[1], other[1]) for one, other in zip([*first, *later], [*peer, *peer], strict=True))
    about = {"dtype": "float32"}
    what = f"fine-tuning, {name}, {first[0][1]['examples']:,} examples"
    against = f"`Trainer`, encoder in the loop, every loss within {apart:.0e}"

    def rates(side: Sequence[tuple[Run[str], Told]], clock: str) -> list[float]:
        return [told["examples"] / told[clock] for _, told in side]

    def whole(side: Sequence[tuple[Run[str], Told]], clock: str, filling: str) -> list[float]:
        return [told["examples"] / (told[clock] + told[filling]) for _, told in side]

    def held(side: Sequence[tuple[Run[str], Told]]) -> list[float]:
        return [float(done.peak - floor) for done, _ in side]

    walls, cpus = rates(peer, "seconds"), rates(peer, "cpu")
    on_the_way = (whole(first, "seconds", "filling"), walls), (whole(first, "cpu", "filling cpu"), cpus)
    there = (rates(later, "seconds"), walls), (rates(later, "cpu"), cpus)
    return [
        _figure(f"{what}, cache filled on the way", against, on_the_way, FASTER, about),
        _figure(f"{what}, cache there", against, there, FASTER, about),
        _figure(f"{what}, peak memory over imports", against, ((held(first), held(peer)),), SMALLER, about),
    ]


def _figure(
    name: str,
    against: str,
    sides: Sequence[tuple[list[float], list[float]]],
    limit: float,
    about: dict[str, str],
) -> Figure:
    """Ours over the peer's, pair by pair: speeds by wall and processor time, or bytes."""
    ours, theirs = (sorted(side)[len(side) // 2] for side in sides[0])
    shown = [f"{one:.1f} per second" if limit > 1 else f"{one / 2**20:.0f} MiB" for one in (ours, theirs)]
    ratios, cpu = ([a / b for a, b in zip(*pair, strict=True)] for pair in (sides[0], sides[-1]))
    more = {"cpu": cpu} if len(sides) > 1 else {}
    return Figure(name, against, limit > 1, limit, ratios, shown[0], shown[1], about=about, **more)


def _ours(what: str, folder: Path, given: Namespace, *more: object) -> Run[str]:
    words = [sys.executable, "-m", "benchmarks.finetune_ours", what, folder, "--bundle", given.bundle, *more]
    return run([str(word) for word in words], env=python_path())


def _encoder(place: Path | None) -> list[str]:
    return [] if place is None else ["--encoder", str(place)]


def _told(done: Run[str]) -> tuple[Run[str], Told]:
    return done, json.loads(done.result.splitlines()[-1])


def _apart(ours: Told, theirs: Told) -> float:
    """The largest difference of two loss curves. Raises Disagreement where they are not the same."""
    if len(ours["losses"]) != len(theirs["losses"]):
        raise Disagreement(f"{len(ours['losses'])} steps against {len(theirs['losses'])}")
    apart = [abs(a - b) for a, b in zip(ours["losses"], theirs["losses"], strict=True)]
    worst = max(range(len(apart)), key=apart.__getitem__)
    if apart[worst] > NEAR * max(1.0, theirs["losses"][0]):
        raise Disagreement(
            f"the loss of step {worst + 1} is {ours['losses'][worst]:.7f} against "
            f"{theirs['losses'][worst]:.7f}"
        )
    return apart[worst]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as ``python -m benchmarks.finetune``."""
    return script(__doc__ or "", measure, arguments)


if __name__ == "__main__":
    sys.exit(main())
