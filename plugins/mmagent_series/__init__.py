"""The series modality: measurements over time, of one channel or many.

This module only describes; reading and encoding are imported on first use.
"""

from __future__ import annotations

from collections.abc import Callable

from mmagent.hookspecs import hookimpl
from mmagent.modality import Modality


def sniff(head: bytes) -> bool:
    """Whether a file that starts with these bytes is clearly a series."""
    from mmagent_series import recognise

    return recognise.sniff(head)


@hookimpl
def register_modalities(register: Callable[[Modality], None]) -> None:
    """Add `series`."""
    register(
        Modality(
            name="series",
            help="measurements over time, one channel or many: csv, tsv, npy, parquet or .ts",
            reader="mmagent_series.reader:SeriesReader",
            extensions=(".csv", ".tsv", ".npy", ".parquet", ".ts"),
            sniff=sniff,
            encoder="builtin",
        )
    )
