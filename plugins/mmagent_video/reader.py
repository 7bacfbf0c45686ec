"""Reading clips: any source to a `Clip` that decodes lazily, or one sentence that says why not."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmagent.errors import UserError
from mmagent.reading import stdin, what_there_is
from mmagent.sniff import HEAD, starts_like
from mmagent_video import video_format
from mmagent_video.animated import CODECS, Animation
from mmagent_video.clip import Clip, Film
from mmagent_video.stacked import Stack
from mmagent_video.streamed import Stream

if TYPE_CHECKING:
    import torch

    from mmagent.modality import Encoder
    from mmagent.profile import Profile

READS = "Clips are GIF, animated WebP or PNG, MP4, WebM, Matroska or AVI."
SOURCES = (
    "Give a path, bytes, '-' for standard input, an open binary file, a numpy array (T, H, W, 3), or "
    "{'frames': array, 'fps': 25}."
)
MAX_BYTES = 1 << 29  # of what has to be held in memory; files that PyAV reads may be of any size


class VideoReader:
    """The working half of the modality `video`; a raw value is a `Clip`, which decodes when it is used."""

    def load(self, source: object) -> Clip:
        """The clip of a path, bytes, "-" (stdin), an open binary file, an array, or a mapping with
        "bytes" or "path" (as in tables) or with "frames" and "fps".

        Raises `UserError` for what is missing, unreadable, cut off or no video; frames are decoded later.
        """
        if isinstance(source, Clip):
            return source
        if isinstance(source, np.ndarray):
            return Clip(Stack(source))
        if isinstance(source, Mapping):
            return self._of_mapping(source)
        if isinstance(source, bytes | bytearray | memoryview):
            return Clip(_in_memory(bytes(source), "the data"))
        if isinstance(source, str) and source == "-":
            return Clip(_in_memory(stdin().read(MAX_BYTES + 1), "standard input"))
        if isinstance(source, str | os.PathLike):
            return Clip(_in_file(os.fspath(source)))
        if callable(read := getattr(source, "read", None)):
            content = read(MAX_BYTES + 1)
            if not isinstance(content, bytes):
                raise UserError("the open file gives text, not bytes. Open it with mode 'rb'.")
            return Clip(_in_memory(content, str(getattr(source, "name", "the open file"))))
        raise UserError(f"a clip cannot be made of a {type(source).__name__}. {SOURCES}")

    def describe(self, raw: Clip) -> str:
        """Size, frames, rate and length."""
        film = raw.film
        said = [f"{film.width} x {film.height} pixels"]
        if film.n_frames == 1:
            said.append("one frame, so nothing moves")
        else:
            said.append(f"{film.n_announced:,} frames")
            if film.n_frames < film.n_announced:
                said[-1] += f" (the first {film.n_frames:,} are read)"
        if film.fps and film.n_frames > 1:
            said.append(f"{film.fps:.4g} a second")
        if film.seconds:
            said.append(f"{film.seconds:.3g} s")
        return f"clip, {', '.join(said)}"

    def fingerprint(self, raw: Clip) -> str:
        """sha256 of the frames that the encoder sees, at full size, and of the number of all frames."""
        return raw.sample.digest

    @property
    def invariances(self) -> Mapping[str, Callable[[Clip, int], Clip]]:
        """What must not change a feature: how the frames are stored."""
        from mmagent_video.samples import as_array, kept_elsewhere

        return {"another lossless format": kept_elsewhere, "frames as an array": as_array}

    def samples(self) -> Sequence[bytes]:
        """Some clips that the reader can be checked with."""
        from mmagent_video.samples import samples

        return samples()

    def profile(self, raw: Clip) -> Profile:
        """Frames, rate, coding, motion, cuts, redundancy and noise, with a contact sheet."""
        from mmagent_video.profile import profile

        return profile(raw)

    def load_encoder(
        self,
        location: str,
        *,
        device: torch.device,
        dtype: torch.dtype,
        trust_remote_code: bool = False,
    ) -> Encoder:
        """Motion and colour alone for "builtin"; else also what the image encoder at `location` sees.

        `location` is a directory or hub id that the modality `image` loads. Raises `UserError`.
        """
        from mmagent_video.encoder import load_encoder

        return load_encoder(location, device=device, dtype=dtype, trust_remote_code=trust_remote_code)

    def _of_mapping(self, source: Mapping[str, object]) -> Clip:
        """The clip of a cell of a table, or of frames with their rate."""
        if isinstance(frames := source.get("frames"), np.ndarray):
            return Clip(Stack(frames, source.get("fps")))
        for key in ("bytes", "path"):
            if (held := source.get(key)) is not None:
                return self.load(held)
        keys = ", ".join(map(str, source)) or "none"
        raise UserError(f"a clip cannot be made of a mapping with the entries {keys}. {SOURCES}")


def _in_memory(data: bytes, name: str) -> Film:
    """The film in the content of a file. Raises `UserError`."""
    if len(data) > MAX_BYTES:
        raise UserError(f"{name} has more than {MAX_BYTES >> 20} MiB. Give the path of a file instead.")
    kind = _kind(data[:HEAD], name)
    if kind in CODECS:
        return Animation(data, kind, name)
    return Stream(lambda: BytesIO(data), kind, name, len(data))


def _in_file(name: str) -> Film:
    """The film in a file; what PyAV reads stays there. Raises `UserError`."""
    if "://" in name:
        raise UserError(f"{name} is an address, and clips are read from files. Download it first.")
    path = Path(name)
    try:
        with path.open("rb") as stream:
            status = os.fstat(stream.fileno())
            if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
                raise UserError(f"{name} is a device, not a clip. Give a file, or '-' for standard input.")
            if not stat.S_ISREG(status.st_mode):  # a pipe can be read only once
                return _in_memory(stream.read(MAX_BYTES + 1), name)
            kind = _kind(stream.read(HEAD), name)
            if kind in CODECS:
                stream.seek(0)
                return _in_memory(stream.read(MAX_BYTES + 1), name)
        return Stream(lambda: path.open("rb"), kind, name, status.st_size)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"there is no file {name}. {what_there_is(path)}") from error
    except IsADirectoryError as error:
        raise UserError(f"{name} is a directory, not a clip. Give one file of it.") from error
    except PermissionError as error:
        raise UserError(f"{name} may not be read: permission denied. Change its permissions.") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{name!r} cannot be read: {error}. Check the path.") from error


def _kind(head: bytes, name: str) -> str:
    """The format of a file by its first bytes. Raises `UserError` where it is no video."""
    if not head:
        raise UserError(f"{name} is empty (0 bytes), so there is no clip in it. {READS}")
    kind = video_format(head)
    if kind is None:
        raise UserError(f"{name} is not a video: it starts like {starts_like(head)}. {READS}")
    return kind
