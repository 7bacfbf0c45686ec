"""Broken series: each is one clear line, soon, and nothing is allocated for what a header only promises."""

from __future__ import annotations

import io
import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmagent.errors import UserError
from mmagent_series.reader import SeriesReader


def npy(array: Any, **options: Any) -> bytes:
    """The bytes of a numpy file."""
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def promising(shape: tuple[int, ...], kind: str = "<f8") -> bytes:
    """A numpy header for an array that is not there."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": kind, "fortran_order": False, "shape": shape})
    return stream.getvalue() + bytes(64)


def parquet(columns: dict[str, Any]) -> bytes:
    """The bytes of a parquet file."""
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream)
    return stream.getvalue()


class Dangerous:
    """Opening a pickle of it would raise."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise RuntimeError('it was unpickled')",)


GOOD = b"time,a,b\n0,1,2\n1,2,3\n2,3,4\n"
TS = b"@problemName x\n@classLabel true a\n@data\n"
BAD: dict[str, tuple[object, str]] = {
    "zero length": (b"", "is empty"),
    "blank lines": (b"\n\n  \n", "not a series|no lines"),
    "names alone": (b"a,b,c\n", "no samples below"),
    "a time column alone": (b"time\n0\n1\n2\n", "only the column 'time'"),
    "no value": (b"a,b\n,\nnan,NA\n,\n", "no value at all"),
    "infinite": (b"a,b\n1,2\n1,-inf\n2,3\n", "infinite value in b, sample 2"),
    "beyond belief": (b"a,b\n1,2\n1e35,3\n", r"1e\+35 in a, sample 2"),
    "ragged": (b"a,b\n1,2\n3,4,5\n6,7\n", "line 3 has 3 columns where the first has 2"),
    "short line": (b"a,b\n1,2\n3\n6,7\n", "line 3 has 1 columns where the first has 2"),
    "a text column": (b"time,a,note\n0,1,fine\n1,2,late\n", "line 2 holds 'fine' in 'note'.*as a table"),
    "a word among numbers": (b"a,b\n1,2\n3,oops\n4,5\n", "line 3 holds 'oops' in 'b'"),
    "times that fall": (b"time,a\n3,1\n2,2\n1,3\n", "do not rise"),
    "times that stand": (b"time,a\n3,1\n3,2\n3,3\n", "do not rise"),
    "an absurd rate": (b"time (ns),a\n0,1\n1e-9,2\n2e-9,3\n", r"a rate of 1e\+18 Hz"),
    "not UTF-8": (b"a,b\n" + b"1,2\n" * 3000 + b"1,\xff\xfe\n", "not UTF-8"),
    "zero bytes": (b"a,b\n" + b"1,2\n" * 3000 + bytes(9), "zero bytes"),
    "an endless line": (b"1," * 1_100_000, "more than 1,048,576 characters"),
    "too many columns": (b",".join([b"1"] * 5000) + b"\n", "5,000 columns"),
    "a PDF": (b"%PDF-1.7 ...", "starts like a PDF"),
    "json": (b'{"values": [1, 2]}', "starts like JSON"),
    "numpy, cut off": (
        npy(np.zeros((100, 3)))[:900],
        "cut off: its header promises 100 samples of 3 channels",
    ),
    "numpy, no header": (b"\x93NUMPY\x01\x00v\x00{'descr'", "no sound numpy header"),
    "numpy, a billion": (promising((10**9,)), "1,000,000,000 samples of 1 channels; at most"),
    "numpy, beyond counting": (promising((10**15, 10**3)), "at most"),
    "numpy, fewer than none": (promising((-5, 3)), "tells the shape -5 x 3"),
    "numpy, none and none": (promising((-1, -3)), "tells the shape -1 x -3"),
    "numpy, a long header": (b"\x93NUMPY\x01\x00" + b"\xff" * 70_000, "longer than 10,000 bytes. Copy"),
    "numpy, pickled": (npy(np.array([Dangerous()]), allow_pickle=True), "pickled Python objects"),
    "numpy, no samples": (npy(np.zeros((0, 3))), "no samples"),
    "numpy, no channels": (npy(np.zeros((3, 0))), "no samples"),
    "numpy, complex": (npy(np.zeros(3, complex)), "complex128 values"),
    "numpy, cube": (npy(np.zeros((2, 2, 2))), "shape 2 x 2 x 2"),
    "numpy, NaN": (npy(np.full(5, np.nan)), "no value at all"),
    "numpy, inf": (npy(np.array([0, np.inf])), "infinite value"),
    "a pickle": (pickle.dumps([1, 2, 3]), "Python pickle"),
    "ts, no data": (b"@problemName x\n@timeStamps false\n", "without a line @data"),
    "ts, nothing": (TS, "nothing after @data"),
    "ts, many": (TS + b"1,2:a\n2,3:a\n", "holds 2 series. Say which"),
    "ts, words": (TS + b"1,two:a\n", "'two' where a number"),
    "ts, no label": (TS + b"1,2\n", "promises class labels"),
    "ts, a billion": (b"@problemName x\n@seriesLength 1000000000\n@data\n1\n", "promises @serieslength"),
    "ts, dimensions": (b"@problemName x\n@dimensions 3\n@data\n1,2:3,4\n", "promises 3 dimensions"),
    "parquet, cut off": (parquet({"a": [1.0, 2.0]})[:-9], "cannot be read"),
    "parquet, words": (parquet({"a": [1.0], "b": ["x"]}), "column 'b' of string"),
    "parquet, no rows": (parquet({"values": pa.array([], pa.list_(pa.float64()))}), "no rows"),
    "parquet, many": (parquet({"values": [[1.0], [2.0]]}), "holds 2 series"),
    "list, ragged": ([[1, 2], [3]], "sample 2 has 1 values where the first has 2"),
    "list, words": ([1, "two"], "Give numbers"),
    "list, empty": ([], "no samples"),
    "dictionary, nothing": ({"a": 1}, "'a' is no series"),
    "dictionary, a word": ({"values": "1,2"}, "are an array"),
    "dictionary, names": ({"values": np.zeros((4, 2)), "channels": ["a"]}, "2 channels and 1 names"),
    "rate of 0": ({"values": [1, 2], "rate": 0}, "a rate of 0 Hz"),
    "rate below 0": ({"values": [1, 2], "rate": -5}, "a rate of -5 Hz"),
    "rate NaN": ({"values": [1, 2], "rate": float("nan")}, "a rate of nan Hz"),
    "rate in words": ({"values": [1, 2], "rate": "fast"}, "is a number in Hz"),
    "an object": (object(), "cannot be made of a object"),
    "text": (io.StringIO("1,2"), "text, not bytes"),
    "an address": ("https://example.org/a.csv", "Download it first"),
    "no name": ("", "name of the series is empty"),
    "a device": ("/dev/zero", "is a device"),
    "a directory": ("/tmp", "is a directory"),
    "a missing file": ("/tmp/none/such.csv", "there is no file"),
}


@pytest.mark.parametrize(("source", "told"), BAD.values(), ids=BAD)
def test_each_is_told_in_one_line(reader: SeriesReader, source: object, told: str):
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=told) as caught:
            reader.load(source)
        assert tracemalloc.get_traced_memory()[1] < 60 << 20
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_number_that_is_not_there(reader: SeriesReader, tmp_path: Path):
    (tmp_path / "a.ts").write_bytes(TS + b"1,2:a\n2,3:a\n")
    for number in (0, 3):
        with pytest.raises(UserError, match=f"2 series, and there is no number {number}"):
            reader.load(f"{tmp_path / 'a.ts'}#{number}")
    (tmp_path / "a.csv").write_bytes(GOOD)
    with pytest.raises(UserError, match="holds one series"):
        reader.load(f"{tmp_path / 'a.csv'}#1")


@pytest.mark.parametrize("source", [[3.5], b"7\n", np.array([1]), {"values": [[1, 2, 3]], "rate": 5}])
def test_one_sample_is_a_series(reader: SeriesReader, encoder: Any, source: object):
    found = reader.load(source)
    assert found.length == 1
    assert encoder.encode([found]).pooled.isfinite().all()
    assert reader.profile(found).aspects["elements"]["samples"] == 1


def test_a_file_that_shrinks_is_told(reader: SeriesReader, written: Callable[[str, bytes], Path]):
    place = written("a.npy", npy(np.zeros(5_000_000, np.float32)))
    series = reader.load(place)
    with place.open("rb+") as stream:
        stream.truncate(1000)
    with pytest.raises(UserError, match="became shorter"):
        list(series.blocks())
