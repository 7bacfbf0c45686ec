"""The series sense through the door that strangers use: the checks of `mmagent plugins check`."""

from __future__ import annotations

from mmagent.testing import ModalitySuite


class TestSeries(ModalitySuite):
    modality = "series"
    wrong = (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, b"a,b\n1,2\n1,2,3\n", 3.5)
