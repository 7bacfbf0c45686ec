"""``python -m benchmarks``: every benchmark, each in a process of its own, as one table."""

from __future__ import annotations

import shlex
import sys
import tempfile
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

import benchmarks
from benchmarks.measure import Figure, add_options, figures_from, run
from benchmarks.report import page

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).with_name("RESULTS.md")
SCRIPTS = (
    "startup",
    "plugins",
    "cold_ask",
    "warm_generate",
    "batch",
    "episodes",
    "finetune",
    "padding",
    "growth",
    "streaming",
)
RANDOM = "random"
OPTIONS = ("image", "runs", "dtype", "max_tokens")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; 0 when all ran and all answers agreed, whatever the figures are."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = ArgumentParser(
        prog="python -m benchmarks",
        description=benchmarks.__doc__,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("scripts", nargs="*", metavar="SCRIPT", help=f"of {', '.join(SCRIPTS)} (all)")
    add_options(parser)
    parser.add_argument(
        "--write",
        nargs="?",
        type=Path,
        const=RESULTS,
        metavar="FILE",
        help="write the page (RESULTS.md here)",
    )
    given = parser.parse_args(words)
    for name in given.scripts:
        if name not in SCRIPTS:
            parser.error(f"no benchmark called {name!r}. There are: {', '.join(SCRIPTS)}.")
    options = ["--quick"] if given.quick else []
    for name in OPTIONS:
        if (value := getattr(given, name)) is not None:
            options += [f"--{name.replace('_', '-')}", str(value)]
    with tempfile.TemporaryDirectory() as folder:
        bundle = given.bundle if given.bundle != RANDOM else _random(Path(folder) / RANDOM, given.quick)
        try:
            figures = _figures(given.scripts or SCRIPTS, ["--bundle", bundle, *options])
        except RuntimeError as error:
            print(error, file=sys.stderr)
            return 1
    name = given.bundle if given.bundle != RANDOM else "random weights in the shape of tiny"
    text = page(figures, name, shlex.join(["python", "-m", "benchmarks", *words]))
    print(text, end="")
    if given.write:
        given.write.write_text(text, encoding="utf-8")
    return 0


def _figures(scripts: Sequence[str], options: list[str]) -> list[Figure]:
    figures: list[Figure] = []
    for name in scripts:
        print(f"{name} ...", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}", "--json", *options]
        figures += figures_from(run(command, env={"PYTHONPATH": str(ROOT)}).result)
    return figures


def _random(target: Path, small: bool) -> str:
    """A bundle with random weights, made in a process of its own, like all that needs torch."""
    command = [sys.executable, "-m", "benchmarks.random_bundle", str(target)]
    run([*command, "--small"] if small else command, env={"PYTHONPATH": str(ROOT)})
    return str(target)


if __name__ == "__main__":
    sys.exit(main())
