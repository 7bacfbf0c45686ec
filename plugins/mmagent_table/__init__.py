"""The table modality: rows with named, typed columns from csv, tsv, parquet and xlsx files.

Of the senses that read csv, the content chooses: columns with words in them, or with names of things (an id,
a class), are a table; columns of numbers alone are a series. `--table FILE` reads either.

This module only describes; reading and encoding are imported on first use.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from mmagent.hookspecs import hookimpl
from mmagent.modality import Modality

SEPARATORS = (",", "\t", ";", "|")
XLSX_PARTS = (b"xl/", b"[Content_Types].xml", b"docProps/", b"_rels/.rels")
NUMBER = r"\s*[-+]?[\d.,\s]*\d(?:[eE][-+]?\d+)?\s*"  # compiled when a file is looked at
LETTERS = r"(?<!\w)[^\W\d_]|[^\W\d_]{2}"  # not the T of a time
QUOTED = r'(?<![^\n\r,;\t|])"(?:[^"]|"")*'  # an opened quotation at the beginning of a cell
NO_WORDS = frozenset("nan na n/a null none inf -inf +inf infinity -infinity".split())
THINGS = r"(?i)(?:.*[_ ])?id|class|label|target|answer|split|name|species|category"
"""Names of columns that a table of things has and a series has not."""


def sniff(head: bytes) -> bool:
    """Whether a file that starts with these bytes is a table: parquet, xlsx, or separated text of things."""
    if head.startswith(b"PAR1"):
        return True
    if head.startswith(b"PK\x03\x04"):
        return any(part in head for part in XLSX_PARTS) and b"word/" not in head and b"ppt/" not in head
    return _is_separated_text(head)


def _is_separated_text(head: bytes) -> bool:
    """Whether one separator cuts the lines into equally many cells, and some tell of things."""
    text = _text(head)
    if text is None or text.lstrip()[:1] in ("{", "[", "<"):
        return False
    cut = len(head) >= 4096
    lines = [line for line in _without_quotes(text, cut).splitlines() if line.strip()]
    if cut:
        lines = lines[:-1]  # the last one is cut off
    for separator in SEPARATORS:
        rows = [line.split(separator) for line in lines[:50]]
        if len(rows) < 2 or len(rows[0]) < 2:
            continue
        if sum(len(row) == len(rows[0]) for row in rows) < 0.8 * len(rows):
            continue
        named = any(re.fullmatch(THINGS, cell.strip().strip('"')) for cell in rows[0])
        if named or any(_is_word(cell) for row in rows[1:] for cell in row):
            return not _reads_as_prose(rows, separator)
    return False


def _is_word(cell: str) -> bool:
    """Whether a cell has letters that make a word, and is no number and no sign of a missing one."""
    plain = cell.strip().strip('"').lower()
    return plain not in NO_WORDS and not re.fullmatch(NUMBER, plain) and bool(re.search(LETTERS, plain))


def _text(head: bytes) -> str | None:
    """The bytes as text, None where they are binary."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return head.decode("utf-16", errors="ignore")
    if b"\0" in head or any(byte < 9 or 13 < byte < 27 for byte in head):
        return None
    return head.decode("utf-8-sig", errors="replace")


def _without_quotes(text: str, cut: bool) -> str:
    """A text whose quoted cells hold no separators and no line breaks; one that is cut off is left out."""
    if '"' not in text:
        return text
    plain = re.sub(QUOTED + '"', lambda found: re.sub(r"[\n\r,;\t|]", " ", found[0]), text)
    return re.sub(QUOTED + "$", "", plain) if cut else plain


def _reads_as_prose(rows: list[list[str]], separator: str) -> bool:
    """Whether lines look like sentences that happen to have as many commas as each other."""
    cells = [cell for row in rows for cell in row[1:]]
    spaced = sum(cell.startswith(" ") and not cell.strip()[:1].isdigit() for cell in cells)
    ends = sum(row[-1].rstrip().endswith((".", "!", "?")) for row in rows)
    return separator == "," and ends > 0.5 * len(rows) and spaced > 0.5 * len(cells)


@hookimpl
def register_modalities(register: Callable[[Modality], None]) -> None:
    """Add `table`."""
    register(
        Modality(
            name="table",
            help="a table with named columns: csv, tsv, parquet or xlsx",
            reader="mmagent_table.reader:TableReader",
            extensions=(".csv", ".tsv", ".parquet", ".xlsx"),
            sniff=sniff,
            encoder="builtin",
            asked=True,
        )
    )
