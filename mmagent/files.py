"""Files that must be whole: checksums that are remembered, directories that appear at once.

Nothing here knows what a bundle is; it is given names, sizes and hashes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from mmagent.errors import TakenError, UserError

REMEMBERED_FROM = 1 << 20  # bytes; smaller files are hashed every time


@dataclass(frozen=True)
class Listed:
    """What a manifest says of one file."""

    sha256: str
    bytes: int

    def as_json(self) -> dict[str, str | int]:
        """The entry as it stands in a manifest."""
        return {"sha256": self.sha256, "bytes": self.bytes}


def sha256_of(file: Path) -> str:
    """The sha256 of a file's content, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def inside(name: str, where: str) -> str:
    """The name itself, if it is a relative path that stays inside its directory. Raises `UserError`."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or path.as_posix() != name:
        raise UserError(
            f"{where}: {name!r} does not name a file inside the directory. Use a path like core/x.json."
        )
    return name


def list_files(directory: Path, *, without: Collection[str] = ()) -> dict[str, Listed]:
    """Every file below a directory by its relative POSIX name, with size and sha256."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    names = ((path.relative_to(directory).as_posix(), path) for path in files)
    return {name: Listed(sha256_of(path), path.stat().st_size) for name, path in names if name not in without}


def verify(directory: Path, files: Mapping[str, Listed], *, what: str, check_content: bool = True) -> None:
    """Check that every listed file is there, has its size and, if asked, its sha256. Raises `UserError`.

    Hashes of large files are remembered by path, size and times in the user's cache directory.
    """
    for name, listed in files.items():
        _check_size(directory / name, name, listed, what)
    if not check_content:
        return
    memo = _HashMemo()
    for name, listed in files.items():
        found = memo.sha256(directory / name)
        if found != listed.sha256:
            raise UserError(
                f"{what} is damaged: {name} has sha256 {found[:12]}..., expected {listed.sha256[:12]}... "
                "Fetch it again, or write the bundle anew if you changed the file on purpose."
            )
    memo.save()


def _check_size(path: Path, name: str, listed: Listed, what: str) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        if isinstance(error, PermissionError):
            raise UserError(f"{what}: {name} may not be read. Change its permissions.") from error
        raise UserError(
            f"{what} is incomplete: {name} is missing ({listed.bytes:,} bytes expected). "
            "Restore the file or fetch the bundle again."
        ) from error
    if size != listed.bytes:
        raise UserError(
            f"{what} is damaged: {name} has {size:,} bytes, {listed.bytes:,} expected. Fetch it again."
        )


class _HashMemo:
    """Hashes of large files, kept between runs; a cache that cannot be read or written is done without."""

    def __init__(self) -> None:
        folder = user_cache()
        self.file = folder / "hashes.json" if folder else None
        self.known = self._read()
        self.changed = False

    def sha256(self, path: Path) -> str:
        """The sha256 of a file, hashed only if its size or times changed since it was last seen."""
        try:
            stat = path.stat()
            if stat.st_size < REMEMBERED_FROM:
                return sha256_of(path)
            key = str(path.resolve())
            state = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
            entry = self.known.get(key)
            if entry is not None and entry[:-1] == state:
                return str(entry[-1])
            digest = sha256_of(path)
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}. Change its permissions.") from error
        self.known[key] = [*state, digest]
        self.changed = True
        return digest

    def save(self) -> None:
        """Keep what was hashed, without the files that are gone."""
        if not self.changed or self.file is None:
            return
        kept = {path: entry for path, entry in self.known.items() if os.path.exists(path)}
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            handle, aside = tempfile.mkstemp(dir=self.file.parent)
            with open(handle, "w", encoding="utf-8") as stream:
                json.dump(kept, stream)
            os.replace(aside, self.file)
        except OSError:
            return

    def _read(self) -> dict[str, list[int | str]]:
        if self.file is None:
            return {}
        try:
            known = json.loads(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        if not isinstance(known, dict):
            return {}
        return {path: entry for path, entry in known.items() if isinstance(entry, list) and len(entry) == 4}


def user_cache() -> Path | None:
    """The user's cache folder for mmagent, by the platform's custom; None where there is no home."""
    try:
        if sys.platform == "win32":
            root = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        elif sys.platform == "darwin":
            root = Path.home() / "Library" / "Caches"
        else:
            root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        return None
    return root / "mmagent"


@contextmanager
def staged(target: Path, *, marker: str, replace: bool) -> Iterator[Path]:
    """A directory to fill that becomes `target` when the block ends well, and vanishes when it does not.

    An existing target is refused, unless `replace` is given and it holds the file `marker` or nothing.
    Raises `UserError`, also where the disk refuses.
    """
    target = target.resolve()
    _refuse(target, marker, replace)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            staging = aside / "new"  # made with the user's own permissions, which mkdtemp's are not
            staging.mkdir()
            yield staging
            _swap(staging, target, aside / "old")
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"{target} cannot be written: {error}. Choose another place or free some space."
        ) from error


@contextmanager
def staged_file(target: Path, *, replace: bool) -> Iterator[BinaryIO]:
    """A file to write that becomes `target` when the block ends well, and vanishes when it does not.

    An existing target is refused unless `replace` is given. Raises `UserError`, also where the disk refuses,
    and for what `landing` refuses.
    """
    target = landing(target)
    if target.exists() and not replace:
        raise TakenError(f"{target} exists already. Choose another name.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            with (aside / "new").open("xb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(aside / "new", target)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"{target} cannot be written: {error}. Choose another place or free some space."
        ) from error


def landing(target: Path) -> Path:
    """Where a file lands that is written under this name: what its links lead to, which is there or can be.

    Raises `UserError` for what no file can take the place of: a directory, a pipe, a device, and "-".
    """
    if str(target) == "-":
        raise UserError("'-' is no file, and what is written here is one, whole or not at all. Name a file.")
    try:
        place = target.resolve()
        mode = place.stat().st_mode if os.path.lexists(place) else stat.S_IFREG
    except (OSError, RuntimeError) as error:  # links in a circle, a folder that may not be looked into
        raise UserError(f"{target} cannot be written: {error}. Choose another name.") from error
    if stat.S_ISDIR(mode):
        raise UserError(f"{target} is a directory; a file is written there. Choose another name.")
    if not stat.S_ISREG(mode):
        kind = "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
        raise UserError(f"{target} is {kind}, which a file would take the place of. Name a file.")
    return place


def _refuse(target: Path, marker: str, replace: bool) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise UserError(f"{target} is a file; a directory is written there. Choose another name.")
    if not any(target.iterdir()):
        return
    if not (target / marker).is_file():
        raise UserError(
            f"{target} is not empty and holds no {marker}, so it is left alone. Choose another name."
        )
    if not replace:
        raise TakenError(f"{target} exists already. Choose another name.")


def _swap(staging: Path, target: Path, old: Path) -> None:
    """Put `staging` where `target` is; the old content comes back if that fails half-way."""
    if target.exists():
        os.rename(target, old)
    try:
        os.rename(staging, target)
    except OSError:
        if old.exists():
            os.rename(old, target)
        raise
