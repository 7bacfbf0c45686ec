"""The two kinds of failure, and the sentence each one owes the user.

Every message is one line that says what is wrong, what there is, and what to do next. The command line prints
it after ``mmagent: `` and leaves with `exit_code`; in Python it is an ordinary exception.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["MMAgentError", "MissingPackageError", "TakenError", "UserError", "did_you_mean"]


class MMAgentError(Exception):
    """Something failed that is not the user's mistake; the command leaves with exit code 1."""

    exit_code: int = 1


class UserError(MMAgentError):
    """The user can mend this: a wrong path, name, option or file; the command leaves with exit code 2."""

    exit_code: int = 2


class MissingPackageError(UserError):
    """An input is read by a package that is not installed; the message says how to install it."""


class TakenError(UserError):
    """Something is where something else is to be written; only on purpose is it replaced."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` (with a leading space) for the nearest known word, or an empty string.

    The text is meant to be appended to a finished sentence, so that it costs nothing where nothing is near.
    """
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), list(by_lower), n=1, cutoff=0.6)
    return f" Did you mean {by_lower[near[0]]!r}?" if near else ""
