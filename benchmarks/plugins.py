"""``mmagent --help`` with twenty strangers' plugins, and with our own senses, against the same without."""

from __future__ import annotations

import compileall
import json
import os
import shutil
import sys
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import Disagreement, Figure, Pairs, in_turns, milliseconds, mmagent, run, script

LIMIT = 1.1
STRANGERS = 20


def measure(given: Namespace) -> list[Figure]:
    """Both ratios, after a look at what each side brings."""
    with tempfile.TemporaryDirectory() as folder:
        places = {name: Path(folder, name) for name in ("nothing", "strangers", "unsensed")}
        for place in places.values():
            place.mkdir()
        make_strangers(places["strangers"])
        hide_senses(places["unsensed"])
        brought = {name: senses(place) for name, place in places.items()}
        ours = brought["nothing"]
        if len(brought["strangers"]) != len(ours) + STRANGERS or brought["unsensed"]:
            raise Disagreement(f"the sides bring {brought}")
        strangers = _turns(places["strangers"], places["nothing"], given)
        own = _turns(places["nothing"], places["unsensed"], given)
    return [
        _figure(
            f"`mmagent --help` with {STRANGERS} strangers' plugins, wall time", "without them", strangers
        ),
        _figure(f"`mmagent --help` with our senses ({', '.join(ours)}), wall time", "with none", own),
    ]


def make_strangers(place: Path) -> None:
    """Plugins as `mmagent plugins new` writes them and pip installs them: compiled, and with metadata."""
    from mmagent.scaffold import write_plugin

    for at in range(STRANGERS):
        made = write_plugin(f"sense{at:02}", place / "written")
        shutil.move(made.folder / made.package, place / made.package)
        shutil.rmtree(made.folder)
        _info(place, made.distribution, {f"sense{at:02}": made.package})
    compileall.compile_dir(place, quiet=2)


def hide_senses(place: Path) -> None:
    """A copy of mmagent's own entry points without the senses; first on the path, it is the one read."""
    from mmagent.entrypoints import find_entry_points
    from mmagent.plugins import load_plugins

    kept = {row.name for row in load_plugins().listing() if not any(map(_is_sense, row.brings))}
    found = [one for one in find_entry_points("mmagent") if one.distribution == "mmagent"]
    _info(place, "mmagent", {one.name: one.value for one in found if one.name in kept})


def senses(place: Path) -> list[str]:
    """The modalities that the command knows with this folder on the path."""
    told = json.loads(run([*mmagent(), "plugins", "--json"], env=_path(place)).result)
    return [thing.split()[1] for row in told["plugins"] for thing in row["brings"] if _is_sense(thing)]


def _turns(ours: Path, peer: Path, given: Namespace) -> Pairs[str]:
    """The same command on both sides; only what lies in the folder differs."""
    help_ = [*mmagent(), "--help"]
    return in_turns(lambda: run(help_, env=_path(ours)), lambda: run(help_, env=_path(peer)), given, usual=15)


def _figure(name: str, against: str, pairs: Pairs[str]) -> Figure:
    ours, theirs = pairs.medians(lambda one: one.seconds)
    return Figure(
        name,
        against,
        at_least=False,
        limit=LIMIT,
        ratios=pairs.ratios(lambda one: one.seconds),
        cpu=pairs.ratios(lambda one: one.cpu),
        ours=milliseconds(ours),
        theirs=milliseconds(theirs),
    )


def _info(place: Path, distribution: str, entries: dict[str, str]) -> None:
    info = place / f"{distribution.replace('-', '_')}-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 0.1.0\n")
    lines = [f"{name} = {value}" for name, value in entries.items()]
    (info / "entry_points.txt").write_text("\n".join(["[mmagent]", *lines, ""]))


def _path(place: Path) -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(place), os.environ.get("PYTHONPATH", "")]))}


def _is_sense(thing: str) -> bool:
    return thing.startswith("modality ")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as ``python -m benchmarks.plugins``."""
    return script(__doc__ or "", measure, arguments)


if __name__ == "__main__":
    sys.exit(main())
