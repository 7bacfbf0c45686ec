"""Tables that are Python objects, and parquet files, which become them a batch at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmagent.errors import UserError
from mmagent_table.cells import text_of
from mmagent_table.table import CHUNK, MAX_ROWS, Row, Table, distinct_names

__all__ = ["read_object", "read_parquet"]

_UNNAMED_INDEX = re.compile(r"^__index_level_\d+__$")  # what pandas calls row labels without a name
TAKES = (
    "Give a path, bytes, '-' for standard input, a pandas DataFrame, a pyarrow Table, a list of mappings "
    "or a mapping of lists."
)


def read_object(source: Any) -> Table:
    """The table of a DataFrame, pyarrow Table, list of mappings or mapping of lists. Raises `UserError`."""
    kind = type(source).__module__.partition(".")[0], type(source).__name__
    if kind == ("pandas", "DataFrame"):
        return _of_frame(source)
    if kind == ("pandas", "Series"):
        return _of_frame(source.to_frame().T)
    if kind == ("pyarrow", "Table"):
        return _of_batches(
            source.schema.names, source.num_rows, lambda: source.to_batches(max_chunksize=CHUNK)
        )
    if isinstance(source, Mapping):
        return _of_columns(source)
    if isinstance(source, Sequence) and not isinstance(source, str) and source:
        wrong = next((row for row in source if not isinstance(row, Mapping)), None)
        if wrong is None:
            return _of_mappings(source)
        raise UserError(f"a row of a table is a mapping like {{'name': 'Oslo'}}, not {wrong!r:.60}. {TAKES}")
    told = "an empty list" if isinstance(source, list) else f"a {type(source).__name__}"
    raise UserError(f"a table cannot be made of {told}. {TAKES}")


def read_parquet(opened: Any, name: str) -> Table:
    """The table in a parquet file, read a batch at a time. Raises `UserError`, at once where it can."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise UserError(f"{name} is parquet, which needs pyarrow: pip install 'mmagent[table]'") from error
    try:
        with opened() as stream:
            about = pq.read_metadata(stream)
            names = list(about.schema.to_arrow_schema().names)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{name} starts like parquet but is damaged or cut off. Copy it again.") from error
    if about.num_rows > MAX_ROWS:
        raise UserError(
            f"{name} says it has {about.num_rows:,} rows; at most {MAX_ROWS:,} are read. Take a part of them."
        )
    if not names or not about.num_rows:
        raise UserError(
            f"{name} has {len(names)} columns and {about.num_rows} rows, so there is nothing to see."
        )

    def batches() -> Iterator[Any]:
        try:
            with opened() as stream, pq.ParquetFile(stream) as file:
                yield from file.iter_batches(batch_size=CHUNK)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise UserError(
                f"{name} is parquet with damaged pages ({_short(error)}). Copy it again."
            ) from error

    table = _of_batches(names, about.num_rows, batches)
    table.name, table.format = name, "parquet"
    return table


def _of_batches(names: Sequence[str], n_rows: int, batches: Any) -> Table:
    notes: list[str] = []
    if not names or not n_rows:
        raise UserError(
            f"the table has {len(names)} columns and {n_rows} rows, so there is nothing to see. {TAKES}"
        )

    def chunks() -> Iterator[list[Row]]:
        for batch in batches():
            columns = [[text_of(value) for value in column.to_pylist()] for column in batch.columns]
            if columns:
                yield list(zip(*columns, strict=True))

    told = [_UNNAMED_INDEX.sub("index", str(name)) for name in names]
    return Table(distinct_names(told, notes), chunks, "pyarrow table", notes)


def _of_frame(frame: Any) -> Table:
    if not frame.shape[0] or not frame.shape[1]:
        raise UserError(
            f"the DataFrame has {frame.shape[0]} rows and {frame.shape[1]} columns. Give one with both."
        )
    notes: list[str] = []

    def chunks() -> Iterator[list[Row]]:
        for at in range(0, len(frame), CHUNK):
            part = frame.iloc[at : at + CHUNK]
            columns = [[text_of(value) for value in part.iloc[:, i].tolist()] for i in range(part.shape[1])]
            yield list(zip(*columns, strict=True))

    return Table(distinct_names([str(name) for name in frame.columns], notes), chunks, "DataFrame", notes)


def _of_mappings(rows: Sequence[Mapping[Any, Any]]) -> Table:
    keys: dict[Any, None] = {}
    for row in rows:
        keys.update(dict.fromkeys(row))
    if not keys:
        raise UserError(f"the rows of the table have no columns. {TAKES}")
    notes: list[str] = []

    def chunks() -> Iterator[list[Row]]:
        for at in range(0, len(rows), CHUNK):
            yield [tuple(text_of(row.get(key)) for key in keys) for row in rows[at : at + CHUNK]]

    return Table(distinct_names(list(map(str, keys)), notes), chunks, "list of mappings", notes)


def _of_columns(columns: Mapping[Any, Any]) -> Table:
    plain = {str(name): column for name, column in columns.items()}
    odd = [
        name for name, column in plain.items() if isinstance(column, str) or not hasattr(column, "__len__")
    ]
    if odd or not plain:
        told = f"its {odd[0]!r} is {plain[odd[0]]!r:.40}" if odd else "it is empty"
        raise UserError(f"a mapping is a table when it maps names to lists, and {told}. {TAKES}")
    lengths = {name: len(column) for name, column in plain.items()}
    if len(set(lengths.values())) > 1 or not any(lengths.values()):
        raise UserError(
            f"the columns of the table have {lengths} values; they must have equally many, at least one."
        )
    length = next(iter(lengths.values()))
    notes: list[str] = []

    def chunks() -> Iterator[list[Row]]:
        for at in range(0, length, CHUNK):
            parts = [[text_of(value) for value in column[at : at + CHUNK]] for column in plain.values()]
            yield list(zip(*parts, strict=True))

    return Table(distinct_names(list(plain), notes), chunks, "mapping of lists", notes)


def _short(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:80]
