"""The bytes of any source that a reader is handed, or one sentence that says why there are none."""

from __future__ import annotations

import os
import stat
import sys
from json import JSONDecodeError
from pathlib import Path
from typing import Any, BinaryIO

from mmagent.errors import UserError, did_you_mean

__all__ = ["MAX_BYTES", "file_and_part", "json_fault", "read_bytes", "read_file", "stdin", "what_there_is"]

MAX_BYTES = 1 << 30  # a file of more than 1 GiB is not read into memory


def read_bytes(source: object, what: str, *, most: int = MAX_BYTES) -> tuple[bytes, str]:
    """The content of a path, bytes, an open binary file or "-" (standard input), and its name for people.

    what: what should be in it, with its article, such as "a picture". Raises `UserError` where there is
    nothing to read, where it is empty, and where there is more than `most` bytes.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        data, name = bytes(source), "the data"
    elif isinstance(source, str) and source == "-":
        data, name = stdin().read(most + 1), "standard input"
    elif isinstance(source, str | os.PathLike):
        name = os.fspath(source)
        data = read_file(name, what, most=most)
    elif callable(read := getattr(source, "read", None)):
        data, name = _binary(read(most + 1)), str(getattr(source, "name", "the open file"))
    else:
        raise UserError(
            f"{what} cannot be made of a {type(source).__name__}. Give a path, bytes, '-' for standard input "
            "or an open file."
        )
    if not data:
        raise UserError(f"{name} is empty (0 bytes), so there is not {what} in it. Give another file.")
    if len(data) > most:
        raise UserError(f"{name} has more than {_size(most)}, too much for {what}. Cut it into pieces first.")
    return data, name


def stdin() -> BinaryIO:
    """Standard input, to read bytes from. Raises `UserError` where it is closed."""
    if sys.stdin is None or sys.stdin.closed:
        raise UserError("standard input is closed, so there is nothing to read at '-'. Give a file.")
    return sys.stdin.buffer


def read_file(name: str, what: str, *, most: int = MAX_BYTES) -> bytes:
    """The content of a file or pipe, at most one byte more than `most`; it may be empty.

    Raises `UserError` where it is missing, a directory, a device or unreadable.
    """
    noun = what.partition(" ")[2] or what
    if name.startswith(("http://", "https://")):
        raise UserError(f"{name} is an address, and {what} is read from a file. Download it first.")
    if not name:
        raise UserError(f"the name of the {noun} is empty. Give a path, or '-' for standard input.")
    path = Path(name)
    try:
        with path.open("rb") as stream:
            status = os.fstat(stream.fileno())
            if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
                raise UserError(f"{name} is a device, not {what}. Give a file, or '-' for standard input.")
            return stream.read(most + 1)
    except IsADirectoryError as error:
        raise UserError(f"{name} is a directory, not {what}. Give one file of it.") from error
    except PermissionError as error:
        if path.is_dir():
            raise UserError(f"{name} is a directory, not {what}. Give one file of it.") from error
        raise UserError(f"{name} may not be read: permission denied. Change its permissions.") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"there is no file {name}. {what_there_is(path)}") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{name} cannot be read: {error}. Check the path.") from error


def file_and_part(name: str) -> tuple[str, str | None]:
    """A file, and the part of it that its name ends in: "book.xlsx#Data" is ("book.xlsx", "Data").

    The part is None where the file as it is named is there, and where the one without it is not.
    """
    file, mark, part = name.rpartition("#")
    try:
        parted = bool(file and mark and part) and not os.path.lexists(name) and Path(file).is_file()
    except (OSError, ValueError):
        parted = False
    return (file, part) if parted else (name, None)


def json_fault(error: ValueError | RecursionError) -> str:
    """What is wrong with a text that `json.loads` refused, in words for people."""
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start:,} is not UTF-8"
    if isinstance(error, RecursionError):
        return "its brackets stand too deep inside of one another"
    if isinstance(error, JSONDecodeError):
        return str(error)
    return "a whole number in it has thousands of digits"


def _binary(content: Any) -> bytes:
    if isinstance(content, bytes):
        return content
    raise UserError("the open file gives text, not bytes. Open it with mode 'rb'.")


def _size(count: int) -> str:
    for unit, power in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if count >= 1 << power:
            return f"{count / (1 << power):.3g} {unit}"
    return f"{count} bytes"


def what_there_is(path: Path) -> str:
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
