"""Every format gives the same series; units, rate, gaps and names are kept."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmagent.data.arrow import Stored
from mmagent_series.clock import Clock
from mmagent_series.reader import SeriesReader
from mmagent_series.series import Series

Write = Callable[[str, str | bytes], Path]
TITLES = ("Fx (N)", "Fy (N)", "angle [deg]")


def values(series: Series) -> np.ndarray:
    """All samples (T, C)."""
    return np.concatenate(list(series.blocks()))


def as_csv(array: np.ndarray, separator: str = ",", comma: bool = False) -> str:
    """Samples at 50 Hz with a column of times."""
    lines = [separator.join(("time (s)", *TITLES))]
    for at, row in enumerate(array.tolist()):
        line = separator.join("" if np.isnan(cell) else repr(cell) for cell in (at / 50, *row))
        lines.append(line.replace(".", ",") if comma else line)
    return "\n".join(lines) + "\n"


def test_all_formats_give_one_fingerprint(reader: SeriesReader, written: Write, waves: np.ndarray):
    waves[20:30, 1] = np.nan
    told = {"time (s)": np.arange(200) / 50} | {title: waves[:, at] for at, title in enumerate(TITLES)}
    table = pa.table({name: pa.array(column, from_pandas=True) for name, column in told.items()})
    kept = written("a.parquet", b"")
    pq.write_table(table, kept)
    sources: dict[str, object] = {
        "csv": written("a.csv", as_csv(waves)),
        "tsv": str(written("a.tsv", as_csv(waves, "\t"))),
        "decimal commas": written("b.csv", as_csv(waves, ";", comma=True)),
        "parquet": kept,
        "bytes": as_csv(waves).encode(),
        "open file": io.BytesIO(as_csv(waves).encode()),
        "parquet cell": {"bytes": as_csv(waves).encode(), "path": None},
        "dictionary": {"values": waves, "channels": TITLES, "rate": 50},
        "nested lists": {"values": waves.tolist(), "channels": list(TITLES), "rate": 50.0},
    }
    found = {name: reader.load(source) for name, source in sources.items()}
    assert {name: reader.fingerprint(one) for name, one in found.items()} == dict.fromkeys(
        found, reader.fingerprint(found["csv"])
    )
    series = found["csv"]
    assert series.channels == ("Fx", "Fy", "angle")
    assert series.units == ("N", "N", "deg")
    assert (series.rate, series.length, series.missing) == (50.0, 200, 10)
    np.testing.assert_array_equal(values(series), waves)


def test_a_medium_inside_a_table_is_read(reader: SeriesReader, waves: np.ndarray):
    stored = Stored(lambda at: {"bytes": as_csv(waves).encode()}, 0, "table.parquet, row 1")
    assert reader.load(stored).length == 200


@pytest.mark.parametrize("kind", ["float64", ">f4", "int16", "bool", "float16"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numpy_files(reader: SeriesReader, tmp_path: Path, kind: str, order: str):
    array = np.asarray(np.arange(24).reshape(8, 3) % 7, dtype=kind, order=order)  # type: ignore[call-overload]
    np.save(tmp_path / "a.npy", array)
    found = reader.load(tmp_path / "a.npy")
    np.testing.assert_array_equal(values(found), array.astype(float))
    assert found.rate is None


def test_times_in_other_units_and_dates_give_the_rate(reader: SeriesReader):
    for header, first, step in (("t_ms", 0, 4), ("time (us)", 5e6, 4000), ("timestamp", 1.7e12, 4)):
        rows = "".join(f"{first + at * step:.0f},{at}\n" for at in range(9))
        assert reader.load(f"{header},a\n{rows}".encode()).rate == 250
    rows = "".join(f"2024-02-28T23:59:5{at}Z,{at}\n" for at in range(9))
    assert reader.load(f"when,a\n{rows}".encode()).rate == 1
    assert reader.load(b"# sampling rate = 2.5 kHz\n1,2\n2,3\n3,5\n").rate == 2500


def test_a_column_that_counts_is_no_channel(reader: SeriesReader):
    found = reader.load(b",a,b\n0,5,1\n1,6,1\n2,8,3\n")
    assert found.channels == ("a", "b")
    assert reader.load(b"index,a\n0,5\n7,6\n9,8\n").channels == ("index", "a")


def test_irregular_times_are_told(reader: SeriesReader):
    found = reader.load(b"t,a\n0,1\n1,2\n2,3\n3,4\n4.5,2\n8,1\n9,0\n")
    assert found.timing is not None
    assert (found.rate, found.timing.jitter, found.timing.skips) == (1.0, 2.5, 1)


def test_samples_that_were_left_out_are_a_gap(reader: SeriesReader):
    """Two seconds at 100 Hz without samples 80 to 89, with an empty line of padding at either end."""
    rows = [f"{at / 100:.2f},{at}" for at in range(200) if not 80 <= at < 90]
    found = reader.load("\n".join(["time (s),a", "-0.01,", *rows, "2.00,"]).encode())
    assert (found.length, found.seconds, found.rate) == (190, 2.0, 100)
    assert "190 samples of 1 channel, 100 Hz, 2 s" in reader.describe(found)
    told = reader.profile(found).aspects
    assert (told["sampling"]["duration (s)"], told["sampling"]["samples left out in them"]) == (2.0, 10)
    assert told["noise"]["longest gap (samples)"] == 10
    assert found.timing is not None
    (gap,) = found.timing.within
    assert (gap.before, gap.samples) == (79, 10)
    np.testing.assert_allclose([gap.start, gap.stop], [0.8, 0.9])
    np.testing.assert_allclose(found.timing.at(np.array([0, 79, 80, 189])), [0, 0.79, 0.9, 1.99])


def test_times_are_kept_in_bounds_however_many_there_are_and_wherever_blocks_end():
    """A gap after every thousandth sample; a sample whose time is missing is there."""
    times = np.arange(300_000) / 1000 + np.arange(300_000) // 1000
    times[5] = np.nan
    whole, cut = Clock("x", 1.0), Clock("x", 1.0)
    whole.add(times)
    for start in range(0, len(times), 777):
        cut.add(times[start : start + 777])
    one, other = whole.timing, cut.timing
    assert one is not None
    assert other is not None
    assert (one.skips, one.left_out) == (299, 299_000)
    assert [(gap.before, gap.samples) for gap in other.gaps] == [
        (1000 * at - 1, 1000) for at in range(1, 300)
    ]
    assert len(one.places) < 10_000
    assert one.places.tolist() == other.places.tolist()
    somewhere = np.arange(7, len(times), 997)
    np.testing.assert_allclose(one.at(somewhere), times[somewhere], atol=1e-6)
    assert one.duration == 599.0


def test_missing_values_in_many_words(reader: SeriesReader):
    found = reader.load(b'a,b\n1,NaN\n"2",NA\n,3\n?,null\n-,5\n6,-\n')
    assert found.missing == 7
    assert found.length == 6


def test_rows_without_any_value_at_the_ends_are_padding(reader: SeriesReader, waves: np.ndarray):
    edge = np.full((7, 3), np.nan)
    padded = reader.load(np.concatenate([edge, waves, edge]))
    assert padded.missing == 0
    assert reader.fingerprint(padded) == reader.fingerprint(reader.load(waves))


TS = """# by hand
@problemName Two
@timeStamps false
@missing true
@univariate false
@dimensions 2
@equalLength false
@classLabel true rest walk
@data
1,2,3,4:5,6,7,8:rest
1,?,3:4,5,6,7:walk
"""


def test_ts_files(reader: SeriesReader, written: Write):
    place = written("two.ts", TS)
    first, second = reader.load(f"{place}#1"), reader.load(f"{place}#2")
    np.testing.assert_array_equal(values(first), [[1, 5], [2, 6], [3, 7], [4, 8]])
    np.testing.assert_array_equal(values(second), [[1, 4], [np.nan, 5], [3, 6], [np.nan, 7]])
    timed = TS.replace("false\n@missing", "true\n@missing").split("@data")[0] + "@data\n"
    timed += "(0,1),(0.5,2),(1,3):(0,5),(0.5,6),(1,7):rest\n"
    found = reader.load(timed.encode())
    assert found.rate == 2
    np.testing.assert_array_equal(values(found), [[1, 5], [2, 6], [3, 7]])


def test_a_parquet_file_of_many_series(reader: SeriesReader, tmp_path: Path):
    place = tmp_path / "many.parquet"
    cells = [[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0]], [[7.0, 8.0], [9.0, None], [1.0, 1.0]]]
    columns = {
        "values": cells,
        "channels": [["a (V)", "b"]] * 3,
        "rate": [10.0, 20.0, 30.0],
        "label": [*"xyz"],
    }
    pq.write_table(pa.table(columns), place, row_group_size=2)
    found = reader.load(f"{place}#3")
    assert (found.channels, found.units, found.rate, found.missing) == (("a", "b"), ("V", ""), 30, 1)
    assert values(reader.load(f"{place}#2")).tolist() == [[5, 6]]


def test_python_objects(reader: SeriesReader):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame({"a": [1.0, 2.0], "b": [3, 4]})
    assert reader.load(frame).channels == ("a", "b")
    assert reader.load([1, 2, None, 4]).missing == 1
    assert reader.load(frame["a"]).length == 2


def test_describe_is_one_line(reader: SeriesReader, waves: np.ndarray):
    waves[:20, 0] = np.nan
    told = reader.describe(reader.load({"values": waves, "rate": 50}))
    assert told == "series, 200 samples of 3 channels, 50 Hz, 4 s, 3.3% missing"
