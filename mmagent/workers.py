"""Threads that share the cores: several batches at once, each on its part, instead of one on all of them.

A small network's products are too short to be worth dividing among cores; whole batches are not. On other
devices there is one thread, so that the machine reads the next inputs while the device works.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    import torch

__all__ = ["Workers"]

MOST = 4  # more batches at once would take more memory than they save time
PATIENCE = 5e-4
"""Seconds that a worker waits for another thread's Python, which it needs itself between two products."""

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class _Impatient:
    """While any workers are there, threads hand Python on after `PATIENCE`; before and after, as usual."""

    def __init__(self) -> None:
        self._lock, self._count, self._usual = Lock(), 0, sys.getswitchinterval()

    def enter(self) -> None:
        with self._lock:
            if self._count == 0:
                self._usual = sys.getswitchinterval()
                sys.setswitchinterval(min(PATIENCE, self._usual))
            self._count += 1

    def leave(self) -> None:
        with self._lock:
            self._count -= 1
            if self._count == 0:
                sys.setswitchinterval(self._usual)


_impatient = _Impatient()


class Workers:
    """Worker threads for torch on one device; a context manager. Work must not set gradients' mode outside.

        with Workers(device, tasks=len(batches)) as workers:
            for result in workers.map(run, batches): ...

    count: how many there are; a single task needs none and is done where it is given.
    """

    def __init__(self, device: torch.device, tasks: int) -> None:
        import torch

        self._cores = torch.get_num_threads()
        self._alone = tasks < 2
        self.count = max(1, min(self._cores, MOST, tasks)) if device.type == "cpu" else 1
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is None:
            return
        import torch

        self._pool.shutdown(wait=True, cancel_futures=True)
        _impatient.leave()
        torch.set_num_threads(self._cores)  # a worker's share may hold for the whole process

    def submit(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Have a worker do it."""
        import torch

        if self._alone:
            return _done(work, *args, **kwargs)
        if self._pool is None:
            share = max(1, self._cores // self.count)
            _impatient.enter()
            self._pool = ThreadPoolExecutor(
                self.count, "mmagent", initializer=torch.set_num_threads, initargs=(share,)
            )
        return self._pool.submit(work, *args, **kwargs)

    def map(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Results in the order of the items, of which no more are taken than there are workers, and one."""
        waiting: deque[Future[R]] = deque()
        for item in items:
            waiting.append(self.submit(work, item))
            if len(waiting) > self.count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _done(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Future[R]:
    """What a worker would give back, at once."""
    future: Future[R] = Future()
    try:
        future.set_result(work(*args, **kwargs))
    except BaseException as error:
        future.set_exception(error)
    return future
