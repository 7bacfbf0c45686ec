"""Which files make a bundle, and whether it can leave its place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

from mmagent.bundle import CARD, Bundle
from mmagent.errors import UserError
from mmagent.files import Listed
from mmagent.manifest import MANIFEST, Manifest

TEXT_BYTES = 16 * 2**20  # no manifest and no card is longer

__all__ = ["TEXT_BYTES", "check_sizes", "check_travels", "members", "place_for"]


def members(bundle: Bundle) -> list[str]:
    """The files that make a bundle, the manifest first; what else lies in its directory stays behind."""
    card = [CARD] if (bundle.path / CARD).is_file() else []
    return [MANIFEST, *card, *sorted(bundle.files.keys() - {MANIFEST, CARD})]


def check_travels(content: bytes, what: str) -> None:
    """Raise UserError if a manifest, already parsed once, names a core or encoder outside of the bundle."""
    raw = json.loads(content)
    places = {"core": raw["core"]["path"]}
    places |= {f"{name} encoder": sense["encoder"] for name, sense in (raw.get("senses") or {}).items()}
    for part, word in places.items():
        outside = PurePosixPath(word).is_absolute() or PureWindowsPath(word).is_absolute()
        if outside or word.startswith("~") or ".." in PurePosixPath(word).parts:
            raise UserError(
                f"{what} uses the {part} in {word}, outside of the bundle, where others do not have it. "
                "Write the bundle with it inside, or name it by its hub id."
            )


def check_sizes(sizes: Mapping[str, int], manifest: Manifest, what: str) -> None:
    """Raise UserError unless the files that are offered are those that the manifest lists, with its sizes.

    The card alone need not be listed.
    """
    for name, size in sizes.items():
        if name in (MANIFEST, CARD) and name not in manifest.files:
            listed = Listed("", min(size, TEXT_BYTES))
        elif name in manifest.files:
            listed = manifest.files[name]
        else:
            raise UserError(f"{what} holds {name!r}, which its {MANIFEST} does not list. Export it again.")
        if size != listed.bytes:
            raise UserError(
                f"{what} is damaged: {name} has {size:,} bytes, {listed.bytes:,} expected. Fetch it again."
            )
    for name in manifest.files.keys() - sizes.keys():
        raise UserError(f"{what} is incomplete: {name} is missing. Fetch it again.")


def place_for(directory: str | Path | None, name: str) -> Path:
    """Where an arriving bundle goes: the directory given, else one of its name here. Raises `UserError`."""
    if directory is not None:
        return Path(directory)
    if not name or name.startswith((".", "~")) or not set(name).isdisjoint("/\\:\0\n"):
        raise UserError(
            f"the name {name!r} cannot be that of a directory. Say where to put it with --out DIR."
        )
    return Path(name)
