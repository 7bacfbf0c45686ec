"""The installed entry points of one group, found without importing `importlib.metadata`.

That module alone costs a quarter of the time in which ``mmagent --help`` should be done, so the directories
on `sys.path` are read directly, as it does itself. Where something other than a directory may hold packages
(a zip file, an import hook that finds distributions), it is asked instead.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

__all__ = ["EntryPoint", "find_entry_points"]


class EntryPoint(NamedTuple):
    """A name and the dotted path behind it, and the distribution that brings it (its name normalised)."""

    name: str
    value: str
    distribution: str
    version: str

    def load(self) -> Any:
        """Import it. Raises whatever the import raises."""
        module, _, attribute = self.value.partition(":")
        found: Any = importlib.import_module(module.strip())
        for part in filter(None, attribute.split("[")[0].strip().split(".")):
            found = getattr(found, part)
        return found


def find_entry_points(group: str) -> Iterator[EntryPoint]:
    """Every entry point of a group; of two copies of a distribution the first on the path counts."""
    seen: set[str] = set()
    for name, version, text in _distributions(re.compile(rf"^\[\s*{re.escape(group)}\s*\]", re.MULTILINE)):
        distribution = re.sub(r"[-_.]+", "-", name).lower()
        if distribution in seen:
            continue
        seen.add(distribution)
        for entry, value in _section(text, group):
            yield EntryPoint(entry, value, distribution, version)


def _distributions(header: re.Pattern[str]) -> Iterator[tuple[str, str, str]]:
    """Name, version and entry_points.txt of every distribution whose text holds the header."""
    if _only_directories():
        for folder in dict.fromkeys(sys.path):
            yield from _in_folder(folder or ".", header)
        return
    import importlib.metadata

    for found in importlib.metadata.distributions():
        text = found.read_text("entry_points.txt") or ""
        if header.search(text):
            yield found.metadata["Name"], found.version, text


def _only_directories() -> bool:
    """Whether all packages lie in plain directories."""
    finders = [finder for finder in sys.meta_path if hasattr(finder, "find_distributions")]
    names = {getattr(finder, "__name__", "") for finder in finders}
    return names <= {"PathFinder"} and not any(os.path.isfile(folder) for folder in sys.path)


def _in_folder(folder: str, header: re.Pattern[str]) -> Iterator[tuple[str, str, str]]:
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith((".dist-info", ".egg-info")))
    except OSError:
        return
    for name in names:
        place = os.path.join(folder, name)
        text = _read(os.path.join(place, "entry_points.txt"))
        if header.search(text):
            yield *_identity(place, name), text


def _identity(place: str, name: str) -> tuple[str, str]:
    """Name and version: a .dist-info says them in its own name (PEP 427); otherwise its metadata are read."""
    stem, _, kind = name.rpartition(".")
    called, _, version = stem.partition("-")
    if kind == "dist-info" and version:
        return called, version
    told = _read(os.path.join(place, "METADATA")) or _read(os.path.join(place, "PKG-INFO"))
    return _header(told, "Name") or called, _header(told, "Version") or "unknown"


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _header(text: str, key: str) -> str:
    found = re.search(rf"^{key}:[ \t]*(\S+)", text, re.MULTILINE)
    return found[1] if found else ""


def _section(text: str, group: str) -> Iterator[tuple[str, str]]:
    """The ``name = value`` lines of one section of an entry_points.txt."""
    inside = False
    for line in (line.strip() for line in text.splitlines()):
        if line.startswith("["):
            inside = line.strip("[] \t") == group
        elif inside and "=" in line and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            yield name.strip(), value.strip()
