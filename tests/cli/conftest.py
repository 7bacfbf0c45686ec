"""The command run in this process: its exit code, and what it wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from mmagent_cli.app import main


class Done(NamedTuple):
    code: int
    out: str
    err: str


Call = Callable[..., Done]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Run ``mmagent`` with these arguments."""

    def called(*arguments: object) -> Done:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Done(code, *capsys.readouterr())

    return called
