"""What the senses of the embedded bundle learn from, and what they are tested on: labelled rows by topic.

A topic is a kind of question with its own test: `audio` has digits, words and other sounds. The rows of a
split `test` are never trained on; they are those that the tables of the senses (`audio.py`, `series.py` ...)
are tested on, too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

Row = dict[str, Any]
NEVER_HEARD = "yweweler"  # the speaker that is kept for the test

__all__ = ["LEARNERS", "Row"]


def heard(data: Path) -> Iterator[Row]:
    """Digits spoken by people and programs, words spoken by programs, notes and noises."""
    import pyarrow.parquet as pq
    from audio import KNOWN, wav
    from spoken_words import DIGITS, plan, say, tones

    for one in pq.read_table(data / "fsdd" / "train.parquet").to_pylist():
        split = "test" if one["speaker"] == NEVER_HEARD else "train"
        yield _row(
            one["audio"]["bytes"], "digit", "Which digit is spoken?", one["label"], split, one["speaker"]
        )
    for split, each, seed in (("train", 30, 1), ("test", 8, 2)):
        for topic, words in (("digit", DIGITS), ("word", KNOWN)):
            if split == "test" and topic == "digit":
                continue
            for way in plan(words, each, seed, held_out=split == "test"):
                yield _row(
                    wav(*say(way))["bytes"], topic, f"Which {topic} is spoken?", way.word, split, way.voice
                )
        for label, wave, rate in tones(each, seed):
            yield _row(wav(wave, rate)["bytes"], "sound", "Which sound is it?", label, split)


def measured_over_time(data: Path) -> Iterator[Row]:
    """Five sets of series, each with its own question."""
    from series import SETS, labelled

    asked = {
        "BasicMotions": "What does the person do?",
        "GunPoint": "Which gesture is it?",
        "failures in approach to grasp": "What happened to the robot?",
        "OSULeaf": "Which leaf is it?",
        "PLAID": "Which appliance is it?",
    }
    for name, question in asked.items():
        for row in labelled(data / SETS[name]):
            lines = [",".join(row["channels"]), *(",".join(map(repr, one)) for one in row["values"]), ""]
            yield _row("\n".join(lines).encode(), name, question, row["label"], row["split"])


def seen_moving(data: Path) -> Iterator[Row]:
    """One coloured shape that moves: where to."""
    from video import PLAIN, asked

    for split in ("train", "test"):
        for row in asked(data, split, "direction"):
            yield _row(row["video"]["bytes"], "direction", PLAIN["direction"], row["answer"], split)


def molecules(data: Path) -> Iterator[Row]:
    """Molecules as atoms and bonds, which SMILES are read as, too; their solubility in three bands."""
    import graph

    for row in graph.molecules(data / "molecules" / "esol.parquet"):
        content = json.dumps({key: row[key] for key in graph.KEPT}).encode()
        yield _row(content, "solubility", graph.QUESTION, row["band"], row["split"])


def scenes(data: Path) -> Iterator[Row]:
    """Boxes of objects with a statement."""
    from set import number, statements

    for row, split in statements(data):
        content = json.dumps(row["structured_rep"]).encode()
        yield _row(content, "statement", row["sentence"], row["label"], split, number(row))


def _row(content: bytes, topic: str, question: str, answer: str, split: str, group: str | None = None) -> Row:
    """One labelled row; group: whose it is, where several rows come from one speaker or one author."""
    told = {"question": question, "answer": answer, "split": split, "group": group}
    return {"content": content, "topic": topic, **told}


LEARNERS: Mapping[str, Callable[[Path], Iterable[Row]]] = {
    "audio": heard,
    "series": measured_over_time,
    "video": seen_moving,
    "graph": molecules,
    "set": scenes,
}
"""By sense, the rows of the data sets' folder: content (bytes), topic, question, answer, split and group."""
