"""Being asked to stop: noted, so that a run can save its state first."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Interrupted", "asked_to_stop"]


class Interrupted(Exception):
    """The run was asked to stop; its state is kept, and `str(error)` says how to go on."""


@contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Notes Ctrl-C and SIGTERM instead of dying of them; the second Ctrl-C is the usual one."""
    caught: list[int] = []
    before = {}

    def note(number: int, frame: object) -> None:
        caught.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, note)
    try:
        yield lambda: bool(caught)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
