"""Cost as work grows: rows per second and memory of training and encoding, against the same at 100 rows.

CIFAR-10 where it is there, pictures of noise where not. Training takes a fixed number of steps at every size,
on features of the encoder's shape that were put into the cache before, so that no encoding is in it; encoding
is measured apart, up to 10,000 pictures, and all 50,000 with --all. Each run is a process of its own.
"""

from __future__ import annotations

import io
import json
import random
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import Figure, Run, find_shared, python_path, run, script

SIZES = (100, 1_000, 10_000, 50_000)
ENCODED = 10_000
QUICK = (24, 48)
STEPS = 60
FASTEST, LARGEST = 0.9, 1.3  # what counts as flat: every row keeps its place, answer and key, 2 KiB or so
GROUP = 1_000  # rows of a row group, as in the files themselves
LABELS = ("frog", "truck", "cat")

Told = tuple[Run[str], dict[str, Any]]


def measure(given: Namespace) -> list[Figure]:
    """Every size against the smallest."""
    sizes = QUICK if given.quick else SIZES
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in sizes:
            _write(folder / f"{size}.parquet", size, noise=given.quick)
        return [*_training(sizes, folder, given), *_encoding(sizes, folder, given)]


def _training(sizes: Sequence[int], folder: Path, given: Namespace) -> Iterator[Figure]:
    """Steps per second and the most memory held."""
    found: dict[int, list[Told]] = {size: [] for size in sizes}
    for size in () if given.quick else sizes:
        _one("fill", size, folder, folder / f"cache-{size}", given)
    for _ in range(given.runs or (1 if given.quick else 2)):
        for size in sizes:
            steps = 4 if given.quick else STEPS
            found[size].append(_one("train", size, folder, folder / f"cache-{size}", given, "--steps", steps))
    for size in sizes[1:]:
        yield _rate("training", size, found[size], found[sizes[0]], sizes[0])
        peaks = [[float(done.peak) for done, _ in found[at]] for at in (size, sizes[0])]
        shown = [f"{sum(side) / len(side) / 2**20:.0f} MiB" for side in peaks]
        ratios = [a / b for a, b in zip(*peaks, strict=True)]
        name, against = f"training on {size:,} rows, peak memory", f"{sizes[0]:,} rows"
        yield Figure(name, against, False, LARGEST, ratios, shown[0], shown[1], about={"dtype": "float32"})


def _encoding(sizes: Sequence[int], folder: Path, given: Namespace) -> Iterator[Figure]:
    """Pictures per second into an empty cache."""
    wanted = [size for size in sizes if size <= ENCODED or getattr(given, "all", False)]
    found = {}
    for size in wanted:
        found[size] = [_one("encode", size, folder, folder / f"encoded-{size}", given)]
    for size in wanted[1:]:
        yield _rate("encoding", size, found[size], found[wanted[0]], wanted[0])


def _rate(what: str, size: int, ours: Sequence[Told], base: Sequence[Told], least: int) -> Figure:
    ratios, cpu = (
        [a[key] / b[key] for (_, a), (_, b) in zip(ours, base, strict=True)] for key in ("rate", "cpu rate")
    )
    shown = [f"{sum(told['rate'] for _, told in side) / len(side):.1f} per second" for side in (ours, base)]
    on = "on" if what == "training" else "of"
    name, against = f"{what} {on} {size:,} rows, rows per second", f"{least:,} rows"
    about = {"dtype": "float32"}
    return Figure(name, against, True, FASTEST, ratios, shown[0], shown[1], cpu=cpu, about=about)


def _one(what: str, size: int, folder: Path, cache: Path, given: Namespace, *more: object) -> Told:
    words = [sys.executable, "-m", "benchmarks.growth_run", what, folder / f"{size}.parquet", cache]
    done = run([*map(str, words), "--bundle", given.bundle, *map(str, more)], env=python_path())
    return done, json.loads(done.result.splitlines()[-1])


def _write(target: Path, size: int, *, noise: bool) -> None:
    """So many labelled pictures as a parquet file."""
    import pyarrow
    from pyarrow import parquet

    place = None if noise else find_shared("data/cifar10")
    if place is None:
        rows = [{"image": {"bytes": _noise(at), "path": None}, "label": LABELS[at % 3]} for at in range(size)]
        table = pyarrow.Table.from_pylist(rows)
    else:
        files = sorted(place.glob("train-*.parquet"))
        parts = [parquet.read_table(file, columns=["image", "label"]) for file in files[: 1 + size // 25_001]]
        table = pyarrow.concat_tables(parts).slice(0, size)
    parquet.write_table(table, target, row_group_size=GROUP)


def _noise(seed: int) -> bytes:
    """A small PNG of noise."""
    from PIL import Image

    out = io.BytesIO()
    Image.frombytes("RGB", (32, 32), random.Random(seed).randbytes(32 * 32 * 3)).save(out, "PNG")
    return out.getvalue()


def _more(parser: ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="encode 50,000 pictures, too (minutes)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as ``python -m benchmarks.growth``."""
    return script(__doc__ or "", measure, arguments, more=_more)


if __name__ == "__main__":
    sys.exit(main())
