"""Reading sound: any source to a handle on its samples, or one sentence that says why not."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from mmagent.data.arrow import Stored
from mmagent.errors import UserError
from mmagent.reading import stdin, what_there_is
from mmagent.sniff import starts_like
from mmagent_audio import sound_format
from mmagent_audio.container import announced
from mmagent_audio.sound import Sound, check, from_array, reason, silent, soundfile

if TYPE_CHECKING:
    import torch

    from mmagent.modality import Encoder
    from mmagent.profile import Profile

READS = "Sounds are WAV, FLAC, Ogg or MP3."
MAX_BYTES = 8 << 30  # of a file: 24 hours of CD sound and a little
KEPT = 32 << 20  # bytes from a stream that stay in memory; more go to a temporary file
AT_ONCE = 60.0  # seconds; what is shorter is decoded when it is loaded, so that damage is told at once
SOURCES = (
    "Give a path, bytes, '-' for standard input, or samples with their rate: "
    "{'array': samples, 'sampling_rate': 16000}."
)


class AudioReader:
    """The working half of the modality `audio`; a raw value is a `Sound`."""

    def load(self, source: object) -> Sound:
        """The sound of a path, bytes, "-" (stdin), an open binary file, (array, rate), or a mapping with
        `array` and `sampling_rate`, or with `bytes` or `path`, as the `datasets` library has them.

        Raises `UserError` for what is missing, unreadable, damaged or no sound. What lasts longer than a
        minute is not decoded here: damage in it is told when it is.
        """
        if isinstance(source, Sound):
            return source
        if isinstance(source, Mapping):
            return self._of_mapping(source)
        if isinstance(source, tuple) and len(source) == 2:
            return from_array(*source)
        if isinstance(source, bytes | bytearray | memoryview):
            return opened(bytes(source), "the data")
        if isinstance(source, str) and source == "-":
            return opened(_kept(stdin()), "standard input")
        if isinstance(source, str | os.PathLike):
            return opened(_of_path(os.fspath(source)), os.fspath(source))
        if callable(getattr(source, "read", None)):
            return opened(_kept(source), str(getattr(source, "name", "the open file")))
        if isinstance(source, np.ndarray):
            raise UserError(f"an array of samples says nothing of its rate. {SOURCES}")
        raise UserError(f"a sound cannot be made of a {type(source).__name__}. {SOURCES}")

    def _of_mapping(self, source: Mapping[Any, Any]) -> Sound:
        if source.get("array") is not None:
            rate = source.get("sampling_rate", source.get("rate"))
            return from_array(source["array"], rate, str(source.get("path") or "the array"))
        if source.get("bytes") is not None:
            return opened(bytes(source["bytes"]), str(source.get("path") or "the data"))
        if source.get("path"):
            return self.load(source["path"])
        raise UserError(
            f"a mapping with {', '.join(map(str, source)) or 'nothing'} holds no sound. {SOURCES}"
        )

    def describe(self, raw: Sound) -> str:
        """Length, rate and channels."""
        channels = {1: "mono", 2: "stereo"}.get(raw.channels, f"{raw.channels} channels")
        return f"sound, {raw.seconds:,.2f} s, {raw.rate:,} Hz, {channels}"

    def fingerprint(self, raw: Sound) -> str:
        """sha256 of rate and samples: the same sound has the same one in every lossless format."""
        digest = hashlib.sha256(f"audio {raw.rate} Hz {raw.channels} float32\n".encode())
        for block in raw.blocks():
            digest.update((block + np.float32(0)).astype("<f4").tobytes())  # no sign on a zero
        return digest.hexdigest()

    @property
    def invariances(self) -> Mapping[str, Callable[[Sound, int], Sound]]:
        """What must not change a feature: the order of the channels."""
        from mmagent_audio.samples import channels_turned

        return {"order of channels": channels_turned}

    def samples(self) -> Sequence[bytes]:
        """Some sounds that the reader can be checked with."""
        from mmagent_audio.samples import samples

        return samples()

    def vary(self, raw: Sound, seed: int) -> Sound:
        """The sound as it might have been made: faster or slower, louder or softer, with some noise."""
        from mmagent_audio.vary import vary

        return vary(raw, seed)

    def profile(self, raw: Sound) -> Profile:
        """What the sound is made of: one pass over its samples, in memory that does not grow with them."""
        from mmagent_audio.profile import profile

        return profile(raw)

    def load_encoder(
        self,
        location: str,
        *,
        device: torch.device,
        dtype: torch.dtype,
        trust_remote_code: bool = False,
    ) -> Encoder:
        """The encoder in a directory or under a hub id: ours, or one of transformers. Raises `UserError`."""
        from mmagent_audio.loading import load_encoder

        return load_encoder(location, device=device, dtype=dtype, trust_remote_code=trust_remote_code)


def opened(content: str | bytes, name: str) -> Sound:
    """A handle on the sound in a file, given by its path or its bytes. Raises `UserError`."""
    head, size = _head(content)
    if not size:
        raise UserError(f"{name} is empty (0 bytes), so there is no sound in it. {READS}")
    kind = sound_format(head)
    if kind is None:
        raise UserError(f"{name} is not a sound: it starts like {starts_like(head)}. {READS}")
    if size > MAX_BYTES:
        raise UserError(f"{name} has more than {MAX_BYTES >> 30} GiB. Cut it into parts first.")
    announced(kind, content, name)
    library = soundfile()
    try:
        with (
            silent(kind),
            library.SoundFile(BytesIO(content) if isinstance(content, bytes) else content) as file,
        ):
            rate, channels, frames, coding = file.samplerate, file.channels, file.frames, file.subtype
    except (library.SoundFileError, RuntimeError, OSError) as error:
        raise UserError(
            f"{name} starts like {_article(kind)} sound but cannot be opened ({reason(error)}). Copy it "
            "again, or convert it to FLAC."
        ) from error
    check(name, rate, channels, frames)
    sound = Sound(name, rate, channels, frames, kind, coding, content)
    if sound.seconds <= AT_ONCE:
        for _ in sound.blocks():
            pass
    return sound


def _article(kind: str) -> str:
    return f"{'an' if kind[0] in 'OM' else 'a'} {kind}"


def _head(content: str | bytes) -> tuple[bytes, int]:
    """The first 4096 bytes and the size."""
    if isinstance(content, bytes):
        return content[:4096], len(content)
    with open(content, "rb") as stream:
        return stream.read(4096), os.fstat(stream.fileno()).st_size


def _kept(stream: Any) -> bytes | str:
    """What a stream holds: bytes where it is short, the path of a temporary file where it is long."""
    data = stream.read() if isinstance(stream, Stored) else stream.read(KEPT + 1)
    if not isinstance(data, bytes):
        raise UserError("the open file gives text, not bytes. Open it with mode 'rb'.")
    if isinstance(stream, Stored):
        return data
    return data if len(data) <= KEPT else _spooled(data, stream)


def _spooled(begun: bytes, stream: IO[bytes]) -> str:
    """A temporary file with all of a stream, removed when the process ends."""
    import atexit

    with tempfile.NamedTemporaryFile(prefix="mmagent-sound-", delete=False) as file:
        atexit.register(Path(file.name).unlink, missing_ok=True)
        file.write(begun)
        shutil.copyfileobj(stream, file)
    return file.name


def _of_path(name: str) -> str | bytes:
    """A path that can be opened again and again; a pipe's content. Raises `UserError`."""
    if name.startswith(("http://", "https://")):
        raise UserError(f"{name} is an address, and sounds are read from files. Download it first.")
    if not name:
        raise UserError("the name of the sound is empty. Give a path, or '-' for standard input.")
    path = Path(name)
    try:
        with path.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
                raise UserError(f"{name} is a device, not a sound. Give a file, or '-' for standard input.")
            return name if stat.S_ISREG(mode) else _kept(stream)
    except IsADirectoryError as error:
        raise UserError(f"{name} is a directory, not a sound. Give one file of it.") from error
    except PermissionError as error:
        raise UserError(f"{name} may not be read: permission denied. Change its permissions.") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"there is no file {name}. {what_there_is(path)}") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{name} cannot be read: {error}. Check the path.") from error
