"""Arrow tables: parquet files, and what Hugging Face puts into a column of media.

Texts and labels are read at once. Media that lie inside the table stay there: a row holds a `Stored`, which
reads its bytes when a modality loads it.
"""

from __future__ import annotations

import json
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from mmagent.data.table import Cells, Table
from mmagent.errors import UserError
from mmagent.sniff import HEAD, starts_like

__all__ = ["Stored", "class_names", "holds_media", "needed", "read_parquet", "stored_cell"]

ReadCell = Callable[[int], Any]


class Stored:
    """A medium inside a table, read as from an open binary file; each `read` starts at the beginning.

    name: file and row, for messages.
    """

    __slots__ = ("_at", "_cell", "_item", "name")

    def __init__(self, cell: ReadCell, at: int, name: str, item: int | None = None) -> None:
        """`cell(at)` gives the cell's content; `item` is its place where a cell is a list."""
        self._cell, self._at, self._item, self.name = cell, at, item, name

    def read(self, size: int = -1) -> bytes:
        """The bytes, or the first so many of them. Raises UserError where the table is gone or damaged."""
        content = self._cell(self._at)
        if self._item is not None:
            content = content[self._item]
        data = content["bytes"] if isinstance(content, dict) else content
        return bytes(data) if size < 0 else bytes(data[:size])

    def __repr__(self) -> str:
        return f"<stored in {self.name}>"


class _ParquetColumn:
    """One column of a parquet file, read a row group at a time; the last one read is kept.

    In the order of the file every group is read once. It may be pickled, as workers that load data do.
    """

    def __init__(self, place: Path, name: str) -> None:
        self.place, self.name = place, name
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._file: Any = None
        self._starts: list[int] = []
        self._kept: tuple[int, Any] | None = None

    def __getstate__(self) -> tuple[Path, str]:
        return self.place, self.name

    def __setstate__(self, state: tuple[Path, str]) -> None:
        self.place, self.name = state
        self._reset()

    def __call__(self, at: int) -> Any:
        with self._lock:
            try:
                return self._read(at)
            except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
                raise UserError(f"{self.place} cannot be read any more: {error}. Copy it again.") from error

    def _read(self, at: int) -> Any:
        if self._file is None:
            self._file = needed("pyarrow.parquet", "parquet files").ParquetFile(self.place)
            self._starts = _starts(self._file)
        group = bisect_right(self._starts, at) - 1
        if self._kept is None or self._kept[0] != group:
            self._kept = group, self._file.read_row_group(group, columns=[self.name]).column(0)
        return self._kept[1][at - self._starts[group]].as_py()


def read_parquet(place: Path) -> Table:
    """The rows of a parquet file; media inside it are left there. Raises UserError."""
    parquet = needed("pyarrow.parquet", "parquet files")
    try:
        file = parquet.ParquetFile(place)
    except ValueError as error:
        with place.open("rb") as handle:
            like = starts_like(handle.read(HEAD))
        raise UserError(f"{place} is not a parquet file; it starts like {like}.") from error
    schema = file.schema_arrow
    stored = [field.name for field in schema if holds_media(field.type)]
    plain = [field.name for field in schema if field.name not in stored]
    cells: list[dict[str, Any]] = file.read(columns=plain).to_pylist() if plain else []
    cells = cells or [{} for _ in range(file.metadata.num_rows)]
    for name in stored:
        column = _ParquetColumn(place, name)
        for at, content in enumerate(_groups(file, name)):
            cells[at][name] = stored_cell(content, column, at, f"{place}, row {at + 1}")
    rows = [Cells(at, f"row {at}", row, place.parent) for at, row in enumerate(cells, start=1)]
    return Table("parquet", tuple(schema.names), rows, _class_names_of(schema.metadata))


def stored_cell(content: Any, cell: ReadCell, at: int, name: str) -> object:
    """What stands in a row for a medium in a table: a path, a `Stored`, a list of them, or None.

    content: the cell with any bytes, or with True in the place of its bytes.
    """
    if isinstance(content, list):
        return [_one(one, cell, at, name, item) for item, one in enumerate(content)]
    return _one(content, cell, at, name, None)


def _one(content: Any, cell: ReadCell, at: int, name: str, item: int | None) -> object:
    if isinstance(content, dict):
        if content.get("bytes"):
            return Stored(cell, at, name, item)
        return content.get("path") or None
    return Stored(cell, at, name, item) if content else None


def holds_media(kind: Any) -> bool:
    """Whether a column's type is that of bytes, of Hugging Face's {bytes, path}, or of lists of either."""
    types = needed("pyarrow.types", "parquet files")
    if types.is_list(kind) or types.is_large_list(kind):
        return holds_media(kind.value_type)
    if types.is_struct(kind):
        return bool(kind.get_field_index("bytes") >= 0)
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def class_names(features: Any) -> dict[str, Sequence[str]]:
    """Names of the classes of every column that has some, from Hugging Face's description of the columns."""
    return {
        column: list(feature["names"])
        for column, feature in dict(features).items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and feature.get("names")
    }


def needed(module: str, what: str) -> ModuleType:
    """An optional module. Raises UserError that says how to install it."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.split(".")[0]
        raise UserError(
            f"{what} are read with {package}, which is not installed. pip install {package}, or "
            "pip install 'mmagent[train]' for all that training uses."
        ) from error


def _groups(file: Any, name: str) -> Iterator[Any]:
    """A column's cells with True for their bytes.

    The statistics written with a column say how many of its cells are empty; only where nobody wrote them,
    or some are and some are not, are the bytes read to see.
    """
    leaves = [file.metadata.schema.column(at).path for at in range(file.metadata.num_columns)]
    paths = [leaf for leaf in leaves if leaf == f"{name}.path"]
    for group in range(file.num_row_groups):
        meta = file.metadata.row_group(group)
        empty = _empty(meta, leaves, f"{name}.bytes" if paths else name)
        if empty == 0:
            yield from (True for _ in range(meta.num_rows))
        elif empty == meta.num_rows and paths:
            yield from file.read_row_group(group, columns=paths).column(0).to_pylist()
        else:
            yield from (scalar.as_py() for scalar in file.read_row_group(group, columns=[name]).column(0))


def _empty(meta: Any, leaves: Sequence[str], leaf: str) -> int | None:
    """How many cells of a leaf column are empty in a row group; None where nobody wrote it down."""
    if leaf not in leaves:
        return None
    statistics = meta.column(leaves.index(leaf)).statistics
    known = statistics is not None and statistics.has_null_count
    return int(statistics.null_count) if known else None


def _starts(file: Any) -> list[int]:
    """The first row of every row group."""
    starts = [0]
    for group in range(file.num_row_groups - 1):
        starts.append(starts[-1] + file.metadata.row_group(group).num_rows)
    return starts


def _class_names_of(metadata: dict[bytes, bytes] | None) -> dict[str, Sequence[str]]:
    """Class names that Hugging Face's `datasets` writes into a parquet file."""
    try:
        told = json.loads((metadata or {}).get(b"huggingface", b"{}"))
        return class_names(told.get("info", {}).get("features", {}))
    except (ValueError, AttributeError, TypeError):
        return {}
