"""A core that is too big for one device, spread over the processes of a run (FSDP2, Zhao et al. 2023).

Each process keeps its part of every layer; a layer is put together when a pass comes to it and let go after
it. Nothing is sent back, since nothing of the core trains; the small adapter is whole in every process. The
embeddings stay whole as well, since prompts are embedded outside of the model's own pass.

Every pass is made by all processes together. So all validate the same rows, and what is said of memory and
of the validation rows afterwards, which one process says alone, is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmagent.errors import UserError
from mmagent.training.precision import layers_of

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

    from mmagent.core import Core

__all__ = ["shard"]


def shard(core: Core, accelerator: Accelerator | None, device: torch.device) -> None:
    """Spread the layers of a core, which lies in the memory of the CPU, over all processes' devices.

    Raises `UserError` where there is one process only, or where the core is quantised.
    """
    if accelerator is None or accelerator.num_processes == 1:
        raise UserError(
            "--fsdp spreads the core over several processes, and this is one. Give --processes N, or start "
            "it with accelerate launch."
        )
    if core.load_in:
        raise UserError(f"--fsdp does not go with --load-in {core.load_in}. Take one of them.")
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (accelerator.num_processes,))
    core.embed.to(device)
    make: Any = fully_shard
    for layer in layers_of(core.model):
        make(layer, mesh=mesh, reshard_after_forward=True)
    make(core.model, mesh=mesh, reshard_after_forward=True, ignored_params=set(core.embed.parameters()))
    core.model.to(device)  # buffers, and what stays whole
    core.became_sharded(device)
