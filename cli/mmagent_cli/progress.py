"""What a person sees while waiting: nothing in a pipe or for two seconds, then a line that goes away."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator

PATIENCE_SECONDS = 2.0

__all__ = ["bar", "patience", "stages"]


@contextlib.contextmanager
def patience(what: str) -> Iterator[Callable[[], None]]:
    """Say `what` and the seconds on a terminal's stderr from the third second on; wipe it at the end.

    Yields a function that ends it early, for when output begins.
    """
    done = threading.Event()
    if not sys.stderr.isatty():
        yield done.set
        return
    watcher = threading.Thread(target=_count, args=(what, done), daemon=True)
    watcher.start()

    def end() -> None:
        done.set()
        watcher.join()

    try:
        yield end
    finally:
        end()


def _count(what: str, done: threading.Event) -> None:
    start = time.monotonic()
    if done.wait(PATIENCE_SECONDS):
        return
    while not done.wait(0.5):
        print(f"\r\x1b[K{what}, {time.monotonic() - start:.0f} s", end="", file=sys.stderr, flush=True)
    print("\r\x1b[K", end="", file=sys.stderr, flush=True)


@contextlib.contextmanager
def bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr, on a terminal only; yields a function of (rows done, rows in all)."""
    from tqdm import tqdm

    with tqdm(desc=what, unit="row", disable=not sys.stderr.isatty(), leave=False, delay=0.2) as shown:

        def advance(done: int, total: int) -> None:
            shown.total = total
            shown.update(done - shown.n)

        yield advance


@contextlib.contextmanager
def stages() -> Iterator[Callable[[str, int, int], None]]:
    """As `bar`, for work of several stages; yields a function of (what is done, rows done, rows in all)."""
    from tqdm import tqdm

    with tqdm(unit="row", disable=not sys.stderr.isatty(), leave=False, delay=0.2) as shown:
        now = ""

        def advance(what: str, done: int, total: int) -> None:
            nonlocal now
            if what != now:
                now = what
                shown.set_description(what, refresh=False)
                shown.reset(total)
            shown.total = total
            shown.update(done - shown.n)

        yield advance
