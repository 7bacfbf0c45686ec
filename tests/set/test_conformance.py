"""The set sense through the door that strangers use: the checks of `mmagent plugins check`."""

from __future__ import annotations

from mmagent.testing import ModalitySuite
from mmagent_set.reader import SetReader


class TestSet(ModalitySuite):
    modality = "set"
    wrong = (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, [], 3.5)


def test_what_is_permuted_stands_elsewhere() -> None:
    """The check would pass, too, with a change that changes nothing."""
    reader = SetReader()
    points, boxes = (reader.load(sample) for sample in reader.samples()[:2])
    turned = reader.invariances["order of elements"](points, 0)
    assert (turned.places != points.places).any()
    assert sorted(turned.places.tolist()) == sorted(points.places.tolist())
    moved = reader.invariances["order of groups"](boxes, 0)
    assert moved.groups.tolist() != boxes.groups.tolist()
