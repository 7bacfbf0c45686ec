"""The one place where an exception becomes one line on stderr and an exit code."""

from __future__ import annotations

import errno
import os
import sys

from typer import Abort, TyperException

from mmagent.errors import MMAgentError

__all__ = ["Terminated", "explain", "report", "say"]

INTERRUPTED = 130
TERMINATED = 143
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)

OUT_OF_MEMORY = (
    "out of memory: the core, the inputs and the shots together need more than there is. "
    "Ask with fewer shots or inputs, a smaller --bundle or --core, --dtype bfloat16, or another --device"
)


class Terminated(KeyboardInterrupt):
    """SIGTERM came: what runs is ended as Ctrl-C ends it."""


def say(text: str) -> None:
    """Write one line for people to stderr."""
    print(f"mmagent: {' '.join(text.split())}", file=sys.stderr, flush=True)


def report(error: BaseException, *, command: str, debug: bool) -> int:
    """Say what went wrong in one line, with the traceback only in debug mode; return the exit code."""
    if debug and not isinstance(error, KeyboardInterrupt):
        import traceback

        traceback.print_exception(error)
    text, code = explain(error, command=command)
    if isinstance(error, KeyboardInterrupt) and sys.stderr.isatty():
        print(file=sys.stderr)  # after ^C, and what was written of an answer
    if not _said_elsewhere(error):
        say(text)
    return code


def explain(error: BaseException, *, command: str = "mmagent") -> tuple[str, int]:
    """The sentence for an exception, and the exit code: 2 for the user's mistake, 1 for ours."""
    if isinstance(error, MMAgentError):
        return str(error), error.exit_code
    if isinstance(error, TyperException):  # a wrong option, argument or command
        return f"{_finished(error.format_message())} See {command} --help.", 2
    if isinstance(error, KeyboardInterrupt | Abort):
        what = f"stopped. {error}" if str(error) else "stopped"
        return what, TERMINATED if isinstance(error, Terminated) else INTERRUPTED
    if _is_out_of_memory(error):
        return f"{OUT_OF_MEMORY}.", 1
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}. Check the path and its permissions.", 2
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        where = f"{error.filename}: " if error.filename else ""
        told = f"{where}{error.strerror}, so what was being written is not whole."
        return f"{told} Free some space, or write elsewhere.", 1
    text = str(error) or "no message"
    return f"{type(error).__name__}: {text[:300]}. This is a fault of ours; --debug shows where.", 1


def _said_elsewhere(error: BaseException) -> bool:
    """Whether another process of the same run tells this; asked by name, since few commands have several."""
    if isinstance(error, KeyboardInterrupt):
        return os.environ.get("RANK", "0") != "0"
    names = {kind.__name__ for kind in type(error).__mro__}
    if "LostProcessError" not in names:
        return "ToldElsewhereError" in names
    from mmagent.training.launch import LAUNCHED  # it imports sockets and subprocesses

    return LAUNCHED in os.environ


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on the device or off it; asked by name, since torch may not be loaded."""
    names = {kind.__name__ for kind in type(error).__mro__}
    allocator = isinstance(error, RuntimeError) and "not enough memory" in str(error)
    return bool(names & {"MemoryError", "OutOfMemoryError"}) or allocator


def _finished(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "?", "!")) else f"{text}."
