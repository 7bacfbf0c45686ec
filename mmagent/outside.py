"""Cores and encoders that a bundle names instead of holding: their files are known by checksum all the same.

A bundle whose core is a hub id or a directory elsewhere was trained with certain weights; what lies under
that name may change. So their checksums are written down with the bundle and compared when they are loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmagent.errors import UserError
from mmagent.files import Listed, sha256_of, verify

__all__ = ["checksums", "demand_same", "named_outside"]

ABOUT = ("config.json", "preprocessor_config.json")
"""What beside weights decides what a model computes."""


def checksums(place: str) -> dict[str, Listed]:
    """The model files at a directory, or in the hub's cache under an id, by name; none without weights."""
    folder = _folder(place)
    if folder is None:
        return {}
    files = [*folder.glob("*.safetensors"), *(folder / name for name in ABOUT)]
    found = sorted(file for file in files if file.is_file())
    if not any(file.suffix == ".safetensors" for file in found):
        return {}
    return {file.name: Listed(sha256_of(file), file.stat().st_size) for file in found}


def named_outside(manifest: Mapping[str, Any], parts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What a manifest is to say of the core and the encoders that it names and does not hold.

    parts: names of what is written into the bundle. By place, files by name, as `Listed.as_json` has them.
    """
    places = [manifest.get("core", {}).get("path", "")]
    places += [entry.get("encoder", "") for entry in manifest.get("senses", {}).values()]
    outside = dict.fromkeys(place for place in places if place and not _holds(parts, place))
    found = {place: checksums(place) for place in outside}
    return {
        place: {name: one.as_json() for name, one in files.items()} for place, files in found.items() if files
    }


def demand_same(outside: Mapping[str, Mapping[str, Listed]], place: str, what: str) -> None:
    """Raise `UserError` unless the files at a place are those that a bundle was written with.

    A place of which the bundle says nothing passes: it lies inside, or there were no files to be known by.
    """
    listed = outside.get(place)
    if not listed:
        return
    folder = _folder(place)
    if folder is None:
        raise UserError(f"{what} is {place}, whose files are not on this machine. Fetch them first.")
    try:
        verify(folder, listed, what=f"{what}, {place},")
    except UserError as error:
        raise UserError(
            f"{what} is no longer what the bundle was trained with. {error} Or train the bundle again."
        ) from error


def _holds(parts: Sequence[str], place: str) -> bool:
    return any(part == place or part.startswith(f"{place}/") for part in parts)


def _folder(place: str) -> Path | None:
    """The directory at a place: itself, or the snapshot that the hub's cache holds of an id."""
    folder = Path(place)
    if folder.is_dir():
        return folder
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(place, "config.json")
    except HFValidationError:
        return None  # no id: a word that a plugin knows
    return Path(config).parent if isinstance(config, str) else None
