"""Senses made of another sense's inputs: a clip is pictures, so its encoder may be one of pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmagent.errors import UserError
from mmagent.plugins import load_plugins

if TYPE_CHECKING:
    import torch

    from mmagent.modality import Encoder, Reader

__all__ = ["borrowed_encoder"]


def borrowed_encoder(
    modality: str,
    location: str,
    *,
    device: torch.device,
    dtype: torch.dtype,
    trust_remote_code: bool = False,
) -> tuple[Reader, Encoder]:
    """The reader and an encoder of another modality.

    A plugin asks here instead of importing another's package. What the reader loads, such as an array, the
    encoder encodes. Raises `UserError` where no working plugin brings the modality, and what its reader does.
    """
    plugins = load_plugins()
    if modality not in plugins.modalities:
        there = ", ".join(plugins.modalities) or "none"
        raise UserError(
            f"{location} is to be loaded by the modality {modality!r}, which no plugin brings; there are: "
            f"{there}. mmagent plugins says which are out, and why."
        )
    reader: Reader = plugins.resolve(plugins.modalities[modality].reader)()
    encoder = reader.load_encoder(location, device=device, dtype=dtype, trust_remote_code=trust_remote_code)
    return reader, encoder
