"""What the header of a numpy file promises, before any of it is believed."""

from __future__ import annotations

from typing import IO, Any

import numpy as np

__all__ = ["LONGEST_HEADER", "npy_header"]

LONGEST_HEADER = 10_000  # bytes; numpy parses no longer one


def npy_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether columns lie one after another, and type of the array in an open file.

    The stream then stands at the first value; nothing is unpickled. Raises `ValueError` that says in a few
    words what is wrong with the header.
    """
    try:
        version = np.lib.format.read_magic(stream)
        old = version == (1, 0)
        read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream, max_header_size=LONGEST_HEADER)
    except (ValueError, SyntaxError, TypeError, EOFError, RecursionError, MemoryError) as error:
        if "header info length" in str(error).lower():
            raise ValueError(f"it is longer than {LONGEST_HEADER:,} bytes") from error
        raise ValueError("it is cut off or no description of an array") from error
    if min(shape, default=0) < 0:
        raise ValueError(f"it tells the shape {' x '.join(map(str, shape))}")
    return shape, fortran, dtype
