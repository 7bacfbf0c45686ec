"""What the blocks of a file say without decoding: frames and their times, and where the file should end.

A file of a hundred thousand frames is known in a moment. Sources: PNG third edition, section 11.3.6; WebP
container specification, "Animation"; EBML, RFC 8794, sections 4 and 5; RIFF, section 2.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from mmagent_video.gif import UNSAID, scan

__all__ = ["Header", "end_of_file", "read_header"]

STILL = 0.0
SEGMENT = b"\x18\x53\x80\x67"


@dataclass
class Header:
    """What the blocks of an animated picture say.

    delays  seconds that each frame stands
    whole   whether the last block ends where it says it does
    """

    width: int = 0
    height: int = 0
    delays: list[float] = field(default_factory=list)
    whole: bool = True


def read_header(kind: str, data: bytes) -> Header:
    """The header of a GIF, WebP or PNG; blocks that are cut off end it, and it is not whole."""
    header = Header()
    try:
        {"GIF": _gif, "WebP": _webp, "PNG": _png}[kind](data, header)
    except (IndexError, struct.error):
        header.whole = False
    return header


def end_of_file(kind: str, head: bytes) -> int:
    """Bytes that an AVI, WebM or Matroska file must have by its first ones; 0 where they do not say."""
    if kind == "AVI":
        return 8 + int(struct.unpack_from("<I", head, 4)[0]) if len(head) >= 8 else 0
    at = head.find(SEGMENT)
    if kind not in ("WebM", "Matroska") or at < 0 or len(head) < at + 12:
        return 0
    length = 9 - head[at + 4].bit_length()  # a variable-size integer: as many leading zeros as further bytes
    size = int.from_bytes(head[at + 4 : at + 4 + length], "big") & ((1 << 7 * length) - 1)
    unknown = size == (1 << 7 * length) - 1  # as written while it is being recorded
    return 0 if unknown or length > 8 else at + 4 + length + size


def _gif(data: bytes, header: Header) -> None:
    found = scan(data)
    header.width, header.height, header.whole = found.width, found.height, found.whole
    header.delays = [patch.delay for patch in found.patches]


def _png(data: bytes, header: Header) -> None:
    at, last = 8, b""
    frames = 0
    while at < len(data):
        size, last = struct.unpack_from(">I4s", data, at)
        if last == b"IHDR":
            header.width, header.height = struct.unpack_from(">II", data, at + 8)
        elif last == b"acTL":
            frames = struct.unpack_from(">I", data, at + 8)[0]
        elif last == b"fcTL":
            above, below = struct.unpack_from(">HH", data, at + 28)
            header.delays.append(above / (below or 100) or UNSAID)
        at += size + 12
    header.delays = header.delays or [STILL]
    header.whole = last == b"IEND" and at == len(data) and (not frames or len(header.delays) == frames)


def _webp(data: bytes, header: Header) -> None:
    end = 8 + struct.unpack_from("<I", data, 4)[0]
    at = 12
    while at < min(end, len(data)):
        name, size = struct.unpack_from("<4sI", data, at)
        if name == b"VP8X":
            header.width, header.height = (
                1 + int.from_bytes(data[at + start : at + start + 3], "little") for start in (12, 15)
            )
        elif name == b"ANMF":
            header.delays.append(int.from_bytes(data[at + 20 : at + 23], "little") / 1000 or UNSAID)
        at += 8 + size + size % 2
    header.delays = header.delays or [STILL]
    header.whole = at <= len(data) + 1 and end <= len(data)
