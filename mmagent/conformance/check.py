"""What a check is, and what comes of one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmagent.errors import MMAgentError

if TYPE_CHECKING:
    from mmagent.conformance.subject import Subject

__all__ = ["Check", "Failed", "Outcome", "Skipped", "demand", "run_check", "sentence"]


class Failed(AssertionError):
    """A promise is broken; the message says which and by what."""


class Skipped(Exception):
    """A check cannot be made, or has nothing to look at; the message says why."""


@dataclass(frozen=True)
class Check:
    """One promise of a modality.

    name  short, in words, and different from every other check's
    run   says in a few words what was seen; raises `Failed` or `Skipped`
    """

    name: str
    run: Callable[[Subject], str]


@dataclass(frozen=True)
class Outcome:
    """What came of a check; `state` is `pass`, `fail` or `skipped`, `told` what was seen, or why not."""

    check: str
    state: str
    told: str
    seconds: float


def demand(good: object, told: str) -> None:
    """Raise `Failed` with what is told unless `good`."""
    if not good:
        raise Failed(told)


def run_check(check: Check, subject: Subject) -> Outcome:
    """Make one check; whatever the plugin raises in it is its failure."""
    start = time.perf_counter()
    try:
        state, told = "pass", check.run(subject)
    except Failed as broken:
        state, told = "fail", str(broken)
    except Skipped as reason:
        state, told = "skipped", str(reason)
    except KeyboardInterrupt:
        raise
    except Exception as error:
        state, told = "fail", sentence(error)
    return Outcome(check.name, state, told, time.perf_counter() - start)


def sentence(error: BaseException) -> str:
    """An exception as one line; where it came from, if it is not one that is meant for people."""
    text = " ".join(str(error).split())[:300]
    if isinstance(error, MMAgentError):
        return text
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" (at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})" if trace is not None else ""
    return f"{type(error).__name__}: {text}{where}"
