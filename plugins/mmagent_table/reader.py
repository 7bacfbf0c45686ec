"""Reading tables: any source to named columns and rows, or one sentence that says why not."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from mmagent.asked import Asked
from mmagent.errors import UserError
from mmagent.reading import file_and_part, stdin, what_there_is
from mmagent.sniff import HEAD, starts_like
from mmagent_table.separated import read_separated
from mmagent_table.table import AskedTable, Table, apart, told

if TYPE_CHECKING:
    import torch

    from mmagent.modality import Encoder
    from mmagent.profile import Profile

__all__ = ["TableReader"]

READS = "Tables are csv, tsv, parquet or xlsx."
MAX_BYTES = 1 << 30  # of what cannot be read in parts: bytes, standard input, open files


class TableReader:
    """The working half of the modality `table`; a raw value is a `Table`, whose rows are read when needed.

    The table of the last file or bytes is kept: questions about one in a row have it read once.
    """

    def __init__(self) -> None:
        self._last: tuple[object, Table] | None = None

    def load(self, source: object) -> Table | AskedTable:
        """The table of a path, bytes, "-" (stdin), an open binary file, or a Python object.

        A path may end in "#Data": the sheet of this name in a workbook, instead of the first with values.
        Objects are a mapping {bytes, path} as parquet rows have them, a pandas DataFrame, a pyarrow Table, a
        list of mappings, or a mapping of lists. An `Asked` source gives an `AskedTable`. Raises `UserError`
        for what is missing, unreadable, damaged or no table.
        """
        if not isinstance(source, Asked):
            return self.table(source)
        table, question = self.table(source.source), " ".join(source.question.split())
        return AskedTable(table, question) if question else table

    def table(self, source: object) -> Table:
        """The table of a source that nothing is asked of. Raises `UserError` as `load` does."""
        name = _name(source)
        if name is None or self._last is None or self._last[0] != name:
            table = _read_any(source)
            self._last = (name, table) if name is not None else None
            return table
        return self._last[1]

    def describe(self, raw: Table | AskedTable) -> str:
        """Rows, columns and their types, and of a workbook with several sheets which one is read."""
        return told(apart(raw)[0])

    def fingerprint(self, raw: Table | AskedTable) -> str:
        """sha256 of names and cells, and of the question: the same table has the same in every format."""
        return raw.fingerprint

    def profile(self, raw: Table | AskedTable) -> Profile:
        """What the table is made of, from one pass over its rows."""
        from mmagent_table.profile import profile

        return profile(apart(raw)[0])

    def samples(self) -> Sequence[bytes]:
        """Small files, for checks."""
        from mmagent_table.samples import samples

        return samples()

    @property
    def invariances(self) -> Mapping[str, Callable[[Table | AskedTable, int], Table]]:
        """What must not change a feature: the order of rows and of columns."""
        from mmagent_table.samples import columns_turned, rows_turned

        return {"order of rows": rows_turned, "order of columns": columns_turned}

    def load_encoder(
        self,
        location: str,
        *,
        device: torch.device,
        dtype: torch.dtype,
        trust_remote_code: bool = False,
    ) -> Encoder:
        """The encoder "builtin" (no weights), "rows" (for one-row tables), or that in a directory.

        Raises `UserError` for another word, and for a directory that holds something else.
        """
        from mmagent_table.encoders import load_encoder

        return load_encoder(location, device=device)


def _name(source: object) -> object:
    """What tells a source from others: a file by path, size and time, bytes by themselves; None for others.

    An object in memory may change without a sign, so it is read anew every time.
    """
    if isinstance(source, bytes):
        return source
    if not isinstance(source, str | os.PathLike) or source == "-":
        return None
    try:
        found = os.stat(file_and_part(os.fspath(source))[0])
    except (OSError, ValueError):
        return None
    return (os.fspath(source), found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


def _read_any(source: object) -> Table:
    """The table of any source but one that is asked."""
    if isinstance(source, Table):
        return source
    if isinstance(source, bytes | bytearray | memoryview):
        return _of_bytes(bytes(source), "the data")
    if isinstance(source, str) and source == "-":
        return _of_bytes(stdin().read(MAX_BYTES + 1), "standard input")
    if isinstance(source, str | os.PathLike):
        return _of_path(os.fspath(source))
    if isinstance(source, Mapping) and set(source) <= {"bytes", "path"}:
        if source.get("bytes") is not None:
            return _of_bytes(bytes(source["bytes"]), str(source.get("path") or "the data"))
        return _of_path(str(source.get("path") or ""))
    if callable(read := getattr(source, "read", None)):
        content = read(MAX_BYTES + 1)
        if not isinstance(content, bytes):
            raise UserError("the open file gives text, not bytes. Open it with mode 'rb'.")
        return _of_bytes(content, str(getattr(source, "name", "the open file")))
    from mmagent_table.objects import read_object

    return read_object(source)


def _of_path(word: str) -> Table:
    """The table in a file; the file is opened again for every pass. Raises `UserError`."""
    if word.startswith(("http://", "https://")):
        raise UserError(f"{word} is an address, and tables are read from files. Download it first.")
    if not word:
        raise UserError("the name of the table is empty. Give a path, or '-' for standard input.")
    file, part = file_and_part(word)
    path = Path(file)
    try:
        with path.open("rb") as stream:
            status = os.fstat(stream.fileno())
            if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
                raise UserError(f"{word} is a device, not a table. Give a file, or '-' for standard input.")
            if stat.S_ISFIFO(status.st_mode):
                return _of_bytes(stream.read(MAX_BYTES + 1), word)
            head = stream.read(HEAD)
    except IsADirectoryError as error:
        raise UserError(f"{word} is a directory, not a table. Give one file of it.") from error
    except PermissionError as error:
        raise UserError(f"{word} may not be read: permission denied. Change its permissions.") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"there is no file {word}. {what_there_is(path)}") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{word} cannot be read: {error}. Check the path.") from error
    return _read(head, lambda: path.open("rb"), file, status.st_size, part)


def _of_bytes(content: bytes, name: str) -> Table:
    if len(content) > MAX_BYTES:
        raise UserError(
            f"{name} has more than {MAX_BYTES >> 30} GiB. Save it as a file, which is read in parts."
        )
    return _read(content[:HEAD], lambda: BytesIO(content), name, len(content))


def _read(head: bytes, opened: Any, name: str, size: int, part: str | None = None) -> Table:
    """The table behind `opened`, by what its first bytes are; `part` names a sheet of a workbook."""
    if not size:
        raise UserError(f"{name} is empty (0 bytes), so there is no table in it. {READS}")
    if head.startswith(b"PK\x03\x04"):
        from mmagent_table.sheets import read_xlsx

        return read_xlsx(opened, name, part)
    if part is not None:
        raise UserError(f"{name} is no workbook, so there is no sheet {part!r} in it. Leave #{part} away.")
    if head.startswith(b"PAR1"):
        from mmagent_table.objects import read_parquet

        return read_parquet(opened, name)
    like = starts_like(head)
    if like not in ("text", "JSON") and not like.startswith("unknown data"):
        raise UserError(f"{name} is not a table: it starts like {like}. {READS}")
    return read_separated(_binary(opened), name)


def _binary(opened: Any) -> Any:
    def open_again() -> BinaryIO:
        try:
            stream: BinaryIO = opened()
        except OSError as error:
            raise UserError(
                f"the table cannot be read again: {error}. Leave the file where it is."
            ) from error
        return stream

    return open_again
