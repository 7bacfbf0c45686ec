"""What a run was begun with, as its states keep it, and how that differs from what it would go on with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["CAUSES", "differences", "dtype_of"]

CAUSES = ("question", "columns", "names", "encoder")
"""Facts that the data, as they are learned from, hang on; named where these differ."""


def dtype_of(facts: Mapping[str, Any]) -> str:
    """In which numbers the core computed."""
    return str(facts["core"]).rpartition(" ")[2]


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """In words, what a run was begun with and what it would go on with, where they differ."""
    old, new = ({**facts["settings"], "core": facts.get("core")} for facts in (there, here))
    named = [
        f"{name} {old[name]} there, {value} here"
        for name, value in new.items()
        if old.get(name, value) != value
    ]
    causes: list[str] = []
    if there["data"] != here["data"]:
        causes = [
            f"{name} {_words(there[name])} there, {_words(here[name])} here"
            for name in CAUSES
            if name in there and name in here and there[name] != here[name]
        ]
    return [*named, *causes] + [
        f"the {name} differ" + ("" if name.endswith("s") else "s")
        for name in ("data", "steps", "core's weights")
        if there[name] != here[name] and not (name == "data" and causes)
    ]


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name}={one}" for name, one in value.items())
    return "none" if value is None else repr(value)
