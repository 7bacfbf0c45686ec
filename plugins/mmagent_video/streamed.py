"""MP4, WebM, Matroska and AVI, through PyAV (FFmpeg): packets are counted, frames asked for are decoded."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mmagent.errors import MissingPackageError, UserError
from mmagent.sniff import HEAD
from mmagent_video.clip import SHORT_OF_END, Frame, Pixels, check_film
from mmagent_video.headers import end_of_file

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["Stream"]

DEMUXERS = {"MP4": "mov", "WebM": "matroska", "Matroska": "matroska", "AVI": "avi"}
MAX_PACKETS = 5_000_000  # two days of film
WHOLE = 0.95  # of the frames that a whole file announces, at least so many are there
BROKEN = 0.1  # of the packets that are decoded, at most so many may be damaged


class Stream:
    """The first video stream of a container, opened anew whenever frames are asked for."""

    def __init__(self, opened: Callable[[], BinaryIO], kind: str, name: str, n_bytes: int) -> None:
        """`opened` gives the file from its beginning; no frame is decoded yet.

        Raises `UserError` without PyAV, and for what is no video, cut off, coded in a way that nobody here
        reads, too large or absurd.
        """
        self.name, self.kind, self.n_bytes = name, kind, n_bytes
        self._opened = opened
        with contextlib.closing(opened()) as file:
            if (end := end_of_file(kind, file.read(HEAD))) > n_bytes:
                raise self._cut(f"{n_bytes:,} of its {end:,} bytes are there")
        with self._container() as (container, stream):
            context = stream.codec_context
            self.codec = str(context.codec.canonical_name)
            self.width, self.height = int(context.width), int(context.height)
            if not self.width:
                raise self._damaged("its size cannot be found")
            self.n_announced = self.n_frames = int(stream.frames) or 1
            self.seconds: float | None = None
            self.fps: float | None = None
            check_film(self)
            self._tick: Fraction = stream.time_base or Fraction(1, 1)
            stamps, keys = self._counted(container, stream)
            said = stream.duration * self._tick if stream.duration else None
        self._stamps, self._keys = stamps, keys
        self.n_frames = len(stamps)
        self.n_announced = max(int(stream.frames), self.n_frames)
        self._timing(None if said is None else float(said))
        check_film(self)

    def frames(self, numbers: Sequence[int]) -> Iterator[Frame]:
        """The frames of these rising numbers; a damaged one is followed by the next that is whole.

        Raises `UserError` where too much is damaged or the end is missing.
        """
        with self._container() as (container, stream):
            decoding = _Decoding(container, stream)
            found: Frame | None = None
            at: int = -1
            last = 0
            for number in numbers:
                wanted = int(self._stamps[number])
                before = int(np.searchsorted(self._keys, wanted, side="right")) - 1
                key = int(self._keys[max(0, before)])
                if key > at and number > last + 1:
                    decoding.seek(key)
                last = number
                while found is None or at < wanted:
                    picture = decoding.following()
                    if decoding.broken > SHORT_OF_END + BROKEN * decoding.packets:
                        raise self._damaged(f"{decoding.broken} of {decoding.packets} packets do not decode")
                    if picture is None:
                        break
                    at = _stamp(picture)
                    found = Frame(0, 0.0, _rgb(picture), bool(picture.is_corrupt))
                if found is None or at < self._stamps[max(0, number - SHORT_OF_END)]:
                    raise self._damaged(f"nothing decodes from frame {number + 1} of {self.n_frames} on")
                seconds = float((wanted - int(self._stamps[0])) * self._tick)
                late = at > self._stamps[min(number + 1, self.n_frames - 1)]
                yield Frame(number, seconds, found.pixels, found.damaged or late or at < wanted)

    def _counted(self, container: Any, stream: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Time stamps of all packets, and of those that decoding can begin at, both rising."""
        stamps: list[int] = []
        keys: list[int] = []
        with contextlib.suppress(*_broken()):  # the end is missing, which the number of frames tells
            for packet in container.demux(stream):
                stamp = packet.dts if packet.pts is None else packet.pts
                if stamp is None or not packet.size:
                    continue
                stamps.append(stamp)
                if packet.is_keyframe:
                    keys.append(stamp)
                if len(stamps) > MAX_PACKETS:
                    raise UserError(f"{self.name} has more than {MAX_PACKETS:,} frames. Cut it into pieces.")
        return np.unique(np.array(stamps, np.int64)), np.unique(np.array(keys or stamps[:1], np.int64))

    def _timing(self, said: float | None) -> None:
        """Rate and length, from the time stamps. Raises `UserError` where frames are missing at the end."""
        if self.n_frames < WHOLE * self.n_announced - SHORT_OF_END:
            raise self._cut(f"{self.n_frames:,} of its {self.n_announced:,} frames are there")
        if self.n_frames < 2:
            self.seconds = said
            return
        span = float((int(self._stamps[-1]) - int(self._stamps[0])) * self._tick)
        self.fps = (self.n_frames - 1) / span
        self.seconds = span + 1 / self.fps

    @contextlib.contextmanager
    def _container(self) -> Iterator[tuple[Any, Any]]:
        """The open container and its video stream. Raises `UserError`."""
        av = _av(self.name, self.kind)
        with contextlib.closing(self._opened()) as file:
            try:
                container: Any = av.open(file, format=DEMUXERS[self.kind])
            except (av.error.FFmpegError, ValueError) as error:
                raise self._damaged(_said(error)) from error
            with container:
                yield container, self._video(container)

    def _video(self, container: Any) -> Any:
        """The stream to decode. Raises `UserError` where there is none, or nobody reads its coding."""
        if not container.streams.video:
            others = ", ".join(sorted({one.type or "unknown" for one in container.streams})) or "none"
            raise UserError(f"{self.name} holds no video: its streams are {others}. Give another file.")
        stream = container.streams.video[0]
        context = stream.codec_context
        if context is None or not getattr(context.codec, "is_decoder", False):
            raise UserError(
                f"{self.name} ({self.kind}) holds pictures that are coded in a way not read here. "
                "Write it again as H.264, VP9 or AV1."
            )
        return stream

    def _cut(self, why: str) -> UserError:
        return UserError(f"{self.name} is cut off ({self.kind}): {why}. Copy it again.")

    def _damaged(self, why: str) -> UserError:
        return UserError(f"{self.name} is damaged or cut off ({self.kind}: {why}). Copy it again.")


class _Decoding:
    """Frames of a stream one after another; packets that do not decode are counted and passed over."""

    def __init__(self, container: Any, stream: Any) -> None:
        self._container, self._stream = container, stream
        self.broken = self.packets = 0
        self._frames = self._all()

    def seek(self, stamp: int) -> None:
        """Go on at the packet with this time stamp, or at the last before it that decoding can begin at."""
        self._container.seek(stamp, stream=self._stream, backward=True)
        self._frames = self._all()

    def following(self) -> Any:
        """The next frame; None at the end."""
        return next(self._frames, None)

    def _all(self) -> Iterator[Any]:
        broken = _broken()
        try:
            for packet in self._container.demux(self._stream):
                self.packets += 1
                try:
                    frames = packet.decode()
                except broken:
                    self.broken += 1
                    continue
                yield from (frame for frame in frames if _stamp(frame) is not None)
        except broken:
            self.broken += 1


def _stamp(frame: Any) -> Any:
    return frame.dts if frame.pts is None else frame.pts


def _rgb(frame: Any) -> Pixels:
    """(H, W, 3) values, turned as the camera was held."""
    pixels: Pixels = frame.to_ndarray(format="rgb24")
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def _av(name: str, kind: str) -> ModuleType:
    """PyAV. Raises `MissingPackageError` where it is not installed."""
    try:
        import av
    except ImportError as error:
        raise MissingPackageError(
            f"{name} is {kind}, which PyAV decodes, and that is not installed. pip install 'mmagent[video]' "
            "(GIF, animated WebP and PNG need nothing more.)"
        ) from error
    return av


def _broken() -> tuple[type[BaseException], ...]:
    """What PyAV raises for damaged packets."""
    import av

    return (av.error.FFmpegError,)


def _said(error: BaseException) -> str:
    return f"{getattr(error, 'strerror', None) or error or type(error).__name__}"
