"""For the tests of a plugin: the checks of `mmagent plugins check` as a pytest class.

    from mmagent.testing import ModalitySuite

    class TestThermal(ModalitySuite):
        modality = "thermal"
        samples = ["tests/one.npy", "tests/two.npy"]

Every check is a test of its own, named after what it checks. The plugin must be installed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import pytest

from mmagent.conformance import CHECKS, Check, Subject, run_check, subject_of
from mmagent.errors import MissingPackageError
from mmagent.plugins import load_plugins

__all__ = ["ModalitySuite"]


class ModalitySuite:
    """Checks of one modality; a subclass whose name begins with Test says which.

    modality     its name, or that of a plugin which brings a single one
    samples      paths, bytes or objects that it reads, better several and unlike; none: the reader's own
    wrong        more sources that it must refuse, beside those that no modality reads
    encoder      the encoder that is checked; "": the modality's own, or that of a bundle which has the sense
    invariances  what must not change a feature, beside what the reader declares
    """

    modality: ClassVar[str]
    samples: ClassVar[Sequence[object]] = ()
    wrong: ClassVar[Sequence[object]] = ()
    encoder: ClassVar[str] = ""
    invariances: ClassVar[Mapping[str, Callable[[Any, int], Any]]] = {}

    @pytest.fixture(scope="class")
    @classmethod
    def subject(cls) -> Subject:
        """The modality with its samples; a subclass may make them here."""
        made = subject_of(
            cls.modality,
            load_plugins(),
            samples=cls.samples,
            wrong=cls.wrong,
            encoder=cls.encoder,
            invariances=cls.invariances,
        )
        try:
            made.demand_packages()
        except MissingPackageError as error:
            pytest.skip(str(error))
        return made

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name.replace(" ", "-"))
    def test_keeps_its_promise(self, check: Check, subject: Subject) -> None:
        """One check."""
        outcome = run_check(check, subject)
        if outcome.state == "skipped":
            pytest.skip(outcome.told)
        assert outcome.state == "pass", outcome.told
