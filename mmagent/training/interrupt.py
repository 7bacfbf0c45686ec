"""Being asked to stop: noted, so that a run can save its state first."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mmagent.errors import MMAgentError

__all__ = ["Interrupted", "Stop", "asked_to_stop"]


class Interrupted(MMAgentError):
    """The run was asked to stop, by a signal; its state is kept, and `str(error)` says how to go on."""

    def __init__(self, text: str, by: int = signal.SIGINT) -> None:
        super().__init__(text)
        self.by = signal.Signals(by)
        self.exit_code = 128 + by  # as a shell tells of a command that a signal ended


class Stop:
    """Called, the signal by which the run was asked to stop; 0 where it was not."""

    def __init__(self) -> None:
        self._by = 0
        self._at_once = False

    def __call__(self) -> int:
        return self._by

    def note(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        self._by = number
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._at_once:
            raise KeyboardInterrupt

    @contextmanager
    def at_once(self, text: str) -> Iterator[None]:
        """For work that has no states of its own: being asked to stop ends it by `Interrupted(text)`."""
        self._at_once = True
        try:
            if self._by:
                raise KeyboardInterrupt
            yield
        except KeyboardInterrupt:
            raise Interrupted(text, self._by or signal.SIGINT) from None
        finally:
            self._at_once = False


@contextmanager
def asked_to_stop() -> Iterator[Stop]:
    """Notes Ctrl-C and SIGTERM instead of dying of them; the second Ctrl-C is the usual one."""
    stop = Stop()
    before = {number: signal.signal(number, stop.note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
