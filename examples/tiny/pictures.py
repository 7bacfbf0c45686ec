"""The pictures that the sight of `tiny` is trained on: each source read once into memory, with its held-out
part apart.

Every source gives uint8 RGB arrays and a word for each picture. What the table measures is never read here:
CIFAR-10 test, Caltech-101 dev, easy-VQA test, two Omniglot alphabets, the last 1,000 MNIST digits.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

SIDE = 96
HELD_OUT_ALPHABETS = ("Balinese", "Early_Aramaic")
N_TEST_DIGITS = 1000
N_DEV = {"cifar10": 1000, "caltech101": 300, "mnist": 300, "easy_vqa": 200}


@dataclass
class Source:
    """`pictures` (N, S, S, 3) uint8 and one `label` each; `info` carries whatever else captions need."""

    pictures: np.ndarray[Any, Any]
    labels: list[str]
    info: list[Any]

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, start: int | None, stop: int | None) -> Source:
        """Rows `start` to `stop`."""
        cut = slice(start, stop)
        return Source(self.pictures[cut], self.labels[cut], self.info[cut])

    def where(self, keep: list[bool]) -> Source:
        """The rows whose flag is true."""
        at = [i for i, k in enumerate(keep) if k]
        return Source(self.pictures[at], [self.labels[i] for i in at], [self.info[i] for i in at])

    def names(self) -> list[str]:
        """Distinct labels, sorted."""
        return sorted(set(self.labels))


def decode(data: bytes, side: int | None) -> np.ndarray[Any, Any]:
    """Bytes to (S, S, 3) uint8; transparency falls on white; the whole picture is squeezed to a square."""
    picture = Image.open(io.BytesIO(data))
    if "transparency" in picture.info or picture.mode in ("RGBA", "LA", "PA"):
        picture = picture.convert("RGBA")
        ground = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        picture = Image.alpha_composite(ground, picture)
    picture = picture.convert("RGB")
    if side is not None and picture.size != (side, side):
        picture = picture.resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(picture)


def read(path: Path, side: int | None, label: str = "label", limit: int | None = None) -> Source:
    """A Parquet file of pictures; `info` holds the row without its picture."""
    rows = pq.read_table(path).slice(0, limit).to_pylist()
    arrays = np.stack([decode(row.pop("image")["bytes"], side) for row in rows])
    return Source(arrays, [str(row.get(label, "")) for row in rows], rows)


def cifar10(data: Path, split: str, limit: int | None = None) -> Source:
    """CIFAR-10 at its own 32 x 32. split: train, dev (the last 1,000 of train), test."""
    if split == "test":
        return read(data / "cifar10/test.parquet", None, limit=limit)
    parts = [read(p, None, limit=limit) for p in sorted((data / "cifar10").glob("train-*.parquet"))]
    whole = Source(
        np.concatenate([p.pictures for p in parts]),
        [word for p in parts for word in p.labels],
        [row for p in parts for row in p.info],
    )
    n = min(N_DEV["cifar10"], len(whole) // 5)
    return whole.part(None, -n) if split == "train" else whole.part(-n, None)


def caltech101(data: Path, split: str, side: int = 128, limit: int | None = None) -> Source:
    """Caltech-101. split: train, dev (every 21st row of the train file), test (the dev file)."""
    if split == "test":
        return read(data / "caltech101/dev.parquet", side, limit=limit)
    whole = read(data / "caltech101/train.parquet", side, limit=limit)
    return whole.where([(i % 21 == 20) == (split == "dev") for i in range(len(whole))])


def mnist(data: Path, split: str, limit: int | None = None) -> Source:
    """MNIST digits at 28 x 28. The last 1,000 are for the table, the 300 before them for choices made
    here.
    """
    whole = read(data / "mnist/train.parquet", None)
    cut = len(whole) - N_TEST_DIGITS
    parts = {"train": (0, cut - N_DEV["mnist"]), "dev": (cut - N_DEV["mnist"], cut), "test": (cut, None)}
    return whole.part(*parts[split]).part(0, limit)


def omniglot(data: Path, split: str, side: int = SIDE) -> Source:
    """Omniglot characters. split: train (three alphabets) or test (the held-out alphabets)."""
    whole = read(data / "omniglot/train.parquet", side)
    return whole.where([(row["alphabet"] in HELD_OUT_ALPHABETS) == (split == "test") for row in whole.info])


def easy_vqa(data: Path, split: str, limit: int | None = None) -> Source:
    """easy-VQA pictures at 64 x 64, labelled 'red circle' from their own answers. split: train, dev, test."""
    name = "test" if split == "test" else "train"
    whole = read(data / f"easy_vqa/{name}.parquet", None, limit=limit)
    whole = Source(whole.pictures, [easy_vqa_label(row) for row in whole.info], whole.info)
    if split == "test":
        return whole
    n = min(N_DEV["easy_vqa"], len(whole) // 5)
    return whole.part(None, -n) if split == "train" else whole.part(-n, None)


def easy_vqa_label(row: dict[str, Any]) -> str:
    """'blue rectangle', read off the answers of one easy-VQA row: what the picture shows, as a caption would
    say.
    """
    shapes = {"circle", "rectangle", "triangle"}
    colour = shape = ""
    for question, answer in zip(row["questions"], row["answers"], strict=True):
        if answer in shapes:
            shape = answer
        elif answer not in ("yes", "no"):
            colour = answer
        for word in shapes:
            if word in question and answer not in ("yes", "no"):
                shape = shape or word
    for question, answer in zip(row["questions"], row["answers"], strict=True):
        negated = " not " in question or " no " in question
        if answer in ("yes", "no") and (answer == "yes") != negated:
            for word in question.replace("?", "").split():
                if word in shapes:
                    shape = shape or word
                elif word in EASY_VQA_COLOURS:
                    colour = colour or word
    return f"{colour} {shape}".strip()


EASY_VQA_COLOURS = ("black", "blue", "brown", "gray", "green", "red", "teal", "yellow")


def twemoji(data: Path) -> Source:
    """Emoji drawings with their Unicode names."""
    return read(data / "twemoji/train.parquet", SIDE)
