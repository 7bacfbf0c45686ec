"""Reading series: any source to a `Series`, or one sentence that says why not."""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from mmagent.errors import UserError
from mmagent.reading import stdin, what_there_is
from mmagent.sniff import HEAD, starts_like
from mmagent_series.arrays import from_array, from_mapping, from_nested, read_npy
from mmagent_series.columnar import read_parquet
from mmagent_series.delimited import read_delimited
from mmagent_series.recognise import NPY, PARQUET, as_text, is_ts
from mmagent_series.series import Series
from mmagent_series.tsfile import read_ts

if TYPE_CHECKING:
    import torch

    from mmagent.modality import Encoder
    from mmagent.profile import Profile

READS = "Series are csv, tsv, npy, parquet or .ts."
MAX_BYTES = 8 << 30  # of a file; what comes through a pipe is kept in a temporary file meanwhile
PIECE = 1 << 20
_NUMBERED = re.compile(r"(.+)#(\d+)$")


class SeriesReader:
    """The working half of the modality `series`; a raw value is a `Series`."""

    def load(self, source: object) -> Series:
        """The series of a path, bytes, "-" (stdin), an open binary file, or a Python object.

        A path may end in "#3": the third series of a .ts or parquet file that holds many. Objects are numpy
        arrays (T,) or (T, C), nested lists [time][channel], tables of pandas, dictionaries {"values",
        "channels", "units", "rate"}, and {"bytes", "path"} as parquet rows have them. Raises `UserError`.
        """
        if isinstance(source, Series):
            return source
        if isinstance(source, bytes | bytearray | memoryview):
            return decode(io.BytesIO(bytes(source)), "the data")
        if isinstance(source, str | os.PathLike):
            return _of_path(os.fspath(source))
        if isinstance(source, np.ndarray):
            return from_array(source)
        if isinstance(source, Mapping):
            return self._of_mapping(source)
        if isinstance(source, Sequence):
            return from_nested(source)
        if callable(getattr(source, "read", None)):
            return decode(_spooled(source), str(getattr(source, "name", "the open file")))
        if callable(to_numpy := getattr(source, "to_numpy", None)):
            names = [str(name) for name in getattr(source, "columns", ())]
            return from_array(to_numpy(), "the table", channels=names or None)
        if hasattr(source, "__array__"):
            return from_array(np.asarray(source))
        raise UserError(
            f"a series cannot be made of a {type(source).__name__}. Give a path, bytes, '-' for standard "
            "input, a numpy array (time, channel) or a dictionary with values, channels and rate."
        )

    def _of_mapping(self, given: Mapping[Any, Any]) -> Series:
        if "values" in given:
            return from_mapping(given)
        if given.get("bytes"):
            return decode(io.BytesIO(given["bytes"]), str(given.get("path") or "the data"))
        if given.get("path"):
            return self.load(given["path"])
        raise UserError(
            f"a dictionary with {', '.join(map(repr, list(given)[:6])) or 'nothing'} is no series. Give "
            "'values' (time, channel), and 'channels', 'units' and 'rate' where they are known."
        )

    def describe(self, raw: Series) -> str:
        """Samples, channels, rate and duration."""
        channels = "1 channel" if len(raw.channels) == 1 else f"{len(raw.channels)} channels"
        told = f"series, {raw.length:,} samples of {channels}"
        if raw.rate is not None:
            told += f", {raw.rate:,.6g} Hz, {raw.seconds:,.4g} s"
        gaps = f", {raw.missing / (raw.length * len(raw.channels)):.1%} missing" if raw.missing else ""
        return told + gaps

    def fingerprint(self, raw: Series) -> str:
        """sha256 of channels, units, rate and values: the same series has the same one in every format."""
        rate = "" if raw.rate is None else f"{raw.rate:.9g}"
        digest = hashlib.sha256(f"series {raw.channels} {raw.units} {rate} {raw.length}\n".encode())
        for block in raw.blocks():
            block = np.where(np.isnan(block), np.nan, block) + 0.0  # one NaN and one zero
            digest.update(np.ascontiguousarray(block, dtype="<f8").data)
        return digest.hexdigest()

    @property
    def invariances(self) -> Mapping[str, Callable[[Series, int], Series]]:
        """What must not change a feature: padding, samples at the ends in which nothing was measured."""
        from mmagent_series.samples import padded

        return {"padding": padded}

    def samples(self) -> Sequence[bytes]:
        """Some series that the reader can be checked with."""
        from mmagent_series.samples import samples

        return samples()

    def profile(self, raw: Series) -> Profile:
        """What the series is made of."""
        from mmagent_series.profile import profile

        return profile(raw)

    def load_encoder(
        self,
        location: str,
        *,
        device: torch.device,
        dtype: torch.dtype,
        trust_remote_code: bool = False,
    ) -> Encoder:
        """`builtin`, which needs no files, or a transformers time-series model by directory or hub id.

        Raises `UserError`.
        """
        if location == "builtin":
            from mmagent_series.encoder import BuiltinEncoder

            return BuiltinEncoder(device)
        from mmagent_series.pretrained import PatchEncoder

        return PatchEncoder.load(location, device=device, dtype=dtype, trust_remote_code=trust_remote_code)


def decode(stream: IO[bytes], name: str, number: int | None = None) -> Series:
    """The series in an open file that can be read anywhere. Raises `UserError`.

    number: which of many, from 1, in a .ts or parquet file.
    """
    head = stream.read(HEAD)
    stream.seek(0)
    if not head:
        raise UserError(f"{name} is empty (0 bytes), so there is no series in it. {READS}")
    text = as_text(head)
    if head.startswith(PARQUET):
        return read_parquet(stream, name, number)
    if text is not None and is_ts(text):
        return read_ts(stream, name, number)
    if number is not None:
        raise UserError(f"{name} holds one series, so there is no #{number}. Leave it away.")
    if head.startswith(NPY):
        return read_npy(stream, name)
    like = starts_like(head)
    if text is None or not text.strip() or not like.startswith("text"):
        raise UserError(f"{name} is not a series: it starts like {like}. {READS}")
    return read_delimited(stream, name)


def _of_path(word: str) -> Series:
    if word == "-":
        return decode(_spooled(stdin()), "standard input")
    if word.startswith(("http://", "https://")):
        raise UserError(f"{word} is an address, and series are read from files. Download it first.")
    if not word:
        raise UserError("the name of the series is empty. Give a path, or '-' for standard input.")
    path, number = Path(word), None
    if (numbered := _NUMBERED.match(word)) and not _exists(path):
        path, number = Path(numbered[1]), int(numbered[2])
    stream = _opened(path)
    series = decode(stream, str(path), number)
    return series


def _opened(path: Path) -> IO[bytes]:
    """An open file. Raises `UserError` where it is missing, a directory, a device or unreadable."""
    try:
        stream = path.open("rb")
        kind = os.fstat(stream.fileno()).st_mode
        if stat.S_ISCHR(kind) or stat.S_ISBLK(kind):
            stream.close()
            raise UserError(f"{path} is a device, not a series. Give a file, or '-' for standard input.")
        return stream if stat.S_ISREG(kind) else _spooled(stream)
    except IsADirectoryError as error:
        raise UserError(f"{path} is a directory, not a series. Give one file of it.") from error
    except PermissionError as error:
        raise UserError(f"{path} may not be read: permission denied. Change its permissions.") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"there is no file {path}. {what_there_is(path)}") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}. Check the path.") from error


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _spooled(source: Any) -> IO[bytes]:
    """What an open file gives, in a temporary file; a medium inside a table is read in one piece."""
    if not callable(getattr(source, "readable", None)):
        return io.BytesIO(_bytes(source.read()))
    kept = tempfile.SpooledTemporaryFile(max_size=32 << 20)  # noqa: SIM115 (lives on)
    total = 0
    while piece := _bytes(source.read(PIECE)):
        total += len(piece)
        if total > MAX_BYTES:
            raise UserError(f"what is read has more than {MAX_BYTES >> 30} GiB. Give a part of it.")
        kept.write(piece)
    kept.seek(0)
    return kept


def _bytes(content: Any) -> bytes:
    if isinstance(content, bytes):
        return content
    raise UserError("the open file gives text, not bytes. Open it with mode 'rb'.")
