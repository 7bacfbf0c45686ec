"""The families that one run puts together: names of registered families, joined by a +."""

from __future__ import annotations

from collections.abc import Mapping

from mmagent.adapter import AdapterFamily
from mmagent.errors import UserError, did_you_mean

__all__ = ["AUTO", "without_memory"]

AUTO = "auto"  # the family that suits the data


def without_memory(word: str, families: Mapping[str, AdapterFamily]) -> tuple[str, AdapterFamily | None]:
    """The families of a word such as `prefix+memory` that train, joined again, and the one that remembers.

    Raises `UserError` for a family that nobody registered, with what there is, and for two that remember.
    """
    trained: list[str] = []
    remembers: list[str] = []
    for name in word.split("+"):
        if name == AUTO:
            trained.append(name)
            continue
        if name not in families:
            raise UserError(
                f"no adapter family called {name!r}. There are: {', '.join(families)}; a + joins some of "
                f"them, as in prefix+memory.{did_you_mean(name, families)}"
            )
        (remembers if families[name].remembers else trained).append(name)
    if len(remembers) > 1:
        raise UserError(f"{word!r} remembers twice: {' and '.join(remembers)}. Take one of them.")
    return "+".join(trained), families[remembers[0]] if remembers else None
