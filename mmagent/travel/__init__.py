"""Bundles that travel: out of one place and into another, whole and the same, or not at all.

    archive.py     one tar, the same bytes every time, and back
    store.py       a hub's repository, or a directory that stands for one
    difference.py  what two bundles differ in
    merge.py       the adapter of a core into its weights
    members.py     which files make a bundle, and whether it can leave its place

What arrives is checked against its own manifest before it appears. Importing this package is cheap.
"""

from __future__ import annotations

from mmagent.travel.archive import export_bundle, import_bundle
from mmagent.travel.difference import Difference, diff_bundles
from mmagent.travel.merge import merge_bundle
from mmagent.travel.store import pull_bundle, push_bundle

__all__ = [
    "Difference",
    "diff_bundles",
    "export_bundle",
    "import_bundle",
    "merge_bundle",
    "pull_bundle",
    "push_bundle",
]
