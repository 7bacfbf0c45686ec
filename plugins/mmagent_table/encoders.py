"""Encoders of tables: rows and columns without weights, one-row tables for classifying rows, and the asker.

builtin   hashed names, values and statistics (Weinberger et al. 2009); rows in any order pool to the same
rows      a table of one row as a vector with places for its columns: what a classifier of rows takes
DIR       config.json and model.safetensors of a fitted asker: it tells the cells that answer the question in
          words; its features are those of `builtin`

Where a question came with the table, the features of `builtin` end with what of it the table knows.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mmagent.errors import UserError, did_you_mean
from mmagent.features import stacked
from mmagent.files import staged
from mmagent.modality import Features
from mmagent.tensors import read_tensors, write_tensors
from mmagent_table.asker import ANSWER_KINDS, N_FEATURES, Asker
from mmagent_table.cells import as_bool, as_date, as_number, is_missing
from mmagent_table.columns import KINDS, Column, value_of
from mmagent_table.match import Question, header_match
from mmagent_table.programs import OPERATIONS, parts_of
from mmagent_table.table import apart
from mmagent_table.tell import sampled, tell
from mmagent_table.words import stems

if TYPE_CHECKING:
    from mmagent.modality import Encoder
    from mmagent_table.table import AskedTable, Row, Table

__all__ = ["AskedTableEncoder", "RowEncoder", "TableEncoder", "load_encoder", "write_asker"]

OWN = ("builtin", "rows")
FORMAT = "mmagent-table-asker-2"
D_NUMBERS, D_WORDS, D_NAMES, D_ALL, D_ASKED = 64, 128, 64, 64, 64  # parts of a `builtin` feature
D_EVIDENCE = 16  # of D_ASKED: what the table knows of the question; the rest are its words
N_ROWS = 128  # row vectors of a table
D_ROW = (192, 256, 64)  # of `rows`: numbers, values, what is missing


def load_encoder(location: str, *, device: torch.device) -> Encoder:
    """The encoder of a name or directory. Raises `UserError`."""
    if location == "builtin":
        return TableEncoder(device)
    if location == "rows":
        return RowEncoder(device)
    place = Path(location)
    if not (place / "config.json").is_file():
        raise UserError(
            f"there is no table encoder {location!r}. There are: {', '.join(OWN)}, and directories with a "
            f"fitted asker (config.json, model.safetensors).{did_you_mean(location, OWN)}"
        )
    return AskedTableEncoder(read_asker(place), device)


class TableEncoder:
    """Tables as hashed features; nothing is fitted."""

    d_encoder = D_NUMBERS + D_WORDS + D_NAMES + D_ALL + D_ASKED

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @property
    def id(self) -> str:
        """sha256 of what is computed."""
        told = ("table builtin 3", D_NUMBERS, D_WORDS, D_NAMES, D_ALL, D_ASKED, D_EVIDENCE, N_ROWS)
        return hashlib.sha256(repr(told).encode()).hexdigest()

    def encode(self, batch: Sequence[Table | AskedTable]) -> Features:
        """values (B, n, d_encoder): a vector for each row of an even sample; pooled (B, d_encoder).

        pooled holds the mean of the sample's row vectors, the names, statistics of all rows, and the
        question.
        """
        return stacked([self._one(*apart(raw)) for raw in batch], self.d_encoder, self.device)

    def _one(self, table: Table, question: str | None) -> tuple[Any, Any]:
        summary = table.summary
        rows = np.array([_row_vector(row, summary.columns) for row in summary.sample])
        pooled = np.zeros(self.d_encoder)
        pooled[: D_NUMBERS + D_WORDS] = rows.mean(axis=0)
        at = D_NUMBERS + D_WORDS
        for column in summary.columns:
            for word in stems(column.name):
                place, sign = _place(f"name {word}", D_NAMES)
                pooled[at + place] += sign / len(summary.columns) ** 0.5
        pooled[at + D_NAMES : at + D_NAMES + D_ALL] = _statistics(summary)
        if question is not None:
            pooled[at + D_NAMES + D_ALL :] = _heard(table, question)
        values = np.zeros((min(len(rows), N_ROWS), self.d_encoder))
        values[:, : rows.shape[1]] = rows[:N_ROWS]
        return values, pooled


class RowEncoder:
    """A table of one row as features a classifier takes; of several rows, their mean.

    Each column has places of its own by a hash of its name: its number and the number's logarithm, its value
    where it is a word, and whether it is missing.
    """

    d_encoder = sum(D_ROW)

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @property
    def id(self) -> str:
        """sha256 of what is computed."""
        return hashlib.sha256(f"table rows 2 {D_ROW}".encode()).hexdigest()

    def encode(self, batch: Sequence[Table | AskedTable]) -> Features:
        """values (B, n, d_encoder), one for each row (at most 128); pooled (B, d_encoder), their mean.

        It does not look at questions.
        """
        made = []
        for table, _ in map(apart, batch):
            rows = np.array([features_of_row(row, table.names) for row in table.summary.sample])
            made.append((rows[:N_ROWS], rows.mean(axis=0)))
        return stacked(made, self.d_encoder, self.device)


class AskedTableEncoder(TableEncoder):
    """Tables in the light of a question: the asker finds the answer's cells and tells them in words."""

    def __init__(self, asker: Asker, device: torch.device) -> None:
        super().__init__(device)
        self.asker = asker

    @property
    def id(self) -> str:
        """sha256 over the weights, the words that have some, and what is computed beside them."""
        digest = hashlib.sha256(f"{super().id} {FORMAT} {'|'.join(self.asker.words)}".encode())
        for part in (self.asker.features, self.asker.by_word, self.asker.by_kind):
            digest.update(np.ascontiguousarray(part, dtype=np.float32).tobytes())
        return digest.hexdigest()

    def tell(self, batch: Sequence[Table | AskedTable]) -> Sequence[str]:
        """The cells that answer each question; without one, what there is."""
        return [words for words, _ in self.answer(batch)]

    def answer(self, batch: Sequence[Table | AskedTable]) -> Sequence[tuple[str, float]]:
        """What `tell` says, and the probability that the asker gives it."""
        found = (tell(*apart(raw), self.asker) for raw in batch)
        return [(one.words, one.sure) for one in found]


def features_of_row(row: Row, names: Sequence[str]) -> Any:
    """(sum(D_ROW),) a row as numbers, whatever the other rows are."""
    numbers, values, missing = D_ROW
    vector = np.zeros(sum(D_ROW))
    for name, cell in zip(names, row, strict=True):
        if is_missing(cell):
            vector[numbers + values + _place(f"missing {name}", missing)[0]] = 1.0
            continue
        number, date = as_number(cell), as_date(cell)
        if number is not None or date is not None:
            value = number.value if number is not None else float(date or 0.0)
            place = 2 * _place(f"number {name}", numbers // 2)[0]
            vector[place] += value
            vector[place + 1] += np.sign(value) * np.log1p(abs(value))
            continue
        truth = as_bool(cell)
        words = [cell.lower()] if truth is None else [str(truth)]
        for word in dict.fromkeys([*words, *(stems(cell) if len(cell.split()) > 1 else ())]):
            place, sign = _place(f"value {name} {word}", values)
            vector[numbers + place] += sign
    return vector


def _row_vector(row: Row, columns: Sequence[Column]) -> Any:
    """(D_NUMBERS + D_WORDS,): numbers against their column, and words with the names of their columns."""
    vector = np.zeros(D_NUMBERS + D_WORDS)
    for cell, column in zip(row, columns, strict=True):
        if is_missing(cell):
            continue
        if column.is_ordered and (value := value_of(cell, column)) is not None:
            place, sign = _place(f"number {column.name}", D_NUMBERS)
            spread = column.std or 1.0
            vector[place] += sign * np.tanh((value - (column.mean or 0.0)) / spread)
            continue
        for word in stems(cell):
            place, sign = _place(f"{column.name} {word}", D_WORDS // 2)
            vector[D_NUMBERS + place] += sign
            place, sign = _place(word, D_WORDS // 2)
            vector[D_NUMBERS + D_WORDS // 2 + place] += sign
    return vector


def _heard(table: Table, question: str) -> Any:
    """(D_ASKED,) what of a question its table knows, and the question's words."""
    grid = sampled(table)
    heard = Question.of(question, grid)
    parts = parts_of(heard, grid)[1:]
    best = parts[0] if parts else None
    content = [heard.words[at] for at in sorted(heard.content)]
    known = [word in grid.idf for word in content]
    names = header_match(heard, grid)
    covered = {at for part in parts for one in part.conditions for at in range(one.start, one.end)}
    told = [
        np.log1p(len(content)),
        sum(known) / max(len(known), 1),
        float(all(known) and bool(known)),
        len(covered & heard.content) / max(len(content), 1),
        max(share for share, _, _ in names),
        sum(share == 1.0 for share, _, _ in names) / len(names),
        np.log1p(len(parts)),
        0.0 if best is None else np.log1p(len(best.rows)),
        0.0 if best is None else len(best.rows) / len(grid),
        0.0 if best is None else float(len(best.conditions) == 2),
        0.0 if best is None else sum(one.weight for one in best.conditions) / 10,
        0.0 if best is None else float(all(one.relation == "is" for one in best.conditions)),
    ]
    vector = np.zeros(D_ASKED)
    vector[: len(told)] = told
    for word in heard.words:
        place, sign = _place(f"asked {word}", D_ASKED - D_EVIDENCE)
        vector[D_EVIDENCE + place] += sign
    return vector


def _statistics(summary: Any) -> Any:
    """(D_ALL,) sizes, types, gaps, entropies and spreads over all rows."""
    columns: Sequence[Column] = summary.columns
    shares = [sum(column.kind == kind for column in columns) / len(columns) for kind in KINDS]
    missing = [column.missing / max(column.n, 1) for column in columns]
    entropy = [column.entropy for column in columns]
    unique = [column.distinct / max(column.n, 1) for column in columns]
    numbers = [column for column in columns if column.kind == "number"]
    told = [np.log1p(summary.n_rows), np.log1p(len(columns)), *shares]
    for some in (missing, entropy, unique, [column.mean_length for column in columns]):
        told += [float(np.mean(some)), float(np.max(some)), float(np.min(some))]
    for pick in ("low", "high", "mean", "std"):
        values = [getattr(column, pick) or 0.0 for column in numbers] or [0.0]
        logs = np.sign(values) * np.log1p(np.abs(values))
        told += [float(logs.mean()), float(logs.max()), float(logs.min())]
    vector = np.zeros(D_ALL)
    vector[: len(told)] = told
    return vector


@lru_cache(1 << 16)
def _place(word: str, size: int) -> tuple[int, float]:
    """Where a word is counted, and with which sign."""
    code = zlib.crc32(word.encode("utf-8", "surrogatepass"))
    return (code >> 1) % size, 1.0 if code & 1 else -1.0


def write_asker(directory: str | Path, asker: Asker) -> None:
    """Write a fitted asker as config.json and model.safetensors, whole or not at all. Raises `UserError`."""
    config = {
        "format": FORMAT,
        "operations": list(OPERATIONS),
        "kinds": list(ANSWER_KINDS),
        "words": list(asker.words),
    }
    tensors = {
        "features": torch.from_numpy(asker.features.copy()).half(),
        "by_word": torch.from_numpy(asker.by_word.copy()).half(),
        "by_kind": torch.from_numpy(asker.by_kind.copy()).half(),
    }
    with staged(Path(directory), marker="config.json", replace=True) as staging:
        (staging / "config.json").write_text(json.dumps(config, ensure_ascii=False, indent=1) + "\n", "utf-8")
        write_tensors(staging / "model.safetensors", tensors)


def read_asker(directory: Path) -> Asker:
    """A fitted asker. Raises `UserError` for another format, and for weights that do not fit."""
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{directory}/config.json cannot be read: {error}. Fetch the encoder again."
        ) from error
    wanted = {"format": FORMAT, "operations": list(OPERATIONS), "kinds": list(ANSWER_KINDS)}
    found = {key: config.get(key) for key in wanted} if isinstance(config, dict) else {}
    if found != wanted:
        raise UserError(
            f"{directory} holds no table asker of this version (format {FORMAT}). Fit it again: "
            "examples/senses/train_table.py."
        )
    words = tuple(config.get("words", ()))
    shapes = {
        "features": (len(OPERATIONS), N_FEATURES),
        "by_word": (len(words), len(OPERATIONS)),
        "by_kind": (len(words), len(ANSWER_KINDS)),
    }
    tensors = read_tensors(directory / "model.safetensors")
    for name, shape in shapes.items():
        if name not in tensors or tuple(tensors[name].shape) != shape:
            there = tuple(tensors[name].shape) if name in tensors else "missing"
            raise UserError(
                f"{directory}: the weights {name!r} are {there}, not {shape}. Fit the asker again."
            )
    features, by_word, by_kind = (tensors[name].float().numpy() for name in shapes)
    return Asker(features, by_word, by_kind, words)
