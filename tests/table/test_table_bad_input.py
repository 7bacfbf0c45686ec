"""Broken tables: one clear line each, in bounded time and memory."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mmagent.asked import Asked
from mmagent.errors import UserError
from mmagent_table.reader import TableReader


def broken_parquet() -> bytes:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    stream = io.BytesIO()
    pq.write_table(pa.table({"a": ["x", "y"] * 500}), stream)
    return stream.getvalue()


def workbook(*rows: list[Any]) -> bytes:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def archive(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name.replace("__", "/"), content)
    return stream.getvalue()


BROKEN: dict[str, tuple[Callable[[], Any], str]] = {
    "empty": (lambda: b"", "empty"),
    "blank": (lambda: b" \n\n \n", "empty"),
    "names only": (lambda: b"name,age\n", "no row below"),
    "ragged": (lambda: b"a,b\nx,1\ny,2,3\n", "ragged: line 3 has 3 cells"),
    "open quote": (
        lambda: b'a,b\nx,"1\n' + b"y,2\n" * 60_000,
        "line 2: field larger than field limit (131072). A quotation mark",
    ),
    "cut off in a quote": (lambda: b'a,b\nx,"1\n' + b"y,2\n" * 9000, "line 2: a quotation mark"),
    "cut off in a later quote": (lambda: b'a,b\nx,y\n"1\n2","u', "line 4: a quotation mark"),
    "cut off in the first quote": (lambda: b'"a,b\n', "line 1: a quotation mark"),
    "binary": (lambda: bytes(range(256)) * 20, "starts like"),
    "nulls later": (lambda: b"a,b\n" + b"x,1\n" * 2000 + b"y\0,2\n", "null bytes"),
    "a picture": (lambda: b"\x89PNG\r\n\x1a\n" + b"\0" * 50, "a PNG picture"),
    "a pdf": (lambda: b"%PDF-1.7\n", "a PDF"),
    "one endless line": (lambda: b"x" * (17 << 20), "line of more than"),
    "too many columns": (
        lambda: (",".join(f"c{at}" for at in range(5000)) + "\n").encode() * 2,
        "5,000 columns",
    ),
    "cut parquet": (lambda: broken_parquet()[:-20], "damaged or cut off"),
    "cut xlsx": (lambda: workbook(["a"], ["x"])[:-200], "damaged or cut off"),
    "a docx": (lambda: archive(word__document=b"<w/>"), "without a spreadsheet"),
    "an xlsx without sheets": (lambda: archive(xl__workbook=b"<a/>"), "damaged workbook"),
    "an xlsx bomb": (lambda: archive(xl__sheet=b" " * (70 << 20)), "unpacks from"),
    "an empty xlsx": (lambda: workbook(), "no cell with a value"),
    "formulas only": (lambda: workbook(["n", "m"], ["=1+1", "=2+2"]), "no computed values"),
    "an empty list": (lambda: [], "an empty list"),
    "rows of lists": (lambda: [[1, 2], [3, 4]], "a row of a table is a mapping"),
    "uneven columns": (lambda: {"a": [1, 2], "b": [1]}, "equally many"),
    "a number": (lambda: 7, "a int"),
    "an open text file": (lambda: io.StringIO("a,b\n"), "text, not bytes"),
    "an address": (lambda: "https://example.org/a.csv", "Download it first"),
    "no name": (lambda: "", "name of the table is empty"),
}


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.timeout(20)
def test_what_is_broken_is_one_clear_line(case: str) -> None:
    make, told = BROKEN[case]
    source = make()
    reader = TableReader()
    with pytest.raises(UserError) as raised:
        reader.describe(reader.load(source))
    message = str(raised.value)
    assert told in message
    assert "\n" not in message
    assert message.endswith((".", "]'"))


def test_a_missing_file_a_folder_and_a_device(tmp_path: Path) -> None:
    reader = TableReader()
    (tmp_path / "towns.csv").write_text("a,b\nx,1\n")
    with pytest.raises(UserError, match=r"The folder holds: towns\.csv"):
        reader.load(tmp_path / "town.csv")
    with pytest.raises(UserError, match="is a directory"):
        reader.load(tmp_path)
    with pytest.raises(UserError, match="is a device"):
        reader.load("/dev/zero")


@pytest.mark.timeout(20)
def test_a_parquet_header_that_promises_too_much_is_refused_before_rows_are_read() -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    stream = io.BytesIO()
    with pq.ParquetWriter(stream, pa.schema({"a": pa.int32()})) as writer:
        writer.write_table(pa.table({"a": pa.array([1], pa.int32())}))
    honest = stream.getvalue()
    footer = int.from_bytes(honest[-8:-4], "little")
    head, meta = honest[: -8 - footer], honest[-8 - footer : -8]
    # thrift compact: field 3 (num_rows, i64, 0x16) of the file's metadata holds zigzag(1) = 2
    at = meta.index(b"\x16\x02\x19")
    promised = meta[: at + 1] + _varint(2 * 10**9) + meta[at + 2 :]
    lying = head + promised + len(promised).to_bytes(4, "little") + b"PAR1"
    with pytest.raises(UserError, match="says it has 1,000,000,000 rows"):
        TableReader().load(lying)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def test_one_column_and_one_row_are_a_table() -> None:
    reader = TableReader()
    assert reader.describe(reader.load(b"name\nOslo\n")) == "table, 1 row x 1 column: name (text)"


@pytest.mark.parametrize(
    "content",
    [
        b"name,v\na,1e308\nb,-1e308\nc,1e308\nd,5\n",
        b"name,v\na,nan\nb,inf\nc,-inf\nd,7\n",
        b"name,v\na," + b"9" * 400 + b"\nb,2\nc,3\n",
        b"a,b\nnan,\n,nan\n",
        b"day,v\n9999-12-31,1\n0001-01-01,2\n2024-02-30,3\n",
    ],
)
@pytest.mark.filterwarnings("error")
def test_numbers_that_are_none_or_too_large_give_finite_features(content: bytes) -> None:
    reader = TableReader()
    for source in (content, Asked(content, "which name has the highest v?")):
        raw = reader.load(source)
        for name in ("builtin", "rows"):
            encoder = reader.load_encoder(name, device=torch.device("cpu"), dtype=torch.float32)
            features = encoder.encode([raw])
            assert features.pooled.isfinite().all()
            assert features.values.isfinite().all()
        assert reader.profile(raw).aspects["noise"]
