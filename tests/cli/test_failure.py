"""Every exception becomes one line and an exit code, in one place."""

from __future__ import annotations

import pytest

from mmagent.errors import MMAgentError, UserError, did_you_mean
from mmagent_cli import app
from mmagent_cli.failure import explain


class OutOfMemoryError(RuntimeError):
    """Named as torch names its own."""


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (UserError("no bundle called 'x'."), 2, "no bundle called 'x'."),
        (MMAgentError("the core was changed."), 1, "the core was changed."),
        (MemoryError(), 1, "out of memory"),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate"), 1, "fewer shots"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried"),
            1,
            "out of memory",
        ),
        (FileNotFoundError(2, "No such file or directory", "a.json"), 2, "a.json: No such file"),
        (OSError(28, "No space left on device"), 1, "No space left"),
        (ZeroDivisionError("division by zero"), 1, "ZeroDivisionError: division by zero"),
        (KeyboardInterrupt(), 130, "stopped"),
    ],
)
def test_explains(error, code, words):
    text, found = explain(error)
    assert found == code
    assert words in text


@pytest.mark.parametrize("debug", [False, True])
def test_one_line_and_a_traceback_only_on_request(call, monkeypatch, debug):
    def broken():
        raise ValueError("two\nlines")

    monkeypatch.setattr(app, "load_plugins", broken)
    done = call("plugins", *["--debug"][:debug])
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[-1].startswith("mmagent: ValueError: two lines.")
    assert ("Traceback" in done.err) == debug
    assert done.err.count("\n") == 1 or debug


def test_a_wrong_word_gets_the_nearest_right_one():
    assert did_you_mean("tny", ["tiny", "kitchen"]) == " Did you mean 'tiny'?"
    assert did_you_mean("TINY", ["tiny"]) == " Did you mean 'tiny'?"
    assert did_you_mean("zebra", ["tiny", "kitchen"]) == ""
