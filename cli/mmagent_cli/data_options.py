"""How labelled data are to be read: the options that ``data check``, ``train`` and ``eval`` share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from mmagent.errors import UserError

__all__ = ["Columns", "Data", "EpisodeNames", "Names", "Question", "SplitColumn", "parse_columns"]

SOURCE = "A file, a folder, or a hub name."
NAMES = "Names of classes that the data give by number, one per line"

Data = Annotated[
    str, typer.Option("--data", metavar="PATH", help=f"Labelled data: {SOURCE.lower()}", show_default=False)
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="WHAT=NAME",
        help="Which column stands for what: question=prompt_text. Repeatable.",
        show_default=False,
    ),
]
SplitColumn = Annotated[
    str | None,
    typer.Option("--split-column", metavar="NAME", help="The column of splits.", show_default=False),
]
Question = Annotated[
    str | None,
    typer.Option(
        "--question",
        metavar="TEXT",
        help='What rows without a question are asked. Else "What is this?".',
        show_default=False,
    ),
]
Names = Annotated[Path | None, typer.Option("--names", metavar="FILE", help=f"{NAMES}.", show_default=False)]
EpisodeNames = Annotated[
    str | None,
    typer.Option(
        "--names",
        metavar="FILE|invented|real",
        help=f"{NAMES}; with --episodes what classes are called: invented words, or their real names.",
        show_default=False,
    ),
]


def parse_columns(given: Sequence[str] | None, split: str | None = None) -> dict[str, str]:
    """``question=prompt_text`` as a mapping; split: the column of splits, if given. Raises `UserError`."""
    columns: dict[str, str] = {}
    for text in (*(given or ()), *([f"split={split}"] if split else [])):
        role, equals, name = (part.strip() for part in text.partition("="))
        if not (role and equals and name):
            raise UserError(
                f"cannot read --column {text!r}. Write it like this: --column question=prompt_text."
            )
        if role in columns:
            raise UserError(f"the {role} is given two columns, {columns[role]} and {name}. Choose one.")
        columns[role] = name
    return columns
