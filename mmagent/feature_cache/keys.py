"""What a feature is kept under: the content that was encoded, the encoder, and what was done in between."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmagent.data.arrow import Stored
from mmagent.errors import UserError
from mmagent.files import sha256_of

if TYPE_CHECKING:
    from mmagent.modality import Reader

__all__ = ["FeatureKey", "content_of"]


@dataclass(frozen=True, slots=True)
class FeatureKey:
    """The name of one input's features.

    content    sha256 of what was encoded, as `content_of` gives it
    encoder    `Encoder.id`: weights, configuration, processor and dtype
    transform  what else was done to the input before it was encoded; empty for nothing
    """

    content: str
    encoder: str
    transform: str = ""

    def digest(self) -> bytes:
        """32 bytes that stand for the content among the features of one encoder."""
        return hashlib.sha256(self.content.encode()).digest()


def content_of(source: object, reader: Reader) -> str:
    """The sha256 of a source's content, so that an equal input has equal features wherever it lies.

    A file is hashed byte by byte without being decoded, and so are bytes; the same bytes have one hash, in a
    file, in a table or in memory. Anything else (a picture or an array in memory, a folder) is hashed by what
    the reader makes of it. Raises `UserError` for what the reader cannot read.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return hashlib.sha256(source).hexdigest()
    if isinstance(source, Stored):
        return hashlib.sha256(source.read()).hexdigest()
    if isinstance(source, str | os.PathLike):
        path = Path(os.fspath(source))
        if _is_file(path):
            try:
                return sha256_of(path)
            except OSError as error:
                raise UserError(f"{path} cannot be read: {error.strerror}. Check its permissions.") from error
    return reader.fingerprint(reader.load(source))


def is_stream(source: object) -> bool:
    """Whether a source can be read only once: standard input, a pipe or an open file."""
    if isinstance(source, str | os.PathLike):
        path = Path(os.fspath(source))
        return source == "-" or (_exists(path) and not _is_file(path) and not path.is_dir())
    return not isinstance(source, Stored) and callable(getattr(source, "read", None))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
