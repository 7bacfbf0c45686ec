"""Labelled sets for few-shot evaluation, made of pictures that `tiny` was never trained on.

    python examples/fewshot/sets.py --data DATA --out SETS

writes one Parquet file a set, as `mmagent eval --data` reads it:

omniglot        the characters of the alphabets kept out of training, to draw episodes from
nlvr            a human sentence about a drawn picture of three boxes: true or false (Suhr et al. 2017)
nlvr-choices    the same, with both answers given to choose from
coco-exists     is there a dog? each thing asked of as many pictures that show it as of others
coco-count      how many dogs are there? one to six of them
coco-captions   does a caption, its own or another picture's, describe the picture?

All but the first have a split train, which shots are drawn from, and a split test. No picture stands in both,
and of NLVR no sentence either. A thing counts as absent from a COCO picture where neither a box nor any of
its five captions names it. DATA holds omniglot/, nlvr/ and coco_mini/ as Parquet files.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

HELD_OUT_ALPHABETS = ("Balinese", "Early_Aramaic")  # as in examples/tiny/pictures.py
NLVR_TRAIN = 0.25  # of the groups of sentences that were written together
MOST_THINGS = 4  # of one picture that are asked about
NUMBERS = ("one", "two", "three", "four", "five", "six")
SEED = "few-shot sets"
Row = dict[str, Any]


def omniglot(data: Path) -> list[Row]:
    """Characters of the held-out alphabets, labelled with alphabet and number."""
    rows = _read(data / "omniglot/train.parquet", "image", "label", "alphabet")
    return [
        {"image": row["image"], "label": row["label"]}
        for row in rows
        if row["alphabet"] in HELD_OUT_ALPHABETS
    ]


def nlvr(data: Path) -> list[Row]:
    """Sentences and whether they are true, split by the groups in which they were written.

    Training rows whose sentence or picture occurs among the others as well are left out.
    """
    rows = _read(data / "nlvr/dev.parquet", "image", "sentence", "label", "identifier")
    groups = sorted({row["identifier"].partition("-")[0] for row in rows})
    random.Random(SEED).shuffle(groups)
    train = set(groups[: round(NLVR_TRAIN * len(groups))])
    asked = [
        {
            "image": row["image"],
            "question": f"{row['sentence'].strip().rstrip('.')}. True or false?",
            "answer": row["label"],
            "split": "train" if row["identifier"].partition("-")[0] in train else "test",
        }
        for row in rows
    ]
    test = [row for row in asked if row["split"] == "test"]
    said, seen = {row["question"] for row in test}, {row["image"]["bytes"] for row in test}
    return [
        row
        for row in asked
        if row["split"] == "test" or not (row["question"] in said or row["image"]["bytes"] in seen)
    ]


def nlvr_choices(data: Path) -> list[Row]:
    """The same, with both answers to choose from."""
    return [{**row, "choices": "true|false"} for row in nlvr(data)]


def coco_exists(data: Path) -> list[Row]:
    """Yes and no in equal numbers for every thing, so that its name does not tell the answer."""
    return _of_both_splits(data, _exists)


def coco_count(data: Path) -> list[Row]:
    """How many of a thing there are, where every one has a box of its own."""
    return _of_both_splits(data, _count)


def coco_captions(data: Path) -> list[Row]:
    """Each picture with one of its captions and with one of another picture's."""
    return _of_both_splits(data, _captions)


SETS: dict[str, Callable[[Path], list[Row]]] = {
    "omniglot": omniglot,
    "nlvr": nlvr,
    "nlvr-choices": nlvr_choices,
    "coco-exists": coco_exists,
    "coco-count": coco_count,
    "coco-captions": coco_captions,
}


def write(rows: Sequence[Row], target: Path) -> Path:
    """Write rows as a Parquet file with the pictures inside."""
    target.parent.mkdir(parents=True, exist_ok=True)
    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    fields = [(name, picture if name == "image" else pa.string()) for name in rows[0]]
    aside = target.with_suffix(".part")
    pq.write_table(pa.Table.from_pylist(list(rows), pa.schema(fields)), aside, compression="zstd")
    aside.replace(target)
    return target


def _of_both_splits(data: Path, ask: Callable[[list[Row], random.Random], list[Row]]) -> list[Row]:
    """Questions about COCO-MINI's training pictures, then about its development pictures: the test."""
    made = []
    for file, split in (("train", "train"), ("dev", "test")):
        pictures = _read(data / f"coco_mini/{file}.parquet", "image", "captions", "objects")
        asked = ask(pictures, random.Random(f"{SEED} {split}"))
        made += [{**row, "split": split} for row in asked]
    return made


def _exists(pictures: list[Row], rng: random.Random) -> list[Row]:
    here: dict[str, list[Row]] = defaultdict(list)
    for picture in pictures:
        for thing in sorted({one["category"] for one in picture["objects"]})[:MOST_THINGS]:
            here[thing].append(picture)
    rows = []
    for thing, those in sorted(here.items()):
        others = [one for one in pictures if not _names(one, thing)]
        n = min(len(those), len(others))
        for answer, some in (("yes", rng.sample(those, n)), ("no", rng.sample(others, n))):
            rows += [_row(one, f"Is there {_a(thing)}?", answer) for one in some]
    return rows


def _count(pictures: list[Row], rng: random.Random) -> list[Row]:
    rows = []
    for picture in pictures:
        crowds = {one["category"] for one in picture["objects"] if one["iscrowd"]}
        counts = Counter(one["category"] for one in picture["objects"])
        for thing, n in sorted(counts.items())[:MOST_THINGS]:
            if thing not in crowds and n <= len(NUMBERS):
                rows.append(_row(picture, f"How many {_plural(thing)} are there?", NUMBERS[n - 1]))
    return rows


def _captions(pictures: list[Row], rng: random.Random) -> list[Row]:
    rows = []
    for at, picture in enumerate(pictures):
        other = pictures[(at + rng.randrange(1, len(pictures))) % len(pictures)]
        for of, answer in ((picture, "yes"), (other, "no")):
            said = rng.choice(of["captions"]).strip().rstrip(".")
            rows.append(_row(picture, f"Does this describe the picture: {said}?", answer))
    return rows


def _row(picture: Row, question: str, answer: str) -> Row:
    return {"image": picture["image"], "question": question, "answer": answer}


def _names(picture: Row, thing: str) -> bool:
    """Whether a box or a caption names the thing, or the last word of its name."""
    said = " ".join(picture["captions"]).lower()
    return thing in {one["category"] for one in picture["objects"]} or thing.split()[-1] in said


def _a(thing: str) -> str:
    return f"{'an' if thing[0] in 'aeiou' else 'a'} {thing}"


def _plural(thing: str) -> str:
    *before, last = thing.split()
    odd = {"person": "people", "sheep": "sheep", "mouse": "mice", "knife": "knives", "skis": "skis"}
    odd |= {"scissors": "scissors"}
    regular = last + ("es" if last.endswith(("s", "sh", "ch", "x")) else "s")
    return " ".join([*before, odd.get(last, regular)])


def _read(place: Path, *columns: str) -> list[Row]:
    found: list[Row] = pq.read_table(place, columns=list(columns)).to_pylist()
    return found


def main() -> None:
    """Write all sets."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    options = parser.parse_args()
    for name, make in SETS.items():
        rows = make(options.data)
        counts = Counter(row.get("answer", "characters") for row in rows)
        print(write(rows, options.out / f"{name}.parquet"), len(rows), dict(counts.most_common(6)))


if __name__ == "__main__":
    main()
