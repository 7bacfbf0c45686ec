"""The light half: what importing it costs, what it declares, which files it takes for its own."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

from mmagent.conformance.check import Failed, demand
from mmagent.conformance.subject import Subject, python_beside
from mmagent.sniff import HEAD, possible

__all__ = ["declared_well", "light_import", "recognised"]

HEAVY = (
    "torch",
    "transformers",
    "numpy",
    "pandas",
    "scipy",
    "sklearn",
    "PIL",
    "matplotlib",
    "tensorflow",
    "jax",
)
SLOW_SECONDS = 0.5
READER = ("load", "describe", "fingerprint", "load_encoder")
FUZZED = 300  # first bytes that sniff must survive
SNIFF_SECONDS = 1.0  # for all of them

_IMPORT = """
import json, sys, time
import mmagent.hookspecs, mmagent.modality, mmagent.adapter, mmagent.source, mmagent.training.preset
before, start = set(sys.modules), time.process_time()
__import__(sys.argv[1])
seconds = time.process_time() - start
modules = {name.partition(".")[0] for name in set(sys.modules) - before}
print(json.dumps({"seconds": seconds, "modules": sorted(modules)}))
"""


def light_import(subject: Subject) -> str:
    """Importing what the entry point names imports no heavy package, measured in a process of its own."""
    module = subject.plugin.module.partition(":")[0]
    done = python_beside("-c", _IMPORT, module)
    if done.returncode:
        raise Failed(
            f"import {module} fails in a fresh process: {done.stderr.strip().splitlines()[-1][:300]}"
        )
    found = json.loads(done.stdout.splitlines()[-1])
    heavy = [name for name in HEAVY if name in found["modules"]]
    demand(
        not heavy,
        f"import {module} imports {', '.join(heavy)}, for which every command would wait. Import it inside "
        "the functions that need it, or in the module of the reader.",
    )
    demand(
        found["seconds"] < SLOW_SECONDS,
        f"import {module} takes {found['seconds']:.1f} s, and every command waits for it.",
    )
    return f"{1e3 * found['seconds']:.1f} ms, nothing heavy"


def declared_well(subject: Subject) -> str:
    """Help is one line, suffixes are suffixes, the reader has its methods, sniff answers whatever comes."""
    modality, reader = subject.modality, subject.reader
    demand(modality.help.strip() and "\n" not in modality.help, "`help` must be one line and say something.")
    wrong = [one for one in modality.extensions if not one.startswith(".") or one != one.lower()]
    demand(not wrong, f"`extensions` must be in lower case with their dot, and {wrong[:1]} is not.")
    lost = [name for name in READER if not callable(getattr(reader, name, None))]
    demand(
        not lost,
        f"{modality.reader} has no {', '.join(lost)}; mmagent.modality.Reader says what it must have.",
    )
    rng = random.Random(0)
    heads = [b"", b"\x00", *(rng.randbytes(rng.randint(1, HEAD)) for _ in range(FUZZED))]
    start = time.process_time()
    answers = [modality.sniff(head) for head in heads]
    seconds = time.process_time() - start
    demand(all(isinstance(one, bool) for one in answers), "`sniff` must give True or False.")
    demand(not answers[0], "`sniff` takes an empty file for its own.")
    demand(not any(answers[2:]), "`sniff` takes random bytes for its own.")
    demand(seconds < SNIFF_SECONDS, f"`sniff` takes {1e3 * seconds / len(heads):.0f} ms for a file.")
    return f"{modality.reader}, {', '.join(modality.extensions) or 'no suffixes'}"


def recognised(subject: Subject) -> str:
    """Every sample is found to be the modality's, or possibly so, as `mmagent inspect` finds it.

    At least one is by its content alone; those that are by their suffix alone are counted.
    """
    modality, modalities = subject.modality, subject.plugins.modalities
    others: set[str] = set()
    sniffed = 0
    for file in subject.files:
        head = _head(file)
        found = [one.name for one in possible(head, file.suffix, modalities)]
        demand(
            modality.name in found,
            f"{file.name} is not recognised: its first bytes and its suffix are taken for "
            f"{' or '.join(found) or 'no modality that is installed'}.",
        )
        sniffed += modality.sniff(head)
        others |= {*found} - {modality.name}
    demand(sniffed, "`sniff` recognises none of the samples by its first bytes.")
    n = len(subject.files)
    by_suffix = f", {n - sniffed} of them by their suffix alone" if sniffed < n else ""
    shared = f"; {', '.join(sorted(others))} would take such files, too" if others else ""
    return f"{n} files{by_suffix}{shared}"


def _head(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(HEAD)
