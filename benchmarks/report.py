"""The figures as a Markdown table, and what machine they were measured on."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.measure import Figure

HEAD = ("what", "against", "figure", "pairs", "floor", "", "in CPU time", "mmagent", "peer")
PACKAGES = ("torch", "transformers", "typer")


def table(figures: Sequence[Figure]) -> str:
    """One row per figure: the median ratio, its spread over the pairs of runs, the floor, pass or miss."""
    rows = [HEAD, ["---"] * len(HEAD), *(_row(figure) for figure in figures)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def page(figures: Sequence[Figure], bundle: str, command: str) -> str:
    """The whole page of results."""
    missed = sum(not figure.passed for figure in figures)
    verdict = f"{len(figures) - missed} of {len(figures)} floors reached."
    lines = [
        "# Results",
        "",
        "Each figure is mmagent's over its peer's: the median over pairs of runs taken in turns, with the",
        "least and the greatest pair beside it. Both sides gave the same answers.",
        "",
        table(figures),
        "",
        f"{verdict}",
        "",
        *(f"- {name}: {value}" for name, value in machine(figures, bundle).items()),
        "",
        "Measured by:",
        "",
        f"    {command}",
    ]
    return "\n".join(lines) + "\n"


def machine(figures: Sequence[Figure], bundle: str) -> dict[str, str]:
    """What a reader needs in order to judge the figures."""
    dtypes = sorted({figure.about["dtype"] for figure in figures if "dtype" in figure.about})
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return {
        "bundle": bundle,
        "processor": f"{_processor()}, {_cores()} cores",
        "memory": _memory(),
        "load at the end": f"{load} (of the whole machine, the benchmarks included)",
        "dtype": ", ".join(dtypes) or "none",
        "threads": os.environ.get("OMP_NUM_THREADS", "as torch chooses"),
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
        "commit": _commit(),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
    }


def _row(figure: Figure) -> list[str]:
    cpu = sorted(figure.cpu)[len(figure.cpu) // 2] if figure.cpu else None
    return [
        figure.name,
        figure.against,
        f"{figure.value:.2f}",
        f"{figure.spread} ({len(figure.ratios)})",
        f"at {'least' if figure.at_least else 'most'} {figure.limit:g}",
        "pass" if figure.passed else "**miss**",
        "" if cpu is None else f"{cpu:.2f}",
        figure.ours,
        figure.theirs,
    ]


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    except (ValueError, OSError):
        return "unknown"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    root = Path(__file__).resolve().parent
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
