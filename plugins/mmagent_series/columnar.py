"""Series of parquet files: columns of numbers, or a row per series with nested lists in it."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import IO, Any

import numpy as np

from mmagent.data.arrow import needed
from mmagent.errors import UserError
from mmagent_series.arrays import from_mapping
from mmagent_series.clock import Clock, named_time, time_scale, with_unit
from mmagent_series.series import BLOCK, Block, Series, Spool, demand_size, made
from mmagent_series.tsfile import demand_one

__all__ = ["read_parquet"]

BESIDE = ("channels", "units", "rate", "sampling_rate")  # columns that are read with a row's values


def read_parquet(stream: IO[bytes], name: str, number: int | None) -> Series:
    """The series in a parquet file. Raises UserError.

    A file whose cells are lists (`values`, [time][channel]) holds a series per row; `number` says which, from
    1. Otherwise its columns are channels, one of them perhaps times.
    """
    parquet = needed("pyarrow.parquet", "parquet files")
    try:
        file = parquet.ParquetFile(stream)
        nested = _nested_column(file.schema_arrow)
        if nested is not None:
            return _row(file, nested, name, number)
        return _columns(file, name)
    except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        told = " ".join(str(error).split())
        raise UserError(
            f"{name} is a parquet file that cannot be read ({told:.120}). Copy it again."
        ) from error


def _nested_column(schema: Any) -> str | None:
    """The column of lists of numbers, or of lists of such lists: `values` before any other."""
    types = needed("pyarrow.types", "parquet files")

    def inner(kind: Any) -> Any:
        while types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
            kind = kind.value_type
        return kind

    found = [
        field.name
        for field in schema
        if inner(field.type) is not field.type and _is_numeric(inner(field.type), types)
    ]
    return next((one for one in found if one == "values"), found[0] if found else None)


def _row(file: Any, column: str, name: str, number: int | None) -> Series:
    total = int(file.metadata.num_rows)
    if total == 0:
        raise UserError(f"{name} has no rows, so no series.")
    demand_one(total, number, number is None or 1 <= number <= total, name)
    at = (number or 1) - 1
    starts = [0, *accumulate(file.metadata.row_group(group).num_rows for group in range(file.num_row_groups))]
    group = bisect_right(starts, at) - 1
    beside = [one for one in BESIDE if one in file.schema_arrow.names]
    table = file.read_row_group(group, columns=[column, *beside]).slice(at - starts[group], 1)
    row = {key: cells[0] for key, cells in table.to_pydict().items()}
    if row[column] is None:
        raise UserError(f"{name}, row {at + 1} has no values.")
    return from_mapping({**row, "values": row[column]}, f"{name}, row {at + 1}")


def _columns(file: Any, name: str) -> Series:
    types = needed("pyarrow.types", "parquet files")
    fields = list(file.schema_arrow)
    titles = [with_unit(field.name) for field in fields]
    kinds = [field.type for field in fields]
    dated = [at for at, kind in enumerate(kinds) if types.is_timestamp(kind) or types.is_date(kind)]
    time = next(iter(dated), None)
    if time is None:
        time = next((at for at, (title, _) in enumerate(titles) if named_time(title)), None)
    channels = [at for at in range(len(fields)) if at != time]
    for at in channels:
        if not _is_numeric(kinds[at], types):
            raise UserError(
                f"{name} has the column {fields[at].name!r} of {kinds[at]}, which are no numbers. A series "
                "is columns of numbers: leave it out, or ask about the file as a table."
            )
    if not channels:
        raise UserError(f"{name} has no columns of numbers, so no channels.")
    demand_size(int(file.metadata.num_rows), len(channels), name)
    spool = Spool(name)
    clock = None if time is None else Clock(name, 1.0 if dated else time_scale(*titles[time]))
    for batch in file.iter_batches(batch_size=BLOCK):
        if clock is not None:
            clock.add(_seconds(batch.column(time), bool(dated)))
        spool.add(np.stack([_float(batch.column(at)) for at in channels], axis=1))
    return made(
        spool.samples(),
        name,
        channels=[titles[at][0] for at in channels],
        units=[titles[at][1] for at in channels],
        rate=None if clock is None else clock.rate,
        timing=None if clock is None else clock.timing,
    )


def _is_numeric(kind: Any, types: Any) -> bool:
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))


def _float(column: Any) -> Block:
    """(n,) float64, NaN where a cell is empty."""
    return np.asarray(column.cast("float64").to_numpy(zero_copy_only=False), dtype=np.float64)


def _seconds(column: Any, dated: bool) -> Block:
    if not dated:
        return _float(column)
    microseconds = column.cast("timestamp[us]").cast("int64").cast("float64", safe=False)
    return np.asarray(microseconds.to_numpy(zero_copy_only=False), dtype=np.float64) / 1e6
