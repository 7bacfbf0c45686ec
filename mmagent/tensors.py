"""Tensors in files: safetensors only, and a module is filled completely or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mmagent.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn


def read_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU. Raises `UserError` if it is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except FileNotFoundError as error:
        raise UserError(f"there is no {file}. Restore the file or fetch the bundle again.") from error
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{file} is no readable safetensors file: {error}. Fetch the bundle again."
        ) from error


def write_tensors(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors; each is copied first, so that shared or strided memory is no obstacle.

    Raises OSError where the disk refuses, as every other writer does.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    own = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    try:
        save_file(own, file)
    except SafetensorError as error:  # a full disk is one, and no OSError
        raise OSError(str(error)) from error


def load_strictly(module: nn.Module, file: Path) -> None:
    """Fill a module from a safetensors file; every name and shape must agree, else `UserError`."""
    found = read_tensors(file)
    wanted = module.state_dict()
    shared = sorted(found.keys() & wanted.keys())
    problems = {
        "missing": sorted(wanted.keys() - found.keys()),
        "unexpected": sorted(found.keys() - wanted.keys()),
        "of another shape": [
            f"{name} {tuple(found[name].shape)} for {tuple(wanted[name].shape)}"
            for name in shared
            if found[name].shape != wanted[name].shape
        ],
    }
    said = [f"{len(names)} {kind} ({_some(names)})" for kind, names in problems.items() if names]
    if said:
        raise UserError(
            f"the tensors in {file} do not fit: {', '.join(said)}. "
            "The settings, the encoder and the core must be those they were trained with."
        )
    module.load_state_dict(found, strict=True)


def _some(names: list[str], limit: int = 3) -> str:
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")
