"""What tells one labelled set from another, wherever it lies: its rows, and what their media are."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmagent.data.labelled import LabelledSet

__all__ = ["content_of", "identity"]


def identity(labelled: LabelledSet) -> str:
    """sha256 over the rows: numbers, answers, choices and media; neither splits nor questions.

    Files count by their path below the data's folder, so that a copy elsewhere is the same data.
    """
    digest = hashlib.sha256()
    for example in labelled:
        told = (example.row, example.answer, example.answers, example.choices)
        digest.update(f"\n{told!r}".encode())
        for modality, sources in example.media.items():
            for source in sources:
                digest.update(f"\n{modality}:".encode())
                digest.update(content_of(source, example.row, labelled.base))
    return digest.hexdigest()


def content_of(source: object, row: int, base: str | None) -> bytes:
    """What a source is, the same on every machine: its path below the data, or the hash of what it holds."""
    if isinstance(source, str | Path):
        path = Path(source)
        if base is not None and path.is_relative_to(base):
            path = path.relative_to(base)
        return path.as_posix().encode()
    if isinstance(source, bytes | bytearray):
        return hashlib.sha256(source).digest()
    if isinstance(source, list | tuple):  # an array written as nested lists
        return hashlib.sha256(repr(source).encode()).digest()
    if callable(read := getattr(source, "read", None)):
        return hashlib.sha256(read()).digest()
    if callable(tobytes := getattr(source, "tobytes", None)):  # pictures and arrays in memory
        shape = getattr(source, "shape", None) or getattr(source, "size", None)
        return hashlib.sha256(repr(shape).encode() + tobytes()).digest()
    return f"row {row}".encode()
