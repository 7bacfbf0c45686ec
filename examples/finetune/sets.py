"""Small labelled sets cut from large ones by seed, each one Parquet file with a split column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def caltech(data: Path, out: Path, *, classes: int, shots: int, seed: int) -> Path:
    """`classes` of Caltech-101 by seed, `shots` training pictures of each; theirs in dev are the test."""
    rng = np.random.Generator(np.random.PCG64(seed))
    train, dev = (
        pq.read_table(data / "caltech101" / f"{part}.parquet").to_pylist() for part in ("train", "dev")
    )
    by_class: dict[str, list[dict[str, Any]]] = {}
    for row in train:
        by_class.setdefault(row["label"], []).append(row)
    full = sorted(name for name, rows in by_class.items() if len(rows) >= shots)
    names = sorted(rng.choice(full, classes, replace=False).tolist())
    rows = [
        {"image": by_class[name][at]["image"], "label": name, "split": "train"}
        for name in names
        for at in sorted(rng.permutation(len(by_class[name]))[:shots].tolist())
    ]
    rows += [
        {"image": row["image"], "label": row["label"], "split": "test"}
        for row in dev
        if row["label"] in names
    ]
    columns = {"image": PICTURE, "label": pa.string(), "split": pa.string()}
    return _written(rows, columns, out / f"caltech-{seed}.parquet")


def easy_vqa(data: Path, out: Path, *, questions: int, seed: int) -> Path:
    """`questions` of easy-VQA's training questions by seed, and all its test questions."""
    rng = np.random.Generator(np.random.PCG64(seed))
    rows: list[dict[str, Any]] = []
    for split in ("train", "test"):
        pictures = pq.read_table(data / "easy_vqa" / f"{split}.parquet").to_pylist()
        asked = [
            {"image": one["image"], "question": question, "answer": answer, "split": split}
            for one in pictures
            for question, answer in zip(one["questions"], one["answers"], strict=True)
        ]
        some = (
            sorted(rng.permutation(len(asked))[:questions].tolist())
            if split == "train"
            else range(len(asked))
        )
        rows += [asked[at] for at in some]
    columns = {"image": PICTURE, "question": pa.string(), "answer": pa.string(), "split": pa.string()}
    return _written(rows, columns, out / f"easy-vqa-{seed}.parquet")


def _written(rows: list[dict[str, Any]], columns: dict[str, pa.DataType], file: Path) -> Path:
    pq.write_table(pa.Table.from_pylist(rows, pa.schema(list(columns.items()))), file)
    return file
