"""A bundle as one file: an uncompressed tar, the same bytes every time, and back into a directory.

Weights do not compress, so nothing is; a tar can be looked into everywhere. Times, owners and modes are left
out, the order is fixed. What comes in is taken for hostile: only plain files that the manifest lists, under
names that stay inside, with the sizes and hashes it lists.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from mmagent.bundle import Bundle
from mmagent.errors import UserError
from mmagent.files import inside, staged, staged_file
from mmagent.manifest import MANIFEST, parse_manifest
from mmagent.travel.members import TEXT_BYTES, check_sizes, check_travels, members, place_for

MOST_MEMBERS = 100_000

__all__ = ["export_bundle", "import_bundle"]


def export_bundle(bundle: Bundle, file: str | Path, *, replace: bool = False) -> Path:
    """Write a bundle into one tar; equal bundles give equal bytes. The file appears whole or not at all.

    Every file is verified once more as it is copied. A bundle whose core or encoder lies in a directory
    outside of it is refused. Raises `UserError`.
    """
    bundle = Bundle.open(bundle.path, check_content=False)
    check_travels((bundle.path / MANIFEST).read_bytes(), f"bundle {bundle.name!r}")
    target = Path(file)
    with (
        staged_file(target, replace=replace) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8") as tar,
    ):
        for name in members(bundle):
            _add(tar, bundle, name)
    return target


def import_bundle(file: str | Path, directory: str | Path | None = None, *, replace: bool = False) -> Bundle:
    """Unpack a tar that `export_bundle` wrote, and open the bundle; it appears verified or not at all.

    `directory` is one of the bundle's name here unless given; `replace` allows a bundle there to be replaced.
    Raises `UserError` for a tar that holds anything but the plain files its manifest lists.
    """
    place = Path(file)
    with _opened(place) as tar:
        found = _checked(tar, place)
        content = _read(tar, found[MANIFEST])
        manifest = parse_manifest(content, Path(), f"{place}, {MANIFEST}")
        check_travels(content, str(place))
        check_sizes({name: member.size for name, member in found.items()}, manifest, str(place))
        target = place_for(directory, manifest.name)
        with staged(target, marker=MANIFEST, replace=replace) as staging:
            for name, member in found.items():
                _unpack(tar, member, staging / name)
            Bundle.open(staging)
    return Bundle.open(target, check_content=False)


def _add(tar: tarfile.TarFile, bundle: Bundle, name: str) -> None:
    """Put one file in, without time, owner or mode of its own, and verify what was read of it."""
    path = bundle.path / name
    info = tarfile.TarInfo(name)
    info.size = path.stat().st_size
    with path.open("rb") as stream:
        copied = _Hashing(stream)
        tar.addfile(info, copied)
    listed = bundle.files.get(name)
    if listed is not None and copied.digest.hexdigest() != listed.sha256:
        raise UserError(
            f"bundle {bundle.name!r} is damaged: {name} is not what its {MANIFEST} lists. "
            "Fetch it again, or write the bundle anew if you changed the file on purpose."
        )


class _Hashing:
    """A file whose content is hashed as it is read."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        data = self._stream.read(size)
        self.digest.update(data)
        return data


@contextmanager
def _opened(file: Path) -> Iterator[tarfile.TarFile]:
    """A tar to read; what is wrong with it, now or later, is a sentence about the file."""
    if not file.is_file():
        kind = "is a directory, not a tar" if file.is_dir() else "is not there"
        raise UserError(f"{file} {kind}. Give a file that mmagent bundles export wrote.")
    try:
        with tarfile.open(file, "r:", encoding="utf-8") as tar:
            yield tar
    except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as error:
        raise UserError(
            f"{file} is no tar that can be read, or is cut off: {error}. "
            "Fetch it again; mmagent bundles export writes uncompressed tars."
        ) from error


def _checked(tar: tarfile.TarFile, file: Path) -> dict[str, tarfile.TarInfo]:
    """The members by name, each a plain file inside the directory, none twice; none is read."""
    found: dict[str, tarfile.TarInfo] = {}
    at = -1
    while (member := tar.next()) is not None:
        inside(member.name, f"{file} is refused")
        if kind := _not_plain(member):
            raise UserError(f"{file} is refused: {member.name!r} is {kind}. A bundle holds plain files only.")
        if member.name in found:
            raise UserError(f"{file} is refused: it holds {member.name!r} twice. Export it again.")
        if member.offset_data <= at or member.size < 0 or len(found) == MOST_MEMBERS:
            raise UserError(f"{file} is refused: no export looks like this. Fetch it again.")
        at, found[member.name] = member.offset_data, member
    if MANIFEST not in found:
        raise UserError(
            f"{file} holds no {MANIFEST}, so no bundle. mmagent bundles export writes such files."
        )
    if found[MANIFEST].size > TEXT_BYTES:
        raise UserError(
            f"{file} is refused: its {MANIFEST} has {found[MANIFEST].size:,} bytes. Fetch it again."
        )
    return found


def _not_plain(member: tarfile.TarInfo) -> str:
    """What a member is instead of a plain file; empty for a plain file."""
    if member.issym() or member.islnk():
        return "a link"
    if member.isdir():
        return "a directory"
    plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()
    return "" if plain else "a device or another special file"


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = tar.extractfile(member)
    return stream.read() if stream is not None else b""


def _unpack(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    stream = tar.extractfile(member)
    with target.open("xb") as out:
        if stream is not None:
            shutil.copyfileobj(stream, out)
