"""Every medium of a labelled set, opened once: what cannot be read, which rows are copies of others."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmagent.data.labelled import Example, LabelledSet, Problem
from mmagent.errors import UserError

if TYPE_CHECKING:
    from mmagent.plugins import Plugins

__all__ = ["Seen", "look"]


@dataclass
class Seen:
    """What became of the media.

    count        different media
    problems     what cannot be read, by row
    unreadable   rows that hold something unreadable
    contents     per row what its media hold, the same for the same content; None where nobody looked
    """

    source: str
    count: int = 0
    problems: list[Problem] = field(default_factory=list)
    unreadable: set[int] = field(default_factory=set)
    contents: dict[int, tuple[str, ...] | None] = field(default_factory=dict)
    _groups: list[list[Example]] | None = None

    def where(self, example: Example) -> str:
        """Where an example stands, without the name of the set."""
        return example.source.removeprefix(f"{self.source}, ")

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
    """Open every medium with its modality, one at a time, and keep the hash of its decoded content.

    A file that many rows name is opened once. With `quick` nothing is opened: files are told apart by their
    path and bytes in memory by their hash. Raises UserError where a reader cannot be had.
    """
    seen = Seen(labelled.source)
    readers = {name: plugins.resolve(plugins.modalities[name].reader)() for name in labelled.modalities}
    places = {_place(source) for one in labelled for sources in one.media.values() for source in sources}
    seen.count = len(places)
    known: dict[tuple[str, Any], str | UserError | None] = {}
    for example in labelled:
        contents: list[str | None] = []
        for modality, sources in example.media.items():
            for source in sources:
                key = (modality, _place(source))
                if key not in known:
                    known[key] = _quick(source) if quick else _content(readers[modality], source)
                    if progress is not None:
                        progress(len(known), len(places))
                content = known[key]
                if isinstance(content, UserError):
                    seen.unreadable.add(example.row)
                    seen.problems.append(Problem(example.row, str(content), seen.where(example)))
                    content = None
                contents.append(content and f"{modality}:{content}")
        whole = tuple(content for content in contents if content is not None)
        seen.contents[example.row] = whole if whole and len(whole) == len(contents) else None
    return seen


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
