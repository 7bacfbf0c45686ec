"""What the containers of sound say of their own length, looked at before anything is decoded.

libsndfile reads what is left of a WAV or Ogg file that was cut off and says nothing; here it is told.
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import IO

from mmagent.errors import UserError
from mmagent_audio.sound import check

__all__ = ["announced"]

UNKNOWN = (0, 0xFFFFFFFF)  # sizes that a recorder writes before it knows the size
LAST_PAGE = 65_307 + 27  # bytes; an Ogg page is no longer
MAX_CHUNKS = 1000


def announced(kind: str, content: str | bytes, name: str) -> None:
    """Refuse a WAV file whose samples, or an Ogg file whose last page, are cut off. Raises `UserError`."""
    with BytesIO(content) if isinstance(content, bytes) else open(content, "rb") as stream:
        if kind == "WAV":
            _whole_wav(stream, name)
        elif kind == "Ogg":
            _whole_ogg(stream, name)


def _whole_wav(stream: IO[bytes], name: str) -> None:
    """Rate and channels are possible, the data chunk as long as it says (RIFF; Microsoft and IBM, 1991)."""
    size = stream.seek(0, 2)
    stream.seek(0)
    order = ">" if stream.read(12)[:4] == b"RIFX" else "<"
    for _ in range(MAX_CHUNKS):
        head = stream.read(8)
        if len(head) < 8:
            raise UserError(f"{name} is a WAV sound that is cut off before its samples begin. Copy it again.")
        length = struct.unpack(f"{order}I", head[4:])[0]
        here = stream.tell()
        if head[:4] == b"data":
            if length not in UNKNOWN and here + length > size:
                raise UserError(
                    f"{name} is cut off: its header promises {length:,} bytes of samples and "
                    f"{size - here:,} are there. Copy it again."
                )
            return
        if head[:4] == b"fmt " and len(form := stream.read(8)) == 8:
            channels, rate = struct.unpack(f"{order}2xHI", form)
            check(name, rate, channels)
        stream.seek(here + length + length % 2)


def _whole_ogg(stream: IO[bytes], name: str) -> None:
    """The last page is as long as it says (RFC 3533, section 6)."""
    size = stream.seek(0, 2)
    stream.seek(max(0, size - LAST_PAGE))
    tail = stream.read()
    at = tail.rfind(b"OggS")
    segments = tail[at + 27 : at + 27 + tail[at + 26]] if len(tail) > at + 26 else b""
    if at < 0 or len(tail) < at + 27 + sum(segments) or not segments:
        raise UserError(f"{name} is an Ogg sound that is cut off within its last page. Copy it again.")
