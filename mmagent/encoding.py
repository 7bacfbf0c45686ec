"""From read inputs to what they become, several batches under way while the next inputs are read."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmagent.errors import UserError
    from mmagent.senses import Percept
    from mmagent.workers import Workers

    Made = Mapping[str, Percept | UserError]

__all__ = ["Encoding"]


class Encoding:
    """Inputs on their way through the encoder, each content once, while the next ones are read.

    places  where each content is wanted;  made  what contents became, whole when the block is left
    """

    def __init__(self, make: Callable[[Mapping[str, Any]], Made], workers: Workers):
        self.places: list[tuple[int, str]] = []
        self.made: dict[str, Percept | UserError] = {}
        self._make, self._workers = make, workers
        self._raws: dict[str, Any] = {}
        self._sent: set[str] = set()
        self._under_way: deque[Future[Made]] = deque()

    def __enter__(self) -> Encoding:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                self.send()
                self._collect(0)
        finally:
            self._workers.__exit__(kind, None, None)

    @property
    def n_waiting(self) -> int:
        """Contents that were added and not sent."""
        return len(self._raws)

    def has(self, fingerprint: str) -> bool:
        """Whether this content was added already."""
        return fingerprint in self._sent or fingerprint in self._raws

    def add(self, at: int, fingerprint: str, raw: Any) -> None:
        """One input: its place, the name of its content, and its raw value, unless that was added before."""
        self.places.append((at, fingerprint))
        if not self.has(fingerprint):
            self._raws[fingerprint] = raw

    def send(self) -> None:
        """Have what waits encoded; waits itself while all workers have enough to do."""
        if not self._raws:
            return
        self._sent.update(self._raws)
        self._under_way.append(self._workers.submit(self._make, self._raws))
        self._raws = {}
        self._collect(self._workers.count)

    def _collect(self, left: int) -> None:
        while len(self._under_way) > left:
            self.made.update(self._under_way.popleft().result())
