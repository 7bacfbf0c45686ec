"""Every exception becomes one line and an exit code, in one place."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from mmagent.errors import MMAgentError, UserError, did_you_mean
from mmagent_cli import app
from mmagent_cli.failure import Terminated, explain


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
        (OSError(28, "No space left on device", "a.json"), 1, "a.json: No space left on device, so"),
        (OSError(28, "No space left on device"), 1, "not whole. Free some space"),
        (ZeroDivisionError("division by zero"), 1, "ZeroDivisionError: division by zero"),
        (KeyboardInterrupt(), 130, "stopped"),
        (KeyboardInterrupt("2 rows are kept."), 130, "stopped. 2 rows are kept."),
        (Terminated(), 143, "stopped"),
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


def test_ctrl_c_is_told_once_typer_runs(call, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("mmagent.bundle.list_bundles", stopped)
    assert call("bundles") == (130, "", "mmagent: stopped\n")
    monkeypatch.setenv("RANK", "1")  # of several processes the first one says it
    assert call("bundles") == (130, "", "")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_command_in_one_line(number, code, tmp_path):
    os.mkfifo(tmp_path / "x.png")  # nobody writes into it, so the command waits
    command = [sys.executable, "-m", "mmagent_cli", "ask", "--image", str(tmp_path / "x.png")]
    before = signal.signal(number, signal.SIG_DFL)  # what a shell runs in the background is deaf to Ctrl-C
    try:
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(number, before)
    with open(tmp_path / "x.png", "wb"):  # which returns when the command has opened it
        running.send_signal(number)
        out, err = running.communicate(timeout=60)
    assert (running.returncode, out, err) == (code, "", "mmagent: stopped\n")


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of Unix closes streams")
@pytest.mark.parametrize(("closed", "said"), [(">&-", "standard output is closed"), ("2>&-", "")])
def test_a_closed_stream_is_no_fault_of_ours(closed, said):
    line = f'"$0" -m mmagent_cli bundles {closed}'
    done = subprocess.run(["/bin/sh", "-c", line, sys.executable], capture_output=True, text=True)
    assert done.returncode == (2 if said else 0)
    assert said in done.stderr
    assert done.stderr.count("\n") == bool(said)
    assert ("tiny" in done.stdout) == (not said)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a disk that is always full")
def test_a_full_disk_is_told():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "mmagent_cli", "--version"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("mmagent: No space left on device, so what was being written is not whole.")
    assert done.stderr.count("\n") == 1


def test_a_wrong_word_gets_the_nearest_right_one():
    assert did_you_mean("tny", ["tiny", "kitchen"]) == " Did you mean 'tiny'?"
    assert did_you_mean("TINY", ["tiny"]) == " Did you mean 'tiny'?"
    assert did_you_mean("zebra", ["tiny", "kitchen"]) == ""
