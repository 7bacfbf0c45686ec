"""What to type next, in the words that the command takes."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

__all__ = ["how_to_ask"]


def how_to_ask(
    bundle: Path,
    senses: Iterable[str],
    question: str | None = None,
    choices: Sequence[str] | None = None,
) -> str:
    """The command that asks a bundle; FILE stands for an input of each sense, QUESTION without a sense."""
    flags = [f"--{name.replace('_', '-')} FILE" for name in senses]
    words = ["mmagent ask"]
    words += [shlex.quote(question)] if question else [] if flags else ["QUESTION"]
    words += [f"--bundle {shlex.quote(str(bundle))}", *flags]
    if choices and len(choices) > 1:
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(choices)  # as `ask.parse_choices` reads it
        words.append(f"--choices {shlex.quote(line.getvalue())}")
    return " ".join(words)
