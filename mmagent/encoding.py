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

LEAST = 4  # inputs that are sent by themselves so that the workers begin, and end, together


class Encoding:
    """Inputs on their way through the encoder, each content once, while the next ones are read.

    Several workers get few at first, so that none waits long for its first, and few at last, so that they
    end together (guided self-scheduling: Polychronopoulos & Kuck 1987).

    places  where each content is wanted;  made  what contents became, whole when the block is left
    most    inputs that are encoded at a time;  expected  how many there will be
    """

    def __init__(
        self, make: Callable[[Mapping[str, Any]], Made], workers: Workers, most: int, expected: int
    ) -> None:
        self.places: list[tuple[int, str]] = []
        self.made: dict[str, Percept | UserError] = {}
        self._make, self._workers, self._most, self._left = make, workers, max(1, most), expected
        self._size = min(LEAST, self._most) if workers.count > 1 else self._most
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

    def has(self, fingerprint: str) -> bool:
        """Whether this content was added already."""
        return fingerprint in self._sent or fingerprint in self._raws

    def add(self, at: int, fingerprint: str, raw: Any) -> None:
        """One input: its place, the name of its content, and its raw value, unless that was added before."""
        self.places.append((at, fingerprint))
        if not self.has(fingerprint):
            self._raws[fingerprint] = raw
        if len(self._raws) >= self._size:
            self.send()

    def passed(self) -> None:
        """One input less is to be expected."""
        self._left -= 1

    def send(self) -> None:
        """Have what waits encoded; waits itself while all workers have enough to do."""
        if not self._raws:
            return
        self._sent.update(self._raws)
        self._under_way.append(self._workers.submit(self._make, self._raws))
        self._raws = {}
        if self._workers.count > 1:
            fair = -(-self._left // (2 * self._workers.count))
            self._size = max(min(2 * self._size, self._most, fair), min(LEAST, self._most))
        self._collect(self._workers.count)

    def _collect(self, left: int) -> None:
        while len(self._under_way) > left:
            self.made.update(self._under_way.popleft().result())
