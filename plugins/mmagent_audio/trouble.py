"""What transformers raises for a bad checkpoint, as one sentence about the place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmagent.errors import UserError
from mmagent.hub import local_only

__all__ = ["as_user_errors"]


@contextmanager
def as_user_errors(location: str) -> Iterator[None]:
    """Raise `UserError` for whatever goes wrong while an encoder is loaded."""
    from safetensors import SafetensorError

    place = Path(location)
    if not place.is_dir() and (place.is_absolute() or location.startswith(".") or location.count("/") > 1):
        raise UserError(f"there is no encoder in {location}: no such directory. Check the path.")
    try:
        yield
    except SafetensorError as error:
        raise UserError(
            f"the weights in {location} are damaged: {error}. Fetch the encoder again."
        ) from error
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        if not place.is_dir() and local_only(location):
            raise UserError(
                f"there is no encoder {location}: no such directory, nothing of that id in the hub's cache "
                "here, and the hub cannot be reached. Give a directory, or go online."
            ) from error
        if "trust_remote_code" in str(error):
            raise UserError(
                f"{location} brings code of its own. Pass --trust-remote-code if you trust its author."
            ) from error
        said = " ".join(str(error).split())
        raise UserError(
            f"no encoder can be loaded from {location}: {said:.300} It takes a directory or hub id with "
            "config.json, preprocessor_config.json and model.safetensors."
        ) from error
