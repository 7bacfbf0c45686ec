"""One set, whatever it was read from and in whatever order."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmagent_set import set_format, sniff
from mmagent_set.elements import Elements
from mmagent_set.reader import SetReader

POINTS = np.array([[0.0, 1.0, 2.0], [3.5, -1.0, 0.25], [2.0, 2.0, 2.0]])
SCENE = [
    [{"type": "square", "color": "Black", "x_loc": 0, "y_loc": 80, "size": 20}],
    [
        {"type": "circle", "color": "#0099ff", "x_loc": 10, "y_loc": 20, "size": 10},
        {"type": "square", "color": "Yellow", "x_loc": 50, "y_loc": 20, "size": 30},
    ],
]
ASCII = """ply
format ascii 1.0
comment three points
element vertex 3
property double x
property double y
property double z
element face 1
property list uchar int vertex_indices
end_header
0 1 2
3.5 -1 0.25
2 2 2
3 0 1 2
"""


def npy(array: Any) -> bytes:
    stream = BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def ply(order: str = "little") -> bytes:
    head = ASCII.partition("end_header")[0].replace("ascii", f"binary_{order}_endian")
    body = POINTS.astype("<f8" if order == "little" else ">f8").tobytes()
    return head.encode() + b"end_header\n" + body


def load(source: object) -> Elements:
    return SetReader().load(source)


def test_points_are_the_same_from_every_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = SetReader()
    csv = "x,y,z\n" + "\n".join(",".join(map(str, row)) for row in POINTS.tolist())
    (tmp_path / "a.csv").write_text(csv)
    (tmp_path / "b.csv").write_text(csv.partition("\n")[2])
    (tmp_path / "a.npy").write_bytes(npy(POINTS))
    (tmp_path / "a.json").write_text(json.dumps(POINTS.tolist()))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(BytesIO(npy(POINTS))))
    sources: list[object] = [
        *(
            POINTS,
            POINTS[::-1],
            POINTS.tolist(),
            npy(POINTS),
            npy(np.asfortranarray(POINTS)),
            BytesIO(npy(POINTS)),
        ),
        *(
            tmp_path / "a.npy",
            str(tmp_path / "a.npy"),
            tmp_path / "a.csv",
            tmp_path / "b.csv",
            tmp_path / "a.json",
        ),
        *(ASCII.encode(), ply("little"), ply("big"), "-", {"bytes": npy(POINTS), "path": None}),
        {"points": POINTS.tolist()},
    ]
    assert {reader.fingerprint(reader.load(source)) for source in sources} == {
        reader.fingerprint(reader.load(POINTS))
    }
    assert reader.fingerprint(load(POINTS + 1)) != reader.fingerprint(load(POINTS))
    assert reader.describe(load(POINTS)) == "set, 3 points of x, y, z"


def test_objects_come_with_words_numbers_groups_and_a_statement() -> None:
    scene = load(json.dumps({"sentence": "There is a black square.", "structured_rep": SCENE}).encode())
    assert scene.words["type"] == ("square", "circle", "square")
    assert scene.numbers["size"].tolist() == [20, 10, 30]
    assert (scene.groups.tolist(), scene.n_groups) == ([0, 1, 1], 2)
    assert scene.statement == "There is a black square."
    assert list(scene.axes) == ["x", "y"]
    assert load(SCENE).n_groups == 2
    assert load([*SCENE, []]).n_groups == 3


def test_a_csv_of_objects_has_groups_and_gaps(tmp_path: Path) -> None:
    path = tmp_path / "objects.csv"
    path.write_text("group,color,x,y\na,red,1,2\nb,,3,\na,blue,5,6\n")
    found = load(path)
    assert found.groups.tolist() == [0, 1, 0]
    assert found.words["color"] == ("red", "", "blue")
    np.testing.assert_equal(found.numbers["y"], [2, np.nan, 6])


def test_strokes_are_groups_of_points() -> None:
    strokes = load([[[0, 0], [1, 1]], [[5, 5], [6, 6], [7, 7]]])
    assert (strokes.n, strokes.n_groups, list(strokes.axes)) == (5, 2, ["x", "y"])


def test_the_order_of_elements_and_of_groups_is_forgotten() -> None:
    reader = SetReader()
    turned = [SCENE[1][::-1], SCENE[0]]
    assert reader.fingerprint(load(SCENE)) == reader.fingerprint(load(turned))
    moved = [[SCENE[0][0], SCENE[1][0]], [SCENE[1][1]]]
    assert reader.fingerprint(load(SCENE)) != reader.fingerprint(load(moved))


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (ASCII.encode(), "ply"),
        (npy(POINTS), "npy"),
        (json.dumps(SCENE).encode(), "JSON"),
        (b"[[0, 1], [2, 3]]", "JSON"),
        (b'{"objects": [{"a": 1}]}', "JSON"),
        (b'{"atoms": ["C"], "bonds": []}', None),
        (b"x,y\n1,2\n", None),
        (b"\x89PNG\r\n\x1a\n", None),
        (b"", None),
    ],
)
def test_files_are_told_by_their_first_bytes(head: bytes, kind: str | None) -> None:
    assert set_format(head) == kind
    assert sniff(head) is (kind is not None)


def test_an_array_of_another_shape_is_left_to_others() -> None:
    assert not sniff(npy(np.zeros((3, 4, 5))))
    assert not sniff(npy(np.zeros(7)))


def test_the_plugin_is_light() -> None:
    code = "import sys, mmagent_set; print({'torch', 'numpy', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
