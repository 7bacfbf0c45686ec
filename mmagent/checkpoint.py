"""What plugins share that load an encoder from a checkpoint: its errors in sentences, its id."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mmagent.errors import UserError
from mmagent.hub import local_only

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ENCODER_FILES", "demand_weights", "digest_config", "digest_tensors", "loading_errors"]

ENCODER_FILES = "config.json, preprocessor_config.json and model.safetensors"
UNTOLD = ("_name_or_path", "transformers_version")  # parts of a configuration that change no feature


class Digest(Protocol):
    """What hashlib makes."""

    def update(self, data: Any, /) -> None:
        """Take in bytes."""


@contextmanager
def loading_errors(
    location: str, *, files: str = ENCODER_FILES, otherwise: str = "", offline: bool | None = None
) -> Iterator[None]:
    """Raise `UserError` for whatever transformers raises while an encoder is loaded.

    files: what a directory must hold;  otherwise: what else may be given, such as "'builtin'";
    offline: whether the hub is out of reach, where that is known already (`mmagent.hub.local_only`).
    """
    from safetensors import SafetensorError

    place, instead = Path(location), f" or {otherwise}" if otherwise else ""
    if place.is_dir() and not (place / "config.json").is_file():
        raise UserError(f"{location} holds no config.json, so no encoder. Give a model directory{instead}.")
    if not place.is_dir() and (place.is_absolute() or location.startswith(".") or location.count("/") > 1):
        raise UserError(f"there is no encoder in {location}: no such directory. Check the path.")
    try:
        yield
    except SafetensorError as error:
        raise UserError(
            f"the weights in {location} are damaged: {error}. Fetch the encoder again."
        ) from error
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        if not place.is_dir() and (local_only(location) if offline is None else offline):
            raise UserError(
                f"there is no encoder {location}: no such directory, nothing of that id in the hub's cache "
                f"here, and the hub cannot be reached. Give a directory{instead}, or go online."
            ) from error
        if "trust_remote_code" in str(error):
            raise UserError(
                f"{location} brings code of its own. Pass --trust-remote-code if you trust its author."
            ) from error
        said = " ".join(str(error).split())
        raise UserError(
            f"no encoder can be loaded from {location}: {said:.300} It takes a directory or hub id with "
            f"{files}."
        ) from error


def demand_weights(location: str, **problems: Sequence[str]) -> None:
    """Refuse a checkpoint that leaves weights random: `missing=`, `unexpected=`, ... name them by problem.

    An underscore in a problem's name stands for a blank. Raises `UserError` where any are named.
    """
    said = [
        f"{len(keys)} weights {kind.replace('_', ' ')} ({', '.join(sorted(keys)[:3])})"
        for kind, keys in problems.items()
        if keys
    ]
    if said:
        raise UserError(
            f"the weights in {location} are not those its config.json describes: {'; '.join(said)}. "
            "Fetch the encoder again."
        )


def digest_config(digest: Digest, config: Mapping[str, Any]) -> None:
    """Take a configuration into a hash, without the parts that change no feature."""
    told = {key: value for key, value in config.items() if key not in UNTOLD}
    digest.update(json.dumps(told, sort_keys=True, default=str).encode())


def digest_tensors(digest: Digest, tensors: Mapping[str, Tensor]) -> None:
    """Take tensors into a hash: their names, dtypes, shapes and values, in the order of their names."""
    import torch

    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
