"""Whether a modality keeps what mmagent relies on: one list of checks, for the command and for pytest.

`mmagent plugins check` makes them. A `Subject` is a modality with some inputs; every check looks at it from
one side and passes, fails with a sentence, or is skipped with a reason. `mmagent.testing.ModalitySuite` has
the same list as a test class.
"""

from __future__ import annotations

from mmagent.conformance.check import Check, Failed, Outcome, Skipped, run_check
from mmagent.conformance.checks import CHECKS
from mmagent.conformance.subject import Subject, subject_of

__all__ = ["CHECKS", "Check", "Failed", "Outcome", "Skipped", "Subject", "run_check", "subject_of"]
