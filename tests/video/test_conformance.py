"""The video sense through the door that strangers use: the checks of `mmagent plugins check`."""

from __future__ import annotations

from mmagent.testing import ModalitySuite


class TestVideo(ModalitySuite):
    modality = "video"
    wrong = (b"GIF89a", b"RIFF\x04\0\0\0WAVE", 3.5)
