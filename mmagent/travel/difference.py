"""What two bundles differ in: core, encoders, adapters, weights, memory, calibration, scores.

Settings are compared by value, files by hash; where weights differ, tensor by tensor, by their largest
absolute difference.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmagent.bundle import CARD, Bundle
from mmagent.errors import UserError
from mmagent.manifest import MANIFEST

if TYPE_CHECKING:
    from torch import Tensor

ABOUT = ("name", "version", "description", "licence")
PIECE = 1 << 22  # numbers compared at once, so that a large tensor needs no second copy in double precision

__all__ = ["Difference", "diff_bundles"]


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same.

    part     about, core, encoder, adapter, memory, prompts, calibration, scores, weights, files or card
    name     a setting or a file
    a, b     what either bundle has; None where it has none
    largest  the largest absolute difference of the numbers, for weights of one shape
    tensor   the tensor of the file, where it is about one
    """

    part: str
    name: str
    a: Any
    b: Any
    largest: float | None = None
    tensor: str | None = None


def diff_bundles(a: Bundle, b: Bundle) -> list[Difference]:
    """Everything that two bundles differ in, settings first; nothing where they are the same.

    Raises `UserError` where weights cannot be read.
    """
    return [*_settings(a, b), *_files(a, b), *_cards(a, b)]


def _settings(a: Bundle, b: Bundle) -> Iterator[Difference]:
    """What the manifests say, the files excepted."""
    one, other = (dict(_leaves(_manifest(bundle))) for bundle in (a, b))
    for path in [*one, *(path for path in other if path not in one)]:
        left, right = one.get(path), other.get(path)
        if left != right or type(left) is not type(right):
            part, name = _part(path)
            yield Difference(part, name, left, right)


def _manifest(bundle: Bundle) -> dict[str, Any]:
    raw: dict[str, Any] = json.loads((bundle.path / MANIFEST).read_bytes())
    return {key: value for key, value in raw.items() if key not in ("files", "format")}


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value in nested objects, with the keys that lead to it."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif value is not None and value != {}:
        yield path, value


def _part(path: tuple[str, ...]) -> tuple[str, str]:
    """The part of a bundle that a setting belongs to, and the setting's name."""
    if path[0] in ABOUT:
        return "about", path[0]
    if path[0] == "senses" and len(path) > 2:
        return path[2], ".".join((path[1], *path[2:]))
    return path[0], ".".join(path[1:]) or path[0]


def _files(a: Bundle, b: Bundle) -> Iterator[Difference]:
    """Files whose hashes differ, and what differs in those that hold tensors."""
    for name in sorted(a.files.keys() | b.files.keys()):
        one, other = a.files.get(name), b.files.get(name)
        if one == other:
            continue
        weights = name.endswith(".safetensors")
        tensors = list(_tensors(name, a.path, b.path)) if weights and one and other else []
        numbers = [found.largest for found in tensors if found.largest is not None]
        yield Difference(
            "weights" if weights else "files",
            name,
            one and f"sha256 {one.sha256[:12]}",
            other and f"sha256 {other.sha256[:12]}",
            max(numbers, key=lambda number: (number != number, number)) if numbers else None,  # NaN is most
        )
        yield from tensors


def _tensors(name: str, a: Path, b: Path) -> Iterator[Difference]:
    """The tensors of two files that differ."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(a / name, "pt") as one, safe_open(b / name, "pt") as other:
            ours, theirs = set(one.keys()), set(other.keys())
            for tensor in sorted(ours | theirs):
                left = one.get_tensor(tensor) if tensor in ours else None
                right = other.get_tensor(tensor) if tensor in theirs else None
                found = _difference(name, tensor, left, right)
                if found is not None:
                    yield found
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"the weights in {name} cannot be compared: {error}. Fetch the bundle again."
        ) from error


def _difference(name: str, tensor: str, left: Tensor | None, right: Tensor | None) -> Difference | None:
    a, b = (None if side is None else _told(side) for side in (left, right))
    if left is None or right is None or left.shape != right.shape:
        return Difference("weights", name, a, b, tensor=tensor)
    largest = 0.0
    one, other = left.reshape(-1), right.reshape(-1)
    for start in range(0, len(one), PIECE):
        span = slice(start, start + PIECE)
        between = (one[span].double() - other[span].double()).abs()
        apart = float(between.where(one[span] != other[span], 0.0).max())  # also where both are infinite
        largest = apart if apart > largest or apart != apart else largest
    return (
        None
        if largest == 0 and left.dtype == right.dtype
        else Difference("weights", name, a, b, largest, tensor)
    )


def _told(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _cards(a: Bundle, b: Bundle) -> Iterator[Difference]:
    one, other = (_card(bundle) for bundle in (a, b))
    if one != other:
        yield Difference("card", CARD, _short(one), _short(other))


def _short(card: bytes | None) -> str | None:
    return None if card is None else f"sha256 {hashlib.sha256(card).hexdigest()[:12]}"


def _card(bundle: Bundle) -> bytes | None:
    file = bundle.path / CARD
    return file.read_bytes() if file.is_file() else None
