"""Long inputs in bounded memory: an hour of sound and tables of a million rows, inspected and asked about.

For each of the senses audio, series and table that is installed. `mmagent inspect` stands against itself on
a short file of the same kind, `mmagent ask` against a question in words with the same bundle, each allowed
600 MB more than its peer. A sense that the bundle lacks gets an untrained prefix over the encoder that the
modality has of its own or --encoder names; without either it is inspected only.
"""

from __future__ import annotations

import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.long_inputs import HOUR, MILLION, write_series, write_sound, write_table
from benchmarks.measure import Figure, Pairs, in_turns, mmagent, python_path, run, script
from mmagent.bundle import Bundle, find_bundle
from mmagent.plugins import Plugins, load_plugins

LIMIT = 600_000_000  # bytes
Command = list[str | Path]
WORDS = "Can a frog fly?"
QUESTION = "What is this?"


@dataclass(frozen=True)
class Kind:
    """A long input: how it is written, how long, how short the one beside it, and how people call it."""

    write: Callable[[Path, int], Path]
    suffix: str
    long: int
    short: int
    told: str


KINDS = {
    "audio": Kind(write_sound, ".wav", HOUR, 2, "a one-hour wav"),
    "series": Kind(write_series, ".csv", MILLION, 500, "a series of a million rows"),
    "table": Kind(write_table, ".csv", MILLION, 500, "a table of a million rows"),
}
QUICK = {"audio": 20, "series": 5_000, "table": 5_000}


def measure(given: Namespace) -> list[Figure]:
    """Two figures for each of these senses that is installed; one where it has no encoder."""
    plugins = load_plugins()
    senses = [name for name in given.sense or KINDS if name in plugins.modalities]
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = _with_senses(given, senses, folder, plugins)
        able = Bundle.open(bundle, check_content=False).senses
        for sense in senses:
            print(f"  {KINDS[sense].told} ...", file=sys.stderr, flush=True)
            figures += _figures(sense, bundle, folder, given, asked=sense in able)
    return figures


def _figures(sense: str, bundle: Path, folder: Path, given: Namespace, *, asked: bool) -> Iterator[Figure]:
    kind = KINDS[sense]
    length = QUICK[sense] if given.quick else kind.long
    files = [kind.write(folder / f"{sense}-{size}{kind.suffix}", size) for size in (length, kind.short)]
    look: Command = [*mmagent(), "inspect", "--modality", sense, "--bundle", bundle]
    ask: Command = [*mmagent(), "ask", "--bundle", bundle, "--max-tokens", str(given.max_tokens)]
    about = [*ask, QUESTION, f"--{sense}", files[0]]
    sides: dict[str, tuple[Command, Command, str]] = {
        "inspect": ([*look, files[0]], [*look, files[1]], "the same of a short file"),
    }
    if asked:
        sides["ask"] = about, [*ask, WORDS], "a question in words"
    once = Namespace(**{**vars(given), "quick": not given.runs or given.quick})  # memory needs no warming up
    for command, (ours, peer, against) in sides.items():
        pairs = in_turns(lambda ours=ours: run(ours), lambda peer=peer: run(peer), once, usual=1)
        yield _figure(f"`mmagent {command}`, {kind.told}, memory", against, pairs)
    for file in files:
        file.unlink()


def _figure(name: str, against: str, pairs: Pairs[str]) -> Figure:
    ours, theirs = pairs.medians(lambda one: one.peak)
    seconds = pairs.medians(lambda one: one.seconds)[0]
    return Figure(
        name,
        f"{against}, and 600 MB",
        at_least=False,
        limit=1.0,
        ratios=[a.peak / (b.peak + LIMIT) for a, b in zip(pairs.ours, pairs.peer, strict=True)],
        ours=f"{ours / 1e6:.0f} MB in {seconds:.0f} s",
        theirs=f"{theirs / 1e6:.0f} MB",
    )


def _with_senses(given: Namespace, senses: Sequence[str], folder: Path, plugins: Plugins) -> Path:
    """The bundle itself where it has all the senses, else a copy with untrained ones for those it lacks."""
    place = find_bundle(given.bundle, plugins.bundles).resolve()
    there = Bundle.open(place, check_content=False).senses
    named = dict(word.split("=", 1) for word in given.encoder or ())
    encoders = {name: named.get(name) or plugins.modalities[name].encoder for name in senses}
    lacking = [f"{name}={encoder}" for name, encoder in encoders.items() if encoder and name not in there]
    if not lacking:
        return place
    command = [sys.executable, "-m", "benchmarks.untrained_senses", place, folder / "bundle", *lacking]
    run(command, env=python_path())
    return folder / "bundle"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as ``python -m benchmarks.streaming``."""
    return script(__doc__ or "", measure, arguments, more=_more)


def _more(parser: ArgumentParser) -> None:
    parser.add_argument("--sense", action="append", choices=KINDS, help="one of them alone; repeatable")
    parser.add_argument("--encoder", action="append", metavar="SENSE=DIR", help="an encoder; repeatable")


if __name__ == "__main__":
    sys.exit(main())
