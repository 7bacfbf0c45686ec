"""Reading sets: any source to `Elements`, or one sentence that says why not."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmagent.asked import Asked
from mmagent.errors import UserError
from mmagent.profile import many
from mmagent.reading import read_bytes
from mmagent.sniff import starts_like
from mmagent_set import set_format
from mmagent_set.arrays import of_array, read_csv, read_npy
from mmagent_set.claims import is_statement
from mmagent_set.elements import Elements
from mmagent_set.objects import of_object, read_json
from mmagent_set.ply import read_ply

if TYPE_CHECKING:
    import torch

    from mmagent.profile import Profile
    from mmagent_set.encoder import SetEncoder

MAX_BYTES = 128 << 20
MAX_TEXT = 16 << 20  # of a text, which takes far more memory than an array
SUFFIXES = {".npy": "npy", ".ply": "ply", ".json": "JSON", ".csv": "csv", ".tsv": "csv", ".txt": "csv"}
READS = "Sets are npy of shape (N, d), csv, ply, and JSON lists of objects or points."


class SetReader:
    """The working half of the modality `set`; a raw value is `Elements`."""

    def load(self, source: object) -> Elements:
        """The set of a path, bytes, "-" (stdin), an open file, an array (N, d), a list or a dictionary.

        A dictionary holds objects, perhaps with a statement about them, or is {"bytes", "path"}. What is
        asked of a set is its statement, if it is one. Raises `UserError`.
        """
        if isinstance(source, Elements):
            return source
        if isinstance(source, Asked):
            found = self.load(source.source)
            stated = not found.statement and is_statement(source.question)
            return replace(found, statement=source.question) if stated else found
        if isinstance(source, np.ndarray):
            return of_array(source, "the array")
        if isinstance(source, Mapping) and set(source) <= {"bytes", "path"}:
            return self.load(source.get("bytes") or source.get("path"))
        if isinstance(source, Mapping | list | tuple):
            return of_object(source, "the list" if not isinstance(source, Mapping) else "the dictionary")
        data, name = read_bytes(source, "a set", most=MAX_BYTES)
        return _decoded(data, name)

    def describe(self, raw: Elements) -> str:
        """How many elements, in how many groups, of which attributes."""
        kind = "object" if raw.words else "point"
        groups = f" in {raw.n_groups:,} groups" if raw.n_groups > 1 else ""
        said = ", with a statement" if raw.statement else ""
        return f"set, {many(raw.n, kind)}{groups} of {', '.join([*raw.words, *raw.numbers][:6])}{said}"

    def fingerprint(self, raw: Elements) -> str:
        """sha256 of the elements in canonical order: a set has one, however it is written."""
        own = raw.canonical
        told = f"set {own.n} {own.n_groups} {own.downward} {own.statement}\n"
        digest = hashlib.sha256(told.encode() + own.groups.tobytes())
        for name, texts in sorted(own.words.items()):
            digest.update(f"\n{name}:".encode() + "\x1f".join(texts).encode())
        for name, values in sorted(own.numbers.items()):
            digest.update(f"\n{name}:".encode() + values.tobytes())
        return digest.hexdigest()

    @property
    def invariances(self) -> Mapping[str, Callable[[Elements, int], Elements]]:
        """What must not change a feature: the order of elements, and of groups."""
        from mmagent_set.samples import groups_turned, permuted

        return {"order of elements": permuted, "order of groups": groups_turned}

    def samples(self) -> Sequence[bytes]:
        """Some sets that the reader can be checked with."""
        from mmagent_set.samples import samples

        return samples()

    def profile(self, raw: Elements) -> Profile:
        """What the set is made of, with a scatter."""
        from mmagent_set.profile import profile

        return profile(raw)

    def load_encoder(
        self,
        location: str,
        *,
        device: torch.device,
        dtype: torch.dtype,
        trust_remote_code: bool = False,
    ) -> SetEncoder:
        """The encoder `builtin`, which needs no weights. Raises `UserError` for any other."""
        from mmagent_set.encoder import SetEncoder

        return SetEncoder.load(location, device=device, dtype=dtype)


def _decoded(data: bytes, name: str) -> Elements:
    """The set in the content of a file: what its first bytes announce, else what its suffix says."""
    suffix = Path(name).suffix.lower()
    kind = set_format(data[:4096]) or SUFFIXES.get(suffix)
    if kind is None or (kind in ("npy", "ply") and set_format(data[:4096]) != kind):
        raise UserError(f"{name} is not a set: it starts like {starts_like(data[:4096])}. {READS}")
    if len(data) > MAX_TEXT and (kind in ("JSON", "csv") or b"format ascii" in data[:200]):
        raise UserError(f"{name} is text of more than {MAX_TEXT >> 20} MiB. Save so many points as npy.")
    if kind == "npy":
        return read_npy(data, name)
    if kind == "ply":
        return read_ply(data, name)
    if kind == "JSON":
        return read_json(data, name)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{name} is not UTF-8 text (byte {error.start:,}). {READS}") from error
    if "\x00" in text[:4096]:
        raise UserError(f"{name} holds zero bytes, so it is no text. {READS}")
    return read_csv(text, name)
