"""Senses that listen: an input seen in the light of its question (as TAPAS, Herzig et al. 2020).

An encoder with `encode_asked` (see `mmagent.modality.AskedEncoder`) makes other features of the same input
for another question. Such an input goes about as `Asked`, a source and its question; reader and encoder are
wrapped, so that all that reads, names, encodes and keeps inputs does the same with it. Its fingerprint is
that of content and question together: equal questions about equal content share their work.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import torch

    from mmagent.modality import AskedEncoder, Encoder, Features, Reader

__all__ = ["Asked", "asked_through", "listens", "same_source"]


@dataclass(frozen=True, eq=False)
class Asked:
    """A source, or the raw value it was read to, and what is asked about it; None: nothing is."""

    source: Any
    question: str | None

    @classmethod
    def of(cls, source: object, question: str | None) -> Asked:
        """The question with its blanks tidied, so that the same words are the same question."""
        return cls(source, " ".join((question or "").split()) or None)


def listens(encoder: Encoder) -> bool:
    """Whether an encoder hears the question."""
    return callable(getattr(encoder, "encode_asked", None))


def asked_through(
    reader: Reader, encoder: Encoder, sources: Sequence[object], questions: Sequence[str | None]
) -> tuple[Reader, Encoder, list[object]]:
    """Reader, encoder and sources as they are, or all three with the questions where the encoder listens."""
    if not listens(encoder):
        return reader, encoder, list(sources)
    pairs = zip(sources, questions, strict=True)
    return AskedReader(reader), Listening(encoder), [Asked.of(*pair) for pair in pairs]


@dataclass(frozen=True, eq=False)
class _Read:
    """A source that was read: its name, itself (an id is its own only while it lives), value, fingerprint."""

    name: object
    source: object
    raw: Any
    content: str


class AskedReader:
    """Reads `Asked` sources; a source that several questions in a row are about is read once."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._last: _Read | None = None

    def load(self, source: object) -> Asked:
        """The raw value with its question. Raises `UserError` as the reader does."""
        asked = source if isinstance(source, Asked) else Asked(source, None)
        name = same_source(asked.source)
        if self._last is None or self._last.name != name:
            raw = self._reader.load(asked.source)
            self._last = _Read(name, asked.source, raw, self._reader.fingerprint(raw))
        return Asked(self._last.raw, asked.question)

    def describe(self, raw: Asked) -> str:
        """The reader's line."""
        return self._reader.describe(raw.source)

    def fingerprint(self, raw: Asked) -> str:
        """sha256 of the content's own fingerprint and the question."""
        last = self._last
        content = last.content if last and last.raw is raw.source else self._reader.fingerprint(raw.source)
        asked = "no question" if raw.question is None else f"question {raw.question}"
        return hashlib.sha256(f"{content}\n{asked}".encode()).hexdigest()

    def load_encoder(
        self, location: str, *, device: torch.device, dtype: torch.dtype, trust_remote_code: bool = False
    ) -> Encoder:
        """The encoder of the reader, wrapped where it listens."""
        made = self._reader.load_encoder(
            location, device=device, dtype=dtype, trust_remote_code=trust_remote_code
        )
        return Listening(made) if listens(made) else made


class Listening:
    """An encoder of `Asked` raw values."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = cast("AskedEncoder", encoder)

    @property
    def d_encoder(self) -> int:
        """Width of a feature."""
        return self.encoder.d_encoder

    @property
    def id(self) -> str:
        """That of the encoder: the question is in the fingerprint of what it encodes."""
        return self.encoder.id

    def encode(self, batch: Sequence[Asked]) -> Features:
        """Features of each input in the light of its own question."""
        return self.encoder.encode_asked([one.source for one in batch], [one.question for one in batch])


def same_source(source: object) -> object:
    """What tells a source from others while it lives: a file by path, size and time, an object by itself."""
    if not isinstance(source, str | Path) or source == "-":
        return id(source)
    try:
        found = Path(source).stat()
    except (OSError, ValueError):
        return str(source)
    return str(source), found.st_size, found.st_mtime_ns
