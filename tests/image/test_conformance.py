"""Our own modality through the door that strangers use: the checks of `mmagent plugins check`."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmagent.conformance import Subject, subject_of
from mmagent.plugins import load_plugins
from mmagent.testing import ModalitySuite


class TestImage(ModalitySuite):
    modality = "image"
    wrong = (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 3.5)

    @pytest.fixture(scope="class")
    @classmethod
    def subject(cls, tiny_bundle: Path) -> Subject:
        encoder = str(tiny_bundle / "image" / "encoder")
        return subject_of(cls.modality, load_plugins(), wrong=cls.wrong, encoder=encoder)


def test_an_encoder_is_found_in_a_bundle() -> None:
    assert "mmagent_tiny" in subject_of("image", load_plugins()).location
