"""The set modality: points and objects without an order, from npy, csv, ply and JSON.

This module only describes; reading and encoding are imported on first use.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from mmagent.hookspecs import hookimpl
from mmagent.modality import Modality

NPY = b"\x93NUMPY"
# Patterns are compiled when a file is looked at: that takes as long as importing this module.
NPY_SHAPE = rb"'shape':\s*\((\d+),\s*([1-9]|[1-5]\d|6[0-4])\)"
OBJECTS = rb'\s*(\[\s*)+\{\s*"'  # a list of objects, perhaps in groups
POINTS = rb"\s*\[(\s*\[)+\s*-?[\d.]"  # a list of points, perhaps in groups
NAMED = rb'(?s)\s*\{.*"(objects|points|elements|structured_rep)"\s*:\s*\['


def set_format(head: bytes) -> str | None:
    """The format that a file's first bytes announce, or None; csv announces nothing."""
    text = head.removeprefix(b"\xef\xbb\xbf")
    if text.startswith(b"ply") and text[3:4] in (b"\n", b"\r"):
        return "ply"
    if text.startswith(NPY):
        return "npy"
    if any(re.match(pattern, text) for pattern in (OBJECTS, POINTS, NAMED)):
        return "JSON"
    return None


def sniff(head: bytes) -> bool:
    """Whether a file that starts with these bytes is a set; of arrays, only one of points."""
    kind = set_format(head)
    return kind is not None and (kind != "npy" or re.search(NPY_SHAPE, head[:256]) is not None)


@hookimpl
def register_modalities(register: Callable[[Modality], None]) -> None:
    """Add `set`."""
    register(
        Modality(
            name="set",
            help="a set of points or objects: npy (N, d), csv, ply or a JSON list of objects",
            reader="mmagent_set.reader:SetReader",
            extensions=(".ply",),
            sniff=sniff,
            encoder="builtin",
            asked=True,
        )
    )
