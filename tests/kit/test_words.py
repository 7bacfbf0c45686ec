"""The conformance check of encoders that say in words what they found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from mmagent.bundle import find_bundle
from mmagent.conformance import CHECKS, Outcome, Subject, run_check, subject_of
from mmagent.plugins import load_plugins

GOOD = {"tell": lambda raws: ["dax"] * len(raws), "answer": lambda raws: [("dax", 0.5)] * len(raws)}


def words(**methods: Any) -> Outcome:
    """What comes of the check where a modality's encoder has these methods."""
    subject = subject_of("table", load_plugins(), encoder="builtin")
    assert not hasattr(subject.encoder, "tell")
    for name, method in methods.items():
        setattr(subject.encoder, name, method)
    return checked(subject)


def checked(subject: Subject) -> Outcome:
    return run_check(next(check for check in CHECKS if check.name == "words"), subject)


def test_who_says_nothing_is_not_asked() -> None:
    found = words()
    assert found.state == "skipped"
    assert "nothing is said in words" in found.told


def test_who_says_the_same_again_passes() -> None:
    assert words(**GOOD).state == words(tell=GOOD["tell"]).state == "pass"


def of_batch(raws: Sequence[Any]) -> list[str]:
    return [str(len(raws))] * len(raws)


@pytest.mark.parametrize(
    ("methods", "told"),
    [
        ({"tell": of_batch}, "of each value alone"),
        ({"tell": lambda raws: [None] * len(raws)}, "no text"),
        ({"answer": lambda raws: [("blicket", 0.5)] * len(raws)}, "other words than"),
        ({"answer": lambda raws: [("dax", 1.5)] * len(raws)}, "surer than 1"),
    ],
)
def test_who_does_not_fails(methods: dict[str, Any], told: str) -> None:
    found = words(**{**GOOD, **methods})
    assert found.state == "fail"
    assert told in found.told


def test_the_asker_of_the_embedded_bundle_keeps_it() -> None:
    tiny = find_bundle("tiny", load_plugins().bundles)
    subject = subject_of("table", load_plugins(), encoder=str(tiny / "table" / "encoder"))
    assert hasattr(subject.encoder, "answer")
    assert checked(subject).state == "pass"
