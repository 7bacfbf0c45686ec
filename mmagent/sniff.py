"""What a file is by its first bytes: its modality, or what it looks like, in words for people."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmagent.modality import Modality

HEAD = 4096  # bytes a modality needs to recognise a file

_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a zip archive (also docx, xlsx and epub)"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstandard archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a rar archive"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (b"GIF8", "a GIF picture"),
    (b"II*\x00", "a TIFF picture"),
    (b"MM\x00*", "a TIFF picture"),
    (b"8BPS", "a Photoshop picture"),
    (b"\x00\x00\x00\x0cjP", "a JPEG 2000 picture"),
    (b"\x00\x00\x00\x0cJXL", "a JPEG XL picture"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\x00\x00\x01\x00", "an icon (ico)"),
    (b"%!PS", "PostScript"),
    (b"ID3", "an MP3 sound"),
    (b"\xff\xfb", "an MP3 sound"),
    (b"OggS", "an Ogg sound"),
    (b"fLaC", "a FLAC sound"),
    (b"\x1a\x45\xdf\xa3", "a WebM or Matroska video"),
    (b"PAR1", "a parquet table"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a numpy array"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x03", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x80\x05", "a Python pickle"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a Windows program"),
    (b"version https://git-lfs", "a Git LFS pointer (run `git lfs pull` to fetch the file itself)"),
)

_RIFF = {b"WEBP": "a WebP picture", b"WAVE": "a WAV sound", b"AVI ": "an AVI video"}

_BRANDS = {
    b"heic": "a HEIC picture",
    b"heix": "a HEIC picture",
    b"mif1": "a HEIF picture",
    b"avif": "an AVIF picture",
}

_TEXTS: tuple[tuple[str, str], ...] = (
    ("<!doctype html", "a web page (HTML)"),
    ("<html", "a web page (HTML)"),
    ("<svg", "an SVG drawing"),
    ("<?xml", "XML"),
    ("{", "JSON"),
    ("[", "JSON"),
)

PLAIN = ("text", "XML", "JSON")  # of which the beginning does not tell what it is
UNKNOWN = "unknown data"


def recognise(file: Path, modalities: Mapping[str, Modality]) -> str | None:
    """The modality that a file's content announces, or None. Raises OSError."""
    with file.open("rb") as handle:
        head = handle.read(HEAD)
    return next((name for name, modality in modalities.items() if modality.sniff(head)), None)


def modality_of(file: Path, modalities: Mapping[str, Modality]) -> str | None:
    """The modality of a file by its suffix; where several have that suffix, or none, by its content.

    None where neither tells, also where the file cannot be read.
    """
    named = {name: one for name, one in modalities.items() if file.suffix.lower() in one.extensions}
    if len(named) != 1 and file.is_file():
        with suppress(OSError):
            if (found := recognise(file, named or modalities)) is not None:
                return found
    return next(iter(named), None)


def possible(head: bytes, suffix: str, modalities: Mapping[str, Modality]) -> list[Modality]:
    """What a file with these first bytes and this suffix can be read as; several where nothing tells.

    Those that its content announces, of several the ones with its suffix. Where the content announces none,
    those with its suffix, unless it begins like something else that is known, such as a PDF.
    """
    found = [one for one in modalities.values() if one.sniff(head)]
    named = [one for one in found or modalities.values() if suffix.lower() in one.extensions]
    if found:
        return named or found
    like = starts_like(head)
    return named if like in PLAIN or (like.startswith(UNKNOWN) and len(named) == 1) else []


def is_animated(head: bytes) -> bool:
    """Whether a GIF, WebP or PNG announces more than one picture in its first bytes.

    A GIF does so by the loop that its first frame is preceded by, as every common writer has it; one without
    is taken for a still picture.
    """
    if head[:3] == b"GIF":
        return b"NETSCAPE2.0" in head or b"ANIMEXTS1.0" in head
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X":
        return bool(head[20:21] and head[20] & 2)
    return head[:4] == b"\x89PNG" and b"acTL" in head


def hidden(path: Path) -> bool:
    """Whether a file or folder is kept from people's eyes by a leading dot."""
    return path.name.startswith(".")


def starts_like(head: bytes) -> str:
    """What a file with these first bytes looks like, as "a PDF", "text" or "unknown data (00 ff ...)"."""
    if not head:
        return "nothing (it is empty)"
    if head[:4] == b"RIFF" and head[8:12] in _RIFF:
        return _RIFF[head[8:12]]
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "an MP4 video")
    found = next((name for start, name in _STARTS if head.startswith(start)), None)
    return found or _text(head) or f"{UNKNOWN} ({head[:4].hex(' ')} ...)"


def _text(head: bytes) -> str | None:
    """The kind of text this is, or None where it is none."""
    for encoding in ("utf-8-sig", "utf-16") if head[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig",):
        try:
            text = head[: len(head) - len(head) % 2].decode(encoding, errors="strict")
        except UnicodeDecodeError as error:
            if error.start < len(head) - 4:  # not merely a character cut in half at the end
                continue
            text = head[: error.start].decode(encoding)
        if all(character.isprintable() or character.isspace() for character in text):
            begin = text.lstrip().lower()
            return next((kind for start, kind in _TEXTS if begin.startswith(start)), "text")
    return None
