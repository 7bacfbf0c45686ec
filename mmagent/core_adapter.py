"""The adapter that a bundle keeps for its core: built into it, filled strictly, or the user is told.

An agent whose bundle names one never answers without it, nor with another one's weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmagent.adapter import AdapterFamily
from mmagent.errors import UserError

if TYPE_CHECKING:
    from torch import nn

    from mmagent.bundle import AdapterSource, Bundle
    from mmagent.core import Core

__all__ = ["build_into", "settle", "wake"]


def build_into(
    core: Core, family: AdapterFamily, config: Mapping[str, Any], plugins: AdapterSource
) -> nn.Module:
    """Build a fresh adapter of a family into a core; frozen. Raises `UserError`."""
    if not family.into_core:
        raise UserError(
            f"the adapter family {family.name!r} is one of a sense; it cannot be built into a core. "
            "Look into the bundle.json that says so."
        )
    build = plugins.resolve(family.build)
    return core.bend(lambda model: build(config, model))


def wake(bundle: Bundle, core: Core, plugins: AdapterSource) -> None:
    """Make sure that a core has the adapter that a bundle names for it, and none else.

    A core that is bent already must be so by the very weights of the bundle; they are frozen from here on.
    Raises `UserError`.
    """
    from mmagent.tensors import load_strictly

    entry = bundle.core_adapter
    if core.adapter is None and entry is not None:
        adapter = build_into(core, bundle.family(entry, plugins), entry.config, plugins)
        try:
            load_strictly(adapter, bundle.path / entry.weights)
        except UserError:
            core.straighten()
            raise
    elif core.adapter is not None and not _same(bundle, core.adapter):
        raise UserError(
            f"the adapter that is built into the core is not that of bundle {bundle.name!r}. "
            "Load the core anew."
        )
    if core.adapter is not None:
        core.adapter.eval().requires_grad_(False)


def settle(bundle: Bundle, core: Core, plugins: AdapterSource) -> None:
    """Bring a core back to what its bundle says, whatever has been built in since. Raises `UserError`."""
    if core.adapter is not None and not _same(bundle, core.adapter):
        core.straighten()
    wake(bundle, core, plugins)


def _same(bundle: Bundle, adapter: nn.Module) -> bool:
    """Whether an adapter holds the weights that the bundle keeps, tensor by tensor."""
    import torch

    from mmagent.tensors import read_tensors

    if bundle.core_adapter is None:
        return False
    kept = read_tensors(bundle.path / bundle.core_adapter.weights)
    held = adapter.state_dict()
    return kept.keys() == held.keys() and all(
        kept[name].shape == tensor.shape and bool(torch.equal(kept[name].to(tensor), tensor))
        for name, tensor in held.items()
    )
