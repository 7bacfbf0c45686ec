"""Series of numpy files and of Python objects: arrays, nested lists, dictionaries with channels and rate."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mmagent.errors import UserError
from mmagent.npy import npy_header
from mmagent_series.clock import with_unit
from mmagent_series.series import KEPT_VALUES, InMemory, OnDisk, Samples, Series, demand_size, made

__all__ = ["from_array", "from_mapping", "from_nested", "read_npy"]

KINDS = "fiub"  # floats, whole numbers and booleans
LAYOUT = "A series is (time,) or (time, channel)."


def from_array(
    array: NDArray[Any],
    name: str = "the array",
    *,
    channels: Sequence[str] | None = None,
    units: Sequence[str] | None = None,
    rate: object = None,
) -> Series:
    """The series in an array (T,) or (T, C). Raises UserError for other shapes and for what is no number."""
    array = np.asarray(array)
    if array.dtype.kind == "O":  # pandas keeps columns with gaps and whole numbers so
        array = _numbers(array, name)
    _demand_kind(array.dtype, array.shape, name)
    demand_size(array.shape[0], array.shape[1] if array.ndim == 2 else 1, name)
    columns = array.reshape(len(array), 1) if array.ndim == 1 else array
    return made(InMemory(columns), name, channels=channels, units=units, rate=rate)  # type: ignore[arg-type]


def from_nested(values: Sequence[Any], name: str = "the list") -> Series:
    """The series in a list of numbers, or of samples that list their channels. Raises UserError."""
    return from_array(_nested(values, name), name)


def from_mapping(given: Mapping[str, Any], name: str = "the dictionary") -> Series:
    """The series in {"values": (T, C), "channels": names, "rate": Hz, "units": units}; only values must be.

    Raises UserError. A channel called "Fx (N)" has the name Fx and the unit N.
    """
    values = given["values"]
    if isinstance(values, str | bytes) or not hasattr(values, "__len__"):
        raise UserError(f"{name} has the values {values!r:.40}; they are an array or nested lists. {LAYOUT}")
    array = np.asarray(values) if isinstance(values, np.ndarray) and values.dtype != object else None
    array = _nested(list(values), name) if array is None else array
    if (rows := given.get("length")) is not None and rows != len(array):
        raise UserError(f"{name} promises {rows!r:.20} samples and has {len(array):,}.")
    told = given.get("channels")
    titles = [with_unit(str(title)) for title in told] if told is not None else []
    units: Sequence[str] = given.get("units") or [unit for _, unit in titles]
    channels = [title for title, _ in titles]
    if units and len(units) != (array.shape[1] if array.ndim == 2 else 1):
        if given.get("units"):
            raise UserError(f"{name} has {len(units)} units, and not one for each channel.")
        units = ()
    rate = given.get("rate", given.get("sampling_rate"))
    return from_array(array, name, channels=channels or None, units=units or None, rate=rate)


def read_npy(stream: IO[bytes], name: str) -> Series:
    """The series in a numpy file, read as it is needed where it is long. Raises UserError.

    Nothing is unpickled, and what the header promises is held against the size of the file first.
    """
    stream.seek(0)
    try:
        shape, fortran, dtype = npy_header(stream)
    except ValueError as error:
        raise UserError(f"{name} has no sound numpy header: {error}. Copy it again.") from error
    if dtype.hasobject:
        raise UserError(
            f"{name} holds pickled Python objects, which are never opened. Save an array of numbers."
        )
    _demand_kind(dtype, shape, name)
    length, width = shape[0], shape[1] if len(shape) == 2 else 1
    demand_size(length, width, name)
    offset = stream.tell()
    there, promised = stream.seek(0, os.SEEK_END) - offset, length * width * dtype.itemsize
    if there < promised:
        raise UserError(
            f"{name} is cut off: its header promises {length:,} samples of {width} channels "
            f"({promised:,} bytes), and {there:,} bytes are there. Copy it again."
        )
    return made(_stored(stream, dtype, (length, width), offset, fortran and len(shape) == 2), name)


def _stored(
    stream: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, int], offset: int, by_channel: bool
) -> Samples:
    if shape[0] * shape[1] > KEPT_VALUES and not by_channel:
        return OnDisk(stream, dtype, shape, offset)
    stream.seek(offset)
    data = stream.read(shape[0] * shape[1] * dtype.itemsize)
    return InMemory(np.frombuffer(data, dtype=dtype).reshape(shape, order="F" if by_channel else "C"))


def _demand_kind(dtype: np.dtype[Any], shape: tuple[int, ...], name: str) -> None:
    if dtype.kind not in KINDS:
        raise UserError(f"{name} holds {dtype} values, which are no measurements. Give numbers. {LAYOUT}")
    if len(shape) not in (1, 2):
        told = " x ".join(map(str, shape)) or "a single number"
        raise UserError(f"{name} has the shape {told}. {LAYOUT}")


def _nested(values: Sequence[Any], name: str) -> NDArray[Any]:
    """Nested lists as an array; uneven samples are told with their number."""
    rows = [row if np.ndim(row) else (row,) for row in values] if _is_ragged(values) else values
    widths = {len(row) for row in rows if isinstance(row, Sequence | np.ndarray)}
    if len(widths) > 1:
        first = len(rows[0])
        at = next(at for at, row in enumerate(rows) if len(row) != first)
        raise UserError(
            f"{name} is ragged: sample {at + 1} has {len(rows[at])} values where the first has {first}. "
            f"{LAYOUT}"
        )
    try:
        array = np.array(values if len(values) else np.zeros(0))
    except ValueError as error:
        raise UserError(f"{name} is ragged, so it is no series. {LAYOUT}") from error
    return _numbers(array, name) if array.dtype.kind == "O" else array


def _is_ragged(values: Sequence[Any]) -> bool:
    return any(isinstance(row, Sequence | np.ndarray) and not isinstance(row, str) for row in values)


def _numbers(array: NDArray[Any], name: str) -> NDArray[np.float64]:
    """An array of Python objects as numbers; None is a missing value."""
    try:
        return np.array(array, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"{name} holds what is no number ({error}). {LAYOUT}") from error
