"""Plain tables for people: columns as wide as they need to be, the last one as wide as the terminal."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence


def write_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table to stdout; on a terminal the last column is wrapped, in a pipe a row is a line."""
    widths = [max(len(line[at]) for line in (head, *rows)) for at in range(len(head) - 1)]
    indent = sum(widths) + 2 * len(widths)
    room = max(24, shutil.get_terminal_size().columns - indent) if sys.stdout.isatty() else 10_000
    for line in (head, *rows):
        start = "".join(f"{cell:<{width}}  " for cell, width in zip(line[:-1], widths, strict=True))
        wrapped = textwrap.wrap(line[-1], room) or [""]
        print((start + wrapped[0]).rstrip())
        for more in wrapped[1:]:
            print(" " * indent + more)
