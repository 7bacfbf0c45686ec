"""GIF frames, each drawn on what the one before left, as browsers draw them.

Pillow decodes a frame's own patch; what happens between frames is done here, since Pillow fills what is to
be disposed with a colour of another frame's table. Source: GIF89a specification, sections 18 to 27; as in
browsers, "restore to background" leaves nothing there, whatever background colour the file names.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

__all__ = ["Patch", "Scan", "drawn", "scan"]

UNSAID = 0.1  # seconds that a frame stands whose file says 0, as browsers have it
TO_BACKGROUND, TO_PREVIOUS = 2, 3


@dataclass(frozen=True)
class Patch:
    """Where one frame lies in the file and on the screen, how long it stands, and what becomes of it.

    control  the graphic control extension before it, if any; start, end: of its descriptor and its data
    """

    control: bytes
    start: int
    end: int
    box: tuple[int, int, int, int]
    delay: float

    @property
    def disposal(self) -> int:
        """What is done to its part of the screen before the next one."""
        return (self.control[3] >> 2) & 7 if self.control else 0


@dataclass
class Scan:
    """What the blocks of a GIF say; `tables` is the place behind its global colour table."""

    width: int
    height: int
    tables: int
    patches: list[Patch]
    whole: bool


def scan(data: bytes) -> Scan:
    """The frames of a GIF by its blocks; nothing is decoded. A file that is cut off is not `whole`."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    found = Scan(width, height, 13 + _table(flags), [], True)
    at, control = found.tables, b""
    try:
        while at < len(data):
            if data[at] == 0x21:
                if data[at + 1] == 0xF9:
                    control = data[at : at + 8]
                at = _behind_blocks(data, at + 2)
            elif data[at] == 0x2C:
                x, y, w, h, flags = struct.unpack_from("<HHHHB", data, at + 1)
                end = _behind_blocks(data, at + 11 + _table(flags))
                delay = struct.unpack_from("<H", control, 4)[0] / 100 if control else 0
                box = (x, y, x + w, y + h)
                found.patches.append(Patch(control, at, end, box, delay or UNSAID))
                at, control = end, b""
            else:  # the trailer, or bytes behind the last block, which decoders pass over
                return found
    except (IndexError, struct.error):
        pass
    found.whole = False
    return found


def drawn(data: bytes, found: Scan) -> Iterator[Image.Image]:
    """The screen after each frame, as (H, W) RGBA. Raises what Pillow raises for a damaged frame."""
    screen = Image.new("RGBA", (found.width, found.height))
    for patch in found.patches:
        before = screen.copy() if patch.disposal == TO_PREVIOUS else None
        own = _decoded(data, found, patch)
        screen.paste(own, patch.box[:2], own)
        yield screen.copy()
        if patch.disposal == TO_BACKGROUND:
            screen.paste((0, 0, 0, 0), patch.box)
        elif before is not None:
            screen = before


def _decoded(data: bytes, found: Scan, patch: Patch) -> Image.Image:
    """A frame's own pixels, as a GIF of that frame alone."""
    left, top, right, bottom = patch.box
    size = struct.pack("<HH", right - left, bottom - top)
    at = patch.start
    parts = (data[:6], size, data[10 : found.tables], patch.control)
    alone = b"".join((*parts, b"\x2c", bytes(4), size, data[at + 9 : patch.end], b"\x3b"))
    with Image.open(BytesIO(alone), formats=("GIF",)) as image:
        return image.convert("RGBA")


def _table(flags: int) -> int:
    """Bytes of a colour table."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _behind_blocks(data: bytes, at: int) -> int:
    """The place behind a chain of sub-blocks."""
    while size := data[at]:
        at += size + 1
    return at + 1
