"""Padding: the share of positions that the batches of a run leave empty, against batches drawn at random.

Lengths are those of the prompts and answers in the bundle's own tokens: questions of easy-VQA (drawn ones
where it is not there), names of classes, captions with a long tail, and a few very long rows among short
ones; in sets of 40 to thousands of rows, at several batch sizes. Nothing is timed.
"""

from __future__ import annotations

import random
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.measure import Figure, find_shared, script

LIMIT = 0.15
BATCHES = (8, 32, 64)
N_TOKENS = 2  # soft tokens of a `prefix` adapter
COLOURS, SHAPES = ("red", "blue", "green", "yellow", "black"), ("circle", "triangle", "rectangle")
THINGS = Path(__file__).resolve().parents[1] / "examples" / "tiny" / "things.tsv"

Count = Callable[[str], int]


def measure(given: Namespace) -> list[Figure]:
    """The worst batch size of every mix of rows."""
    return [_figure(name, lengths) for name, lengths in _mixes(_counter(given.bundle), given.quick).items()]


def _figure(name: str, lengths: Sequence[int]) -> Figure:
    from mmagent.training.order import Order

    ours = {size: Order(lengths, size, seed=0).waste() for size in BATCHES}
    theirs = {size: _at_random(lengths, size) for size in BATCHES}
    worst = max(ours, key=lambda size: ours[size])
    return Figure(
        f"share of padding: {len(lengths):,} {name} ({min(lengths)} to {max(lengths)} tokens), worst batch",
        "batches at random",
        at_least=False,
        limit=LIMIT,
        ratios=[ours[worst]],
        ours=f"{100 * ours[worst]:.1f} % in batches of {worst}",
        theirs=f"{100 * theirs[worst]:.1f} %",
    )


def _mixes(count: Count, quick: bool) -> Mapping[str, list[int]]:
    """Tokens of the rows of each mix."""
    rng = random.Random(0)

    def asked(question: str, answer: str) -> int:
        return (
            count("Picture:") + N_TOKENS + count(f"\nQuestion: {question}\nAnswer:") + count(f" {answer}") + 1
        )

    names = [line.split("\t")[0] for line in THINGS.read_text(encoding="utf-8").splitlines()[1:]]
    bare = asked("What is this?", "")
    questions = _easy_vqa(60 if quick else 4000)
    rng.shuffle(questions)
    captions = [bare + max(1, int(rng.lognormvariate(2.5, 0.6))) for _ in range(200 if quick else 2000)]
    long = [bare + (rng.randrange(100, 500) if rng.random() < 0.03 else 1) for _ in range(500)]
    return {
        "questions of easy-VQA": [asked(*one) for one in questions],
        "class names": [asked("What is this?", rng.choice(names)) for _ in range(400)],
        "class names, few": [asked("What is this?", rng.choice(names)) for _ in range(40)],
        "captions": captions,
        "captions, few": captions[:60],
        "short rows with a few very long ones": long,
    }


def _easy_vqa(most: int) -> list[tuple[str, str]]:
    """Questions with their answers."""
    place = find_shared("data/easy_vqa")
    if place is None:
        forms = ("what is the blue shape?", "does the image contain a {}?", "is there a {} in the image?")
        rng = random.Random(1)
        return [(rng.choice(forms).format(rng.choice(SHAPES)), rng.choice(COLOURS)) for _ in range(most)]
    from pyarrow import parquet

    rows = parquet.read_table(place / "train.parquet", columns=["questions", "answers"]).to_pylist()
    pairs = [pair for row in rows for pair in zip(row["questions"], row["answers"], strict=True)]
    return pairs[:most]


def _counter(bundle: str) -> Count:
    from tokenizers import Tokenizer

    from mmagent.bundle import Bundle, find_bundle
    from mmagent.plugins import load_plugins

    core = Bundle.open(find_bundle(bundle, load_plugins().bundles)).core
    tokenizer = Tokenizer.from_file(str(Path(core) / "tokenizer.json"))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def _at_random(lengths: Sequence[int], size: int) -> float:
    order = random.Random(0).sample(lengths, len(lengths))
    batches = [order[at : at + size] for at in range(0, len(order), size)]
    return 1 - sum(lengths) / sum(len(batch) * max(batch) for batch in batches)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as ``python -m benchmarks.padding``."""
    return script(__doc__ or "", measure, arguments)


if __name__ == "__main__":
    sys.exit(main())
