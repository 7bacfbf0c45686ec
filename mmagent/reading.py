"""The content of an input that is read as a whole: a path, bytes, standard input or an open file.

What every reader of small files needs first, with one sentence for each way in which it can fail.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import Any

from mmagent.errors import UserError, did_you_mean

__all__ = ["content_of_file", "is_content", "read_content"]


def is_content(source: object) -> bool:
    """Whether `read_content` takes a source: all but paths and objects in memory are."""
    return isinstance(source, bytes | bytearray | memoryview) or callable(getattr(source, "read", None))


def read_content(source: object, noun: str, most: int) -> tuple[bytes, str]:
    """The bytes of a source, and its name for people.

    noun  what is read, with its article: "a graph". most  bytes that are read; more are refused

    Raises `UserError` for what is missing, empty, unreadable or too large, and for what is no source.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return _checked(bytes(source), "the data", noun, most)
    if isinstance(source, str) and source == "-":
        return _checked(sys.stdin.buffer.read(most + 1), "standard input", noun, most)
    if isinstance(source, str | os.PathLike):
        name = os.fspath(source)
        return _checked(content_of_file(str(name), noun, most), str(name), noun, most)
    if callable(read := getattr(source, "read", None)):
        name = str(getattr(source, "name", "the open file"))
        found: Any = read(most + 1)
        if isinstance(found, str):
            found = found.encode()
        if not isinstance(found, bytes | bytearray):
            raise UserError(f"{name} gives {type(found).__name__} and not bytes. Open it with mode 'rb'.")
        return _checked(bytes(found), name, noun, most)
    raise UserError(
        f"{noun} cannot be made of a {type(source).__name__}. Give a path, bytes, an open file, or '-' for "
        "standard input."
    )


def content_of_file(name: str, noun: str, most: int) -> bytes:
    """At most `most` + 1 bytes of a file or pipe. Raises `UserError` where there is nothing to read."""
    if name.startswith(("http://", "https://")):
        raise UserError(f"{name} is an address, and {noun} is read from a file. Download it first.")
    if not name:
        raise UserError(f"the name of the file of {noun} is empty. Give a path, or '-' for standard input.")
    path = Path(name)
    try:
        with path.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
                raise UserError(f"{name} is a device, not {noun}. Give a file, or '-' for standard input.")
            return stream.read(most + 1)
    except IsADirectoryError as error:
        raise UserError(f"{name} is a directory, not {noun}. Give one file of it.") from error
    except PermissionError as error:
        raise UserError(f"{name} may not be read: permission denied. Change its permissions.") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"there is no file {name}. {_what_there_is(path)}") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{name:.200} cannot be read: {error}. Check the path.") from error


def _checked(data: bytes, name: str, noun: str, most: int) -> tuple[bytes, str]:
    if not data:
        raise UserError(f"{name} is empty (0 bytes), so there is no {noun.split(' ', 1)[-1]} in it.")
    if len(data) > most:
        raise UserError(
            f"{name} has more than {most >> 20} MiB, and {noun} of at most that size is read. "
            "Take a part of it."
        )
    return data, name


def _what_there_is(path: Path) -> str:
    """What the folder of a missing file holds, as the end of a sentence about it."""
    folder = path.parent
    if not folder.is_dir():
        return f"There is no folder {folder} either. Check the path."
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if not entry.name.startswith("."))
    except OSError:
        return "Check the path."
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f"The folder holds: {shown or 'nothing'}.{did_you_mean(path.name, names)}"
