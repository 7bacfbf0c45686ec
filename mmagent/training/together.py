"""Several processes that train one adapter: they begin with the same weights and add up their gradients.

One all-reduce of all trained gradients, after the last backward pass of a step, wherever the trained tensors
are: in an adapter before the core or inside of it. Every process joins in every step, also one that had no
row of it, so none waits for a number that another alone decides on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["begin_alike", "sum_gradients", "trained"]


def trained(module: nn.Module) -> list[nn.Parameter]:
    """The parameters of a module that train, in the order of their names' registration."""
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


@torch.no_grad()
def begin_alike(module: nn.Module, accelerator: Accelerator) -> None:
    """Give every process the first one's weights, of what trains and of its buffers."""
    if accelerator.num_processes == 1:
        return
    from accelerate.utils import broadcast

    for tensor in (*trained(module), *module.buffers()):
        tensor.copy_(broadcast(tensor.detach().clone(), from_process=0))


@torch.no_grad()
def sum_gradients(parameters: Iterable[nn.Parameter], accelerator: Accelerator) -> None:
    """Replace each gradient by its sum over all processes, by one collective call over one fp32 vector.

    A process without a gradient adds zeros; a parameter that has one in no process has none afterwards, as
    in one process. The sum is the same bits in every process.
    """
    if accelerator.num_processes == 1:
        return
    whole = list(parameters)
    there = torch.tensor([float(p.grad is not None) for p in whole], device=accelerator.device)
    own = [torch.zeros_like(p) if p.grad is None else p.grad for p in whole]
    flat: Tensor = torch.cat([there, *(gradient.float().flatten() for gradient in own)])
    flat = accelerator.reduce(flat, reduction="sum")
    at = len(whole)
    for number, parameter in enumerate(whole):
        part = flat[at : at + parameter.numel()].view_as(parameter).to(parameter.dtype)
        parameter.grad = part if flat[number] > 0 else None
        at += parameter.numel()
