"""How training passes through the core: in which numbers, and what of it is kept or computed anew.

The adapter and the optimiser stay in float32; autocast is for the core alone. With fp16, whose smallest
number is 6e-8, the loss is scaled up before the backward pass and the gradients down after it (Micikevicius
et al. 2018, section 3.2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmagent.errors import UserError

if TYPE_CHECKING:
    from mmagent.core import Core
    from mmagent.training.settings import TrainSettings

__all__ = ["Passes", "layers_of", "recomputed"]

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Passes:
    """How passes through the core are made.

    autocast   the dtype of its products; None: that of its weights
    scaler     scales the loss, with fp16 only
    recompute  keep of each layer only what goes in, and compute the rest anew in the backward pass
    """

    autocast: torch.dtype | None = None
    scaler: torch.amp.GradScaler | None = None
    recompute: bool = False

    @classmethod
    def of(cls, settings: TrainSettings, core: Core) -> Passes:
        """What the settings ask for. Raises `UserError` where this core or its device cannot do it."""
        wanted = settings.precision
        if wanted == "fp16":
            demand_fp16(core.device)
        if wanted == "fp32" and core.dtype is not torch.float32:
            name = str(core.dtype).removeprefix("torch.")
            raise UserError(f"precision is fp32, and the core was loaded in {name}. Give --dtype float32.")
        if settings.checkpointing:
            layers_of(core.model)
        autocast = DTYPES.get(wanted)
        small = autocast or core.dtype
        scaler = torch.amp.GradScaler(core.device.type) if small is torch.float16 else None
        return cls(None if autocast is core.dtype else autocast, scaler, settings.checkpointing)

    @contextmanager
    def through(self, core: Core) -> Iterator[None]:
        """Make the passes through the core inside in this way."""
        with ExitStack() as stack:
            if self.autocast is not None:
                stack.enter_context(torch.autocast(core.device.type, self.autocast))
            if self.recompute and torch.is_grad_enabled():
                stack.enter_context(recomputed(layers_of(core.model)))
            yield

    def backward(self, loss: Tensor) -> None:
        """Add the loss's gradients to those there are, scaled where there is a scaler."""
        (self.scaler.scale(loss) if self.scaler else loss).backward()  # type: ignore[no-untyped-call]

    def step(self, optimiser: torch.optim.Optimizer, trained: Sequence[nn.Parameter], clip: float) -> None:
        """Clip the gradients and take the optimiser's step; with a scaler, none where one is infinite."""
        if self.scaler is None:
            nn.utils.clip_grad_norm_(trained, clip)
            optimiser.step()
            return
        self.scaler.unscale_(optimiser)
        nn.utils.clip_grad_norm_(trained, clip)
        self.scaler.step(optimiser)
        self.scaler.update()

    def state(self) -> dict[str, Any]:
        """What a run needs to go on as it would have."""
        return dict(self.scaler.state_dict()) if self.scaler else {}

    def take(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        if self.scaler is not None and state:
            self.scaler.load_state_dict(dict(state))


def demand_fp16(device: torch.device) -> None:
    """Raise `UserError` on a device that does not train in fp16."""
    if device.type == "cpu":
        raise UserError("precision is fp16, which is not trained in on a CPU. Take bf16, fp32 or auto.")


def layers_of(model: nn.Module) -> list[nn.Module]:
    """The layers of a transformers model that can be computed anew. Raises `UserError` where it has none."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    found: list[nn.Module] = [one for one in model.modules() if isinstance(one, GradientCheckpointingLayer)]
    if not found:
        raise UserError(
            f"{type(model).__name__} has no layers that transformers can compute anew. Leave out "
            "--checkpointing; --accumulate saves memory too."
        )
    return found


@contextmanager
def recomputed(layers: Sequence[nn.Module]) -> Iterator[None]:
    """These layers keep only what goes in, and are computed anew in the backward pass.

    transformers does this in training mode only, and a core is in `eval()` for good. The attribute of the
    layer wins over its class's method, and stands inside the hooks of a sharded layer, as it must.
    """
    from mmagent.core.lastblock import running_whole_blocks

    try:
        for layer in layers:
            layer.forward = _anew(layer.forward)
        with running_whole_blocks():
            yield
    finally:
        for layer in layers:
            layer.__dict__.pop("forward", None)


def _anew(forward: Any) -> Any:
    def call(*arguments: Any, **options: Any) -> Any:
        return checkpoint(forward, *arguments, use_reentrant=False, **options)

    return call
