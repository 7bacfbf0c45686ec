"""Stage `calibrate`: Platt scale and bias of confidences, from development answers, one pair for each kind.

    python examples/tiny/calibrate.py --data DIR --bundle DIR

The development part: pictures kept out of training that the table does not use, and characters made of
strokes.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import questions as ask_about
from evaluate import Table
from make_bundle import fit_confidence
from pictures import Source, omniglot
from questions import Asked
from strokes import FIRST_UNSEEN, Strokes

from mmagent import Agent
from mmagent.bundle import CARD, Bundle
from mmagent.manifest import MANIFEST


def unseen_letters(data: Path, n: int, each: int) -> Source:
    """Made characters that neither training nor the fit of words and memory has drawn."""
    rng, strokes = random.Random("calibrate"), Strokes(omniglot(data, "train"))
    numbers = [2 * FIRST_UNSEEN + i for i in range(n) for _ in range(each)]
    drawn = [np.asarray(strokes.draw(strokes.character(number), rng)) for number in numbers]
    return Source(np.stack(drawn), [f"made {number}" for number in numbers], [{} for _ in numbers])


def rewrite(path: Path, changes: dict[str, Any], card: str | None = None) -> Bundle:
    """The same bundle with other entries in its manifest (None takes one out), whole or not at all."""
    manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    names = manifest.pop("files")
    manifest.pop("format")
    parts = {name: (path / name).read_bytes() for name in names}
    old = (path / CARD).read_text(encoding="utf-8")
    kept = {key: value for key, value in (manifest | changes).items() if value is not None}
    return Bundle.write(path, kept, parts, card=card or old, replace=True)


def collect(agent: Agent, data: Path, limit: int | None) -> dict[str, list[tuple[float, bool]]]:
    """(probability, right) of development answers, by the kind of question."""
    held = ask_about.held_out(data, "dev", limit)
    table = Table(agent, quiet=True)
    n = limit or 10**9
    for split in ("train", "test"):
        table.questions("cifar10", ask_about.naming(held["cifar10"], split, limit=min(n, 400)), False)
        table.questions("caltech101", ask_about.naming(held["caltech101"], split, limit=limit), False)
        table.questions("mnist", ask_about.naming(held["mnist"], split, "digit", limit=limit), False)
        table.questions("easy", ask_about.easy(held["easy_vqa"], split, min(n, 400)), False)
        photos = [held["cifar10"], held["caltech101"]]
        table.questions("facts", ask_about.knowledge(photos, split, 6, limit=min(n, 400)), False)
        table.questions("scenes", ask_about.scenes(min(n, 300), split, pairs="train", seed="dev"), False)
    out = {"vqa": [pair for row in table.rows for pair in row.sure]}
    shapes = held["easy_vqa"]
    told = zip(shapes.pictures, ask_about.easy_captions(shapes), strict=True)
    out["caption"] = table.captions("captions", [Asked(p, "", s, "") for p, s in told if s][:n]).sure
    letters = unseen_letters(data, 40, 8)
    count = min(n, 200)
    out["fewshot"] = table.binding(
        "context", ask_about.episodes(letters, count, 2, 5), memory=False, controls=False
    ).sure
    out["memory"] = []
    for ways, shots in ((2, 5), (5, 5), (20, 1)):
        episodes = ask_about.episodes(letters, count, ways, shots)
        out["memory"] += table.binding("memory", episodes, memory=True, controls=False).sure
    return out


def main() -> None:
    """Fit and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--bundle", type=Path, required=True, help="folder of the bundle, which is rewritten")
    parser.add_argument("--limit", type=int, help="at most so many questions of a kind")
    options = parser.parse_args()
    rewrite(options.bundle, {"calibration": None})
    found = collect(Agent.load(options.bundle), options.data, options.limit)
    calibration: dict[str, Any] = {}
    for kind, pairs in found.items():
        scale, bias = fit_confidence(pairs)
        calibration[kind] = {"scale": round(scale, 4), "bias": round(bias, 4)}
        share = sum(good for _, good in pairs) / len(pairs)
        print(f"{kind}: {len(pairs)} answers, {100 * share:.1f} % right, {calibration[kind]}", flush=True)
    rewrite(options.bundle, {"calibration": calibration["vqa"] | calibration})


if __name__ == "__main__":
    main()
