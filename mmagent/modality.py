"""What a modality is: a kind of input that is read from files and encoded into features.

A plugin registers one light `Modality`, which only describes; the `Reader` it names by dotted path does the
work and is imported when the first input of that kind arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mmagent.profile import Profile


@dataclass(frozen=True)
class Modality:
    """One kind of input, as a plugin announces it.

    name        gives the option `--image` and the keyword `image=`; a lower-case identifier
    help        one line for `--help`
    reader      dotted path `package.module:Class` of the `Reader`, imported on first use
    extensions  file suffixes, lower case with the dot; used to find files in folders, never to trust one
    sniff       whether the first 4096 bytes of a file are of this kind
    encoder     what `Reader.load_encoder` is given where neither bundle nor user names an encoder, such as
                `builtin`; "" where the modality has none of its own
    asked       whether its reader also takes `mmagent.asked.Asked`, a source and what is asked of it, so that
                its features may depend on the question
    written     whether a text is itself such an input, written out, as the SMILES of a molecule are; None
                where every text is a path
    """

    name: str
    help: str
    reader: str
    extensions: tuple[str, ...]
    sniff: Callable[[bytes], bool]
    encoder: str = ""
    asked: bool = False
    written: Callable[[str], bool] | None = None

    def source(self, text: str, base: Path) -> Path | str:
        """What a text in a row means: a path below `base` or, where no file is there, the input itself."""
        path = base / text
        if self.written is not None and not _is_there(path) and self.written(text):
            return text
        return path


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file can have
        return False


@dataclass
class Features:
    """What an encoder makes of a batch of B inputs; float32 on the encoder's device.

    values  (B, n, d_encoder), zero where the mask is False
    mask    (B, n) bool, True where a feature is real
    pooled  (B, d_encoder), one vector per input
    """

    values: Tensor
    mask: Tensor
    pooled: Tensor


class Encoder(Protocol):
    """A frozen network from raw inputs to features."""

    @property
    def d_encoder(self) -> int:
        """Width of a feature."""

    @property
    def id(self) -> str:
        """sha256 over weights, configuration and transform: equal ids give equal features."""

    def encode(self, batch: Sequence[Any]) -> Features:
        """Features of a batch of raw values as `Reader.load` returned them; batched equals single."""


class TellingEncoder(Encoder, Protocol):
    """An encoder that can also say in words what it found, such as the cells that answer; no encoder must.

    Its words stand in the prompt, in the core's own embeddings, where its sense has no adapter, and as the
    adapter makes them where that takes words (`AdapterFamily.of_words`).
    """

    def tell(self, batch: Sequence[Any]) -> Sequence[str]:
        """What there is to say of each raw value, "" for nothing."""


class AnsweringEncoder(TellingEncoder, Protocol):
    """One whose words are the answer itself, and not what an answer is made from; no encoder must.

    The core is helped to spell them as they were told (`mmagent.copying`).
    """

    def answer(self, batch: Sequence[Any]) -> Sequence[tuple[str, float]]:
        """What `tell` says of each raw value, and how probable it is that it is right, 0 to 1."""


class Reader(Protocol):
    """The working half of a modality; made without arguments."""

    def load(self, source: object) -> Any:
        """The raw value of a path, bytes, an open file, "-" (stdin) or an object. Raises `UserError`."""

    def describe(self, raw: Any) -> str:
        """One line for people about a raw value."""

    def fingerprint(self, raw: Any) -> str:
        """sha256 of the decoded content: the same input in another file format has the same fingerprint."""

    def load_encoder(
        self,
        location: str,
        *,
        device: torch.device,
        dtype: torch.dtype,
        trust_remote_code: bool = False,
    ) -> Encoder:
        """The frozen encoder kept in a directory or under a hub id. Raises `UserError`."""


class VaryingReader(Reader, Protocol):
    """A reader that can also vary what it reads, for training with random augmentation; no reader must."""

    def vary(self, raw: Any, seed: int) -> Any:
        """Another raw value that means the same; equal seeds give equal values."""


class CheckedReader(Reader, Protocol):
    """A reader that also says what it can be checked with (`mmagent plugins check`); no reader must.

    Either may stand without the other.
    """

    @property
    def invariances(self) -> Mapping[str, Callable[[Any, int], Any]]:
        """What must not change a feature: by a name for people, a function of a raw value and a seed.

        A set: {"order": shuffled}; a graph: {"names of nodes": relabelled}; a series: {"padding": padded}.
        """

    def samples(self) -> Sequence[object]:
        """Some sources that `load` reads, unlike each other, the same in every call."""


class ProfilingReader(Reader, Protocol):
    """A reader that can also say what is in an input; `mmagent inspect` shows it."""

    def profile(self, raw: Any) -> Profile:
        """What a raw value is made of, in memory that does not grow with it."""
