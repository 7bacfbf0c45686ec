"""Reading tables: whatever the source, the same table; types, missing cells and sizes are found."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import pytest

from mmagent.errors import UserError
from mmagent.inspection import inspect_file
from mmagent_table import sniff
from mmagent_table.cells import as_date, as_number
from mmagent_table.reader import TableReader

ROWS = [
    {"town": "Oslo", "people": 709_037, "share": "12 %", "founded": "1040-01-01", "capital": True},
    {"town": "Bergen", "people": 291_189, "share": "5.1 %", "founded": "1070-06-02", "capital": False},
    {"town": "Tromsø", "people": 77_544, "share": None, "founded": "1794-03-04", "capital": False},
]
CSV = "town,people,share,founded,capital\n" + "".join(
    f"{row['town']},{row['people']},{row['share'] or ''},{row['founded']},{str(row['capital']).lower()}\n"
    for row in ROWS
)


@pytest.fixture(scope="module")
def reader() -> TableReader:
    return TableReader()


def frame() -> Any:
    pd = pytest.importorskip("pandas")
    return pd.DataFrame(ROWS)


def parquet() -> bytes:
    stream = io.BytesIO()
    frame().to_parquet(stream)
    return stream.getvalue()


def xlsx() -> bytes:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(list(ROWS[0]))
    for row in ROWS:
        book.active.append(list(row.values()))
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def test_the_same_table_in_every_format_is_the_same_table(reader: TableReader, tmp_path: Path) -> None:
    file = tmp_path / "towns.csv"
    file.write_text(CSV, encoding="utf-8")
    sources = [
        file,
        str(file),
        CSV.encode(),
        CSV.replace(",", ";").encode(),
        CSV.replace(",", "\t").encode("utf-16"),
        ("\ufeff" + CSV).encode(),
        CSV.encode("cp1252"),
        io.BytesIO(CSV.encode()),
        {"bytes": CSV.encode(), "path": None},
        {"path": str(file), "bytes": None},
        ROWS,
        {name: [row[name] for row in ROWS] for name in ROWS[0]},
        frame(),
        parquet(),
        xlsx(),
    ]
    prints = [reader.fingerprint(reader.load(source)) for source in sources]
    assert prints == [prints[0]] * len(sources)
    other = CSV.replace("Oslo", "Oslp").encode()
    assert reader.fingerprint(reader.load(other)) != prints[0]


def test_columns_have_types_units_and_gaps(reader: TableReader) -> None:
    table = reader.load(CSV.encode())
    columns = {column.name: column for column in table.summary.columns}
    assert {name: column.kind for name, column in columns.items()} == {
        "town": "text",
        "people": "number",
        "share": "number",
        "founded": "date",
        "capital": "boolean",
    }
    assert (columns["share"].unit, columns["share"].missing) == ("%", 1)
    assert (columns["people"].low, columns["people"].high) == (77_544, 709_037)
    assert reader.describe(table).startswith("table, 3 rows x 5 columns: town (text), people (number), share")


@pytest.mark.parametrize(
    ("cell", "value", "unit"),
    [
        ("1,234.5 km", 1234.5, "km"),
        ("1.234.567,5", 1234567.5, ""),
        ("3,5", 3.5, ""),
        ("$15 million", 15e6, "$"),
        ("12 %", 12, "%"),
        ("−7", -7, ""),
        ("-5 °C", -5, "°c"),
        ("48,133[1]", 48133, ""),
        ("3rd", 3, ""),
        ("1e-3", 0.001, ""),
    ],
)
def test_numbers_as_people_write_them(cell: str, value: float, unit: str) -> None:
    found = as_number(cell)
    assert found is not None
    assert (found.value, found.unit) == (pytest.approx(value), unit)


@pytest.mark.parametrize("cell", ["W 20–13", "4x100", "10:30", "1999–2000", "Oslo 2", "", "1.2.3.4"])
def test_what_is_no_number_is_none(cell: str) -> None:
    assert as_number(cell) is None


def test_dates_in_many_forms_are_one_day() -> None:
    forms = [
        "1999-06-13",
        "June 13, 1999",
        "13 June 1999",
        "13.6.1999",
        "6/13/1999",
        "Jun 13, 1999",
        "13/6/1999",
    ]
    assert {as_date(form) for form in forms} == {10755.0}
    assert as_date("32 June 1999") is None
    assert as_date("13 Foo 1999") is None


def test_a_file_without_names_gets_some(reader: TableReader) -> None:
    table = reader.load(b"Oslo,5\nBergen,7\nOslo,9\n")
    assert table.names == ("column 1", "column 2")
    assert table.summary.n_rows == 3
    years = reader.load(b"country,2010,2011\nNorway,4.5,4.9\nSweden,9.3,9.4\n")
    assert years.names == ("country", "2010", "2011")


def test_names_that_come_twice_are_told_apart(reader: TableReader) -> None:
    table = reader.load(b"Wine,Rank,Beer,Rank,\na,1,b,2,x\nc,3,d,4,y\n")
    assert table.names == ("Wine", "Rank", "Beer", "Rank (2)", "column 5")
    assert any("'Rank'; they are told apart by (2)." in note for note in table.notes)


def test_row_labels_without_a_name_are_called_index(reader: TableReader) -> None:
    pytest.importorskip("pyarrow")
    stream = io.BytesIO()
    frame().iloc[[2, 0, 1]].to_parquet(stream)
    assert reader.load(stream.getvalue()).names == (*ROWS[0], "index")


def test_cells_keep_separators_quotes_and_lines(reader: TableReader) -> None:
    table = reader.load(b'name,note\n"Hansen, Ida","said ""hi""\nand left"\nOla,x\n')
    assert next(table.rows()) == ("Hansen, Ida", 'said "hi" and left')


def test_lines_in_another_encoding_are_read_and_told(reader: TableReader) -> None:
    content = "town,n\nTromsø,1\n".encode() + "Bodø,2\n".encode("cp1252") + "Vadsø,3\n".encode()
    table = reader.load(content)
    assert [row[0] for row in table.rows()] == ["Tromsø", "Bodø", "Vadsø"]
    assert any("Windows-1252" in note for note in table.notes)


def test_short_rows_are_filled_and_told(reader: TableReader) -> None:
    table = reader.load(b"a,b,c\nx,1,2\ny,3\nz,4,5\n")
    assert list(table.rows())[1] == ("y", "3", "")
    assert any("short" in note for note in table.notes)


def test_another_sheet_and_formulas_are_told(reader: TableReader) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.title = "blank"
    sheet = book.create_sheet("data")
    for row in (["name", "n", "double"], ["a", 1, "=B2*2"], ["b", 2, "=B3*2"]):
        sheet.append(row)
    stream = io.BytesIO()
    book.save(stream)
    table = reader.load(stream.getvalue())
    assert [row[:2] for row in table.rows()] == [("a", "1"), ("b", "2")]
    assert any("'data'" in note for note in table.notes)
    assert any("2 of 2 formulas" in note for note in table.notes)


def test_a_sheet_is_chosen_by_its_name(reader: TableReader, tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.title = "About"
    book.active.append(["note"])
    book.active.append(["made by hand"])
    for row in (["city", "n"], ["Oslo", 1], ["Rome", 2]):
        (book["Data"] if "Data" in book.sheetnames else book.create_sheet("Data")).append(row)
    file = tmp_path / "towns.xlsx"
    book.save(file)
    assert reader.describe(reader.load(file)).endswith("the sheet 'About' of 2, another with towns.xlsx#Data")
    for name in ("Data", "data"):
        assert reader.load(f"{file}#{name}").names == ("city", "n")
    assert reader.load(file).names == ("note",)  # which table is kept does not mix them up
    found = inspect_file(f"{file}#Data", bundle=None)
    assert (found.modality, found.bytes) == ("table", file.stat().st_size)
    assert "the sheet 'Data' of 2" in found.description
    with pytest.raises(UserError, match=r"no sheet 'Dat'. There are: About, Data. Did you mean 'Data'"):
        reader.load(f"{file}#Dat")
    (tmp_path / "a.csv").write_text("a,b\nx,1\n")
    with pytest.raises(UserError, match="is no workbook"):
        reader.load(tmp_path / "a.csv#Data")


@pytest.mark.parametrize(
    ("content", "is_table"),
    [
        (CSV.encode(), True),
        (CSV.replace(",", "\t").encode(), True),
        (CSV.encode("utf-16"), True),
        (b'name,notes\n"Smith, J.","one line\nline two"\n"Doe","x\n\n,,y"\n', True),  # a cell of many lines
        (b'a,b\n"' + b"x,\n" * 2000 + b'",1\n', False),  # cut off in a cell before anything tells
        (b'item,price\nA,"$1,200.50"\nB,$30.00\n', True),  # words of one letter
        (b"a|b\nx|1\ny|2\n", True),
        (b"a,b\n1,x\n\n\n2,y\n", True),
        (b"day,val\n2024-01-01T00:00:00,1\n2024-01-02T00:00:00Z,2\n", False),
        (b"time,volt\n0.0,1.5\n0.1,1.6\n0.2,1.7\n", False),  # numbers only: a series
        (b"0.1\t0.2\n0.3\t0.4\n", False),
        (b"One line of prose, no more.\n", False),
        (b"Dear Ida, how are you, my friend?\nI am well, thank you, and you?\n", False),
        (b'{"a": 1, "b": 2}\n{"a": 3, "b": 4}\n', False),
        (b"\x89PNG\r\n\x1a\n,,,\n,,,", False),
        (b"", False),
    ],
)
def test_tables_are_known_by_their_content(content: bytes, is_table: bool) -> None:
    assert sniff(content) is is_table


def test_parquet_and_xlsx_are_known_by_their_content() -> None:
    assert sniff(parquet()[:4096])
    assert sniff(xlsx()[:4096])


def test_a_long_table_is_read_in_bounded_memory(reader: TableReader, tmp_path: Path) -> None:
    import tracemalloc

    rng = random.Random(0)
    file = tmp_path / "long.csv"
    with file.open("w") as stream:
        stream.write("name,n\n")
        for at in range(120_000):
            stream.write(f"{rng.getrandbits(40):x},{at}\n")
    table = reader.load(file)
    tracemalloc.start()
    rows = sum(len(chunk) for chunk in table.chunks())
    rows_again = sum(len(chunk) for chunk in table.chunks())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows == rows_again == 120_000
    assert peak < 64 * 2**20
