"""What trains, wherever it is: in an adapter before the core or inside of it; the same in all processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["begin_alike", "trained", "trained_by_rate"]


def trained(module: nn.Module) -> list[nn.Parameter]:
    """The parameters of a module that train, in the order of their names' registration."""
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def trained_by_rate(module: nn.Module) -> dict[float, list[nn.Parameter]]:
    """The same, by how many times the settings' learning rate they learn at: the `rate` of the part they are
    in, 1 where it has none (`mmagent.adapter.Adapter`).
    """
    found: dict[float, list[nn.Parameter]] = {}
    seen: set[int] = set()
    for part in module.modules():
        for parameter in part.parameters(recurse=False):
            if parameter.requires_grad and id(parameter) not in seen:
                seen.add(id(parameter))
                found.setdefault(float(getattr(part, "rate", 1.0)), []).append(parameter)
    return found


@torch.no_grad()
def begin_alike(module: nn.Module, accelerator: Accelerator) -> None:
    """Give every process the first one's weights, of what trains and of its buffers."""
    if accelerator.num_processes == 1:
        return
    from accelerate.utils import broadcast

    for tensor in (*trained(module), *module.buffers()):
        tensor.copy_(broadcast(tensor.detach().clone(), from_process=0))
