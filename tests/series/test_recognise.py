"""What is held to be a series by its first bytes alone, and what is left to tables and to other senses."""

from __future__ import annotations

import io

import numpy as np
import pytest

from mmagent_series.recognise import sniff

ROWS = "".join(f"{at / 10},{at},{-at}\n" for at in range(2000))


def npy(array: np.ndarray) -> bytes:
    """The bytes of a numpy file."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


SERIES = {
    "columns with names": f"time,a,b\n{ROWS}".encode(),
    "columns with units": f"time (s),Fx (N),Fy (N)\n{ROWS}".encode(),
    "columns without names": ROWS.encode(),
    "a byte order mark": f"time,a,b\n{ROWS}".encode("utf-8-sig"),
    "tabs": b"t\ta\n" + b"".join(b"%d\t%d\n" % (at, at) for at in range(9)),
    "decimal commas": b"t;a\n0;1,5\n1;2,5\n2;3,5\n",
    "gaps": b"a,b\n1,2\n,3\n4,\nnan,5\n",
    "dates": b"when,a\n2024-01-01 00:00:00,1\n2024-01-01 00:00:01,2\n2024-01-01 00:00:02,2\n",
    "one column": b"1.5\n2.5\n-3e-2\n4\n",
    "comments": b"# rate: 100 Hz\na,b\n1,2\n2,3\n3,4\n",
    "ts": b"#made by hand\n@problemName Gun\n@timeStamps false\n@classLabel true 1 2\n@data\n1,2,3:1\n",
    "numpy, one channel": npy(np.zeros(9, np.float32)),
    "numpy, channels": npy(np.zeros((9, 3), np.int16)),
}
OTHERS = {
    "nothing": b"",
    "words": b"name,age\nada,36\nalan,41\ngrace,85\n",
    "one column of words": b"time,a,note\n0,1,ok\n1,2,ok\n2,3,late\n",
    "numbers of things": b"id,age,height\n1,36,170\n2,41,180\n3,85,165\n",
    "labelled rows": b"a,b,label\n1,2,0\n2,3,1\n3,4,0\n",
    "two rows": b"a,b\n1,2\n3,4\n",
    "ragged": b"a,b\n1,2\n3,4,5\n6,7\n",
    "prose": b"A series of events, none of them numbers.\nIt goes on\nand on\nand on\n",
    "json": b"[[1, 2],\n[3, 4],\n[5, 6],\n[7, 8]]\n",
    "parquet, which does not say": b"PAR1\x15\x04\x15\x10",
    "numpy, a picture": npy(np.zeros((4, 4, 3), np.uint8)),
    "numpy, words": npy(np.array(["a", "b"])),
    "numpy, cut off": b"\x93NUMPY\x01",
    "an MPEG transport stream": b"\x47\x40\x00\x10\x00" + bytes(183),
    "a PNG": b"\x89PNG\r\n\x1a\n" + bytes(40),
}


@pytest.mark.parametrize("head", SERIES.values(), ids=SERIES)
def test_a_series_is_recognised(head: bytes):
    assert sniff(head[:4096])


@pytest.mark.parametrize("head", OTHERS.values(), ids=OTHERS)
def test_others_are_left_alone(head: bytes):
    assert not sniff(head[:4096])


def test_a_line_that_the_first_bytes_cut_in_two_does_not_count():
    whole = ("alpha,beta\n" + "1.25,2.5\n" * 1000).encode()
    assert sniff(whole[:4093] + b"1.2")
    assert not sniff(whole[:400] + b"1.2\n")
