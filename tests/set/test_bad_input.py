"""Every broken set is one clear line, in bounded time and memory."""

from __future__ import annotations

import tracemalloc
from io import BytesIO
from typing import Any

import numpy as np
import pytest

from mmagent.errors import UserError
from mmagent_set.encoder import SetEncoder
from mmagent_set.reader import SetReader


def npy(array: Any, **options: Any) -> bytes:
    stream = BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def ply(
    count: object,
    kind: str = "ascii",
    body: bytes = b"0 0\n",
    prop: str = "property float x\nproperty float y",
) -> bytes:
    return f"ply\nformat {kind} 1.0\nelement vertex {count}\n{prop}\nend_header\n".encode() + body


BILLION = npy(np.zeros((3, 2))).replace(b"(3, 2)", b"(1000000000, 2)").replace(b" " * 9 + b"\n", b"\n")
FEWER = npy(np.zeros((1, 3))).replace(b"(1, 3)", b"(-1, -3)").replace(b"  \n", b"\n")
PROMISING = npy(np.zeros((3, 2))).replace(b"(3, 2)", b"(9, 2)")

REFUSED: dict[str, tuple[object, str]] = {
    "empty bytes": (b"", "empty"),
    "empty list": ([], "empty list"),
    "empty groups": ([[], []], "no elements"),
    "empty array": (np.zeros((0, 3)), "no elements"),
    "three axes": (np.zeros((2, 2, 2)), "(N, d)"),
    "words in an array": (np.array([["a"]]), "(N, d)"),
    "wide array": (np.zeros((2, 100)), "100 numbers"),
    "pickled array": (npy(np.array([[{}]]), allow_pickle=True), "points are numbers"),
    "npy of a billion": (BILLION, "1,000,000,000 points"),
    "npy of fewer than none": (FEWER, "tells the shape -1 x -3"),
    "npy that promises more": (PROMISING, "promises 9 x 2"),
    "cut npy": (npy(np.zeros((9, 2)))[:-5], "promises 9 x 2"),
    "damaged npy": (b"\x93NUMPY\x01\x00\x10\x00{'descr': oh no", "damaged header"),
    "infinite": (np.array([[1.0, np.inf]]), "infinite"),
    "nothing but nan": (np.full((3, 2), np.nan), "missing values"),
    "infinite object": ([{"x": float("inf")}], "infinite"),
    "huge integer": ([{"x": 10**400}], "infinite"),
    "ragged points": ([[1, 2], [1, 2, 3]], "point 2 has 3 numbers"),
    "ragged csv": (b"x,y\n1,2\n1\n", "not a set"),
    "mixed": ([{"x": 1}, [{"x": 1}]], "mixes groups"),
    "numbers among objects": ([{"x": 1}, 5], "element 2 is 5"),
    "nested attribute": ([{"x": {"y": 1}}], "must be a word or a number"),
    "an attribute for each object": ([{f"a{at}": 1} for at in range(99)], "99 attributes"),
    "many groups": ([[[1, 2]]] * 10_001, "10,001 groups"),
    "many attributes": ([{f"a{at}": 1 for at in range(100)}], "100 attributes"),
    "a dictionary of others": ({"a": 1}, "holds no set"),
    "cut JSON": (b'[{"x": 1', "whole JSON"),
    "JSON bomb": (b"[[1], " + b"[" * 100_000, "stand too deep"),
    "endless number": (b'[{"x": ' + b"2" * 9_000 + b"}]", "has thousands of digits. Copy"),
    "ply of a billion": (ply(10**9), "1,000,000,000 points"),
    "binary ply that promises more": (ply(10**6, "binary_little_endian"), "promises 1,000,000 points"),
    "ascii ply that promises more": (ply(3), "promises 3 points and has 1"),
    "ragged ply": (ply(2, body=b"0 0\n0\n"), "point 2 has 1 numbers"),
    "ply of words": (ply(1, body=b"a b\n"), "no numbers"),
    "ply without end": (b"ply\nformat ascii 1.0\nelement vertex 1\n", "no end_header"),
    "ply without points": (b"ply\nformat ascii 1.0\nelement face 0\nend_header\n", "no element 'vertex'"),
    "ply of unknown type": (ply(1, prop="property complex x"), "no PLY"),
    "ply of lists": (ply(1, prop="property list uchar int x"), "lists"),
    "negative ply": (ply(-4), "no PLY"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(64), "PNG"),
    "a number": (3.5, "cannot be made of a float"),
    "a missing file": ("nowhere/points.ply", "no file"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_in_one_line(case: str) -> None:
    source, wanted = REFUSED[case]
    tracemalloc.start()
    with pytest.raises(UserError) as caught:
        SetReader().load(source)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    message = str(caught.value)
    assert wanted in message
    assert "\n" not in message
    assert len(message) < 500
    assert peak < 64 << 20


def test_a_ragged_csv_names_its_line(tmp_path: Any) -> None:
    path = tmp_path / "points.csv"
    path.write_text("x,y\n1,2\n1\n")
    with pytest.raises(UserError, match="line 3 has 1 cells"):
        SetReader().load(path)
    path.write_text("x,x\n1,2\n")
    with pytest.raises(UserError, match="two columns called 'x'"):
        SetReader().load(path)


@pytest.mark.parametrize(
    "source",
    [
        np.array([[np.nan, 1.0], [2.0, 3.0]]),
        np.array([[5.0, 5.0]] * 4),
        np.array([[1e300, -1e300], [0.0, 0.0]]),
        np.array([[7.0]]),
        np.arange(20.0).reshape(2, 10),
        [{"color": "red"}],
        [{"color": "red", "x": 1}, {"shape": "square"}],
        [[{"x": 1, "y": 2}], []],
        {"objects": [{"color": "red"}], "statement": "Colourless green ideas sleep furiously."},
        {"objects": [{"color": "red"}], "statement": "There are 999 red boxes not, touching and on the"},
    ],
)
def test_unusual_sets_are_read_encoded_and_told_of(source: Any) -> None:
    reader = SetReader()
    found = reader.load(source)
    features = SetEncoder().encode([found])
    assert bool(features.values.isfinite().all())
    assert bool(features.pooled.isfinite().all())
    assert reader.profile(found).aspects["elements"]["elements"] == found.n
