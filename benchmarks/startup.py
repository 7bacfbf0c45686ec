"""``mmagent --help`` against ``python -c "import typer"``: what the command costs before it does anything."""

from __future__ import annotations

import re
import subprocess
import sys
from argparse import Namespace
from collections.abc import Sequence

from benchmarks.measure import (
    Disagreement,
    Figure,
    in_turns,
    milliseconds,
    mmagent,
    run,
    script,
)

LIMIT = 1.5
HEAVY = ("PIL", "jinja2", "numpy", "rich", "safetensors", "tokenizers", "torch", "transformers")


def measure(given: Namespace) -> list[Figure]:
    """Time both, after a look at what the command imports."""
    if heavy := sorted(imported() & set(HEAVY)):
        raise Disagreement(f"mmagent --help imports {', '.join(heavy)}")
    help_ = [*mmagent(), "--help"]
    typer = [sys.executable, "-c", "import typer"]
    pairs = in_turns(lambda: run(help_), lambda: run(typer), given, usual=15)
    ours, theirs = pairs.medians(lambda one: one.seconds)
    figure = Figure(
        "`mmagent --help`, wall time",
        '`python -c "import typer"`',
        at_least=False,
        limit=LIMIT,
        ratios=pairs.ratios(lambda one: one.seconds),
        cpu=pairs.ratios(lambda one: one.cpu),
        ours=milliseconds(ours),
        theirs=milliseconds(theirs),
    )
    return [figure]


def imported() -> set[str]:
    """Top-level packages that ``mmagent --help`` imports, as Python itself reports them."""
    command = [sys.executable, "-X", "importtime", "-m", "mmagent_cli", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    names = re.findall(r"^import time:[^|]*\|[^|]*\|\s*([\w.]+)\s*$", done.stderr, re.MULTILINE)
    if "typer" not in names:
        raise RuntimeError("python -X importtime did not list what was imported")
    return {name.partition(".")[0] for name in names}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as ``python -m benchmarks.startup``."""
    return script(__doc__ or "", measure, arguments)


if __name__ == "__main__":
    sys.exit(main())
