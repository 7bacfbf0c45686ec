"""Every medium of a labelled set, opened once: what cannot be read, which rows are copies of others."""

from __future__ import annotations

import hashlib
import os
import threading
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmagent.data.labelled import Example, LabelledSet, Problem
from mmagent.errors import UserError

if TYPE_CHECKING:
    from mmagent.plugins import Plugins

__all__ = ["Seen", "look"]

AHEAD = 64  # media that wait for a thread; each of them holds one in memory only while it works
Key = tuple[str, Any]


@dataclass
class Seen:
    """What became of the media.

    count        different media;  broken  those among them that cannot be read
    problems     what cannot be read, by row
    unreadable   rows that hold something unreadable
    contents     per row what its media hold, the same for the same content; None where nobody looked
    """

    count: int = 0
    broken: int = 0
    problems: list[Problem] = field(default_factory=list)
    unreadable: set[int] = field(default_factory=set)
    contents: dict[int, tuple[str, ...] | None] = field(default_factory=dict)
    _groups: list[list[Example]] | None = None

    def groups(self, labelled: LabelledSet) -> list[list[Example]]:
        """Examples with the same media and question, where there are several, in the order of the rows."""
        if self._groups is None:
            found: dict[Any, list[Example]] = defaultdict(list)
            for example in labelled:
                contents = self.contents.get(example.row)
                if contents is not None:
                    asked = " ".join((example.question or "").lower().split())
                    found[contents, asked].append(example)
            self._groups = [group for group in found.values() if len(group) > 1]
        return self._groups


def look(
    labelled: LabelledSet,
    plugins: Plugins,
    *,
    quick: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Seen:
    """Open every medium with its modality, several at a time, and keep the hash of its decoded content.

    A file that many rows name is opened once. With `quick` nothing is opened: files are told apart by their
    path and bytes in memory by their hash. What is found stands in the order of the rows, whichever thread
    was first. Raises UserError where a reader cannot be had.
    """
    seen = Seen()
    make = {name: plugins.resolve(plugins.modalities[name].reader) for name in labelled.modalities}
    wanted: dict[Key, object] = {}
    for example in labelled:
        for modality, sources in example.media.items():
            for source in sources:
                wanted.setdefault((modality, _place(source)), source)
    seen.count = len(wanted)
    known: dict[Key, str | UserError | None] = {}
    contents = (
        (_quick(source) for source in wanted.values()) if quick else _contents(make, list(wanted.items()))
    )
    for done, (key, content) in enumerate(zip(wanted, contents, strict=True), start=1):
        known[key] = content
        if progress is not None:
            progress(done, len(wanted))
    seen.broken = sum(isinstance(content, UserError) for content in known.values())
    for example in labelled:
        where = labelled.where(example)
        whole = [
            _of_row(seen, example, where, modality, known[modality, _place(source)])
            for modality, sources in example.media.items()
            for source in sources
        ]
        seen.contents[example.row] = tuple(map(str, whole)) if whole and None not in whole else None
    return seen


def _of_row(
    seen: Seen, example: Example, where: str, modality: str, content: str | UserError | None
) -> str | None:
    """A medium's content as a row knows it; what cannot be read becomes the row's problem."""
    if isinstance(content, UserError):
        seen.unreadable.add(example.row)
        seen.problems.append(Problem(example.row, str(content), where))
        return None
    return content and f"{modality}:{content}"


def _contents(
    make: dict[str, Callable[[], Any]], wanted: Sequence[tuple[Key, object]]
) -> Iterator[str | UserError]:
    """`_content` of each source in order, computed by as many threads as there are cores; Pillow lets go of
    the interpreter while it decodes. Every thread has readers of its own.
    """
    own = threading.local()

    def content(key: Key, source: object) -> str | UserError:
        readers: dict[str, Any] = own.__dict__.setdefault("readers", {})
        modality = key[0]
        if modality not in readers:
            readers[modality] = make[modality]()
        return _content(readers[modality], source)

    # readers switch warnings off and on; here they are put back as they were
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for start in range(0, len(wanted), AHEAD):
            yield from pool.map(lambda one: content(*one), wanted[start : start + AHEAD])


def _content(reader: Any, source: object) -> str | UserError:
    """The hash of a medium's decoded content, or why it cannot be read."""
    try:
        return str(reader.fingerprint(reader.load(source)))
    except UserError as error:
        return error


def _quick(source: object) -> str | None:
    """What tells a source from others without opening it."""
    if isinstance(source, str | Path):
        return os.path.realpath(source)
    return hashlib.sha256(source).hexdigest() if isinstance(source, bytes | bytearray) else None


def _place(source: object) -> object:
    """The same for sources that need opening only once; all sources live as long as their set."""
    return str(source) if isinstance(source, str | Path) else id(source)
