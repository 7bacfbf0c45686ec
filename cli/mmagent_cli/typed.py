"""The command that was typed, as it gives the same again on any machine and from the start."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmagent.core import Core

__all__ = ["dtype_of", "typed"]


def typed(core: Core) -> list[str]:
    """The words of this command: without --resume, and with the numbers that its core really computed in."""
    words, given = ["mmagent"], iter(sys.argv[1:])
    for word in given:
        if word == "--dtype":
            next(given, None)
        elif word != "--resume" and not word.startswith("--dtype="):
            words.append(word)
    return [*words, "--dtype", dtype_of(core)]


def dtype_of(core: Core) -> str:
    """What a core computes in, as --dtype takes it."""
    return str(core.dtype).removeprefix("torch.")
