"""The audio sense through the door that strangers use: the checks of `mmagent plugins check`."""

from __future__ import annotations

from mmagent.testing import ModalitySuite


class TestAudio(ModalitySuite):
    modality = "audio"
    wrong = (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, b"RIFF\x04\0\0\0WAVE", 3.5)
