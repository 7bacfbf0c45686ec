"""Batch norms folded into the convolutions before them: a frozen encoder computes the same with fewer steps.

A batch norm in eval mode is a scale and a shift per channel, and so is a part of the convolution that feeds
it (Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", section 3.2). Which convolution feeds which is seen in one forward pass, so any model is served;
a second pass checks that nothing changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

TOLERANCE = 1e-4  # of the largest value of the output


@dataclass(frozen=True)
class _Pair:
    """A convolution and the batch norm that alone reads its output."""

    convolution: nn.Conv2d
    norm: nn.BatchNorm2d
    norm_name: str


@torch.no_grad()
def fold_batch_norms(model: nn.Module, inputs: Mapping[str, Tensor]) -> int:
    """Fold in place what can be folded; how many batch norms that were.

    model: in eval mode, float32 (in fewer digits the rounding would show). inputs: any that it takes. Where
    the output for them moves by more than rounding, everything is put back and nothing is folded.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        return 0
    if any(parameter.dtype != torch.float32 for parameter in model.parameters()):
        return 0
    with _watched(model) as pairs:
        before = _hidden(model, inputs)
    kept = [(pair, pair.convolution.weight, pair.convolution.bias) for pair in pairs]
    for pair in pairs:
        norm, convolution = pair.norm, pair.convolution
        convolution.weight, convolution.bias = fuse_conv_bn_weights(
            convolution.weight,
            convolution.bias,
            norm.running_mean,  # type: ignore[arg-type]
            norm.running_var,  # type: ignore[arg-type]
            norm.eps,
            norm.weight,
            norm.bias,
        )
        convolution.requires_grad_(False)
        model.set_submodule(pair.norm_name, nn.Identity())
    if torch.allclose(_hidden(model, inputs), before, rtol=0, atol=TOLERANCE * float(before.abs().max())):
        return len(pairs)
    for pair, weight, bias in kept:
        pair.convolution.weight, pair.convolution.bias = weight, bias
        model.set_submodule(pair.norm_name, pair.norm)
    return 0


@torch.no_grad()
def rectify_in_place(model: nn.Module, inputs: Mapping[str, Tensor]) -> int:
    """Have rectifiers overwrite what they read, which spares a CPU the fresh memory; how many do.

    model: in eval mode, for inference alone. inputs: any that it takes. Where something else reads what a
    rectifier has overwritten, the output for them moves, and everything is put back.
    """
    found = [one for one in model.modules() if isinstance(one, nn.ReLU | nn.ReLU6) and not one.inplace]
    before = _hidden(model, inputs)
    for one in found:
        one.inplace = True
    if torch.equal(_hidden(model, inputs), before):
        return len(found)
    for one in found:
        one.inplace = False
    return 0


def _hidden(model: Any, inputs: Mapping[str, Tensor]) -> Tensor:
    hidden: Tensor = model(**inputs).last_hidden_state
    return hidden


@contextmanager
def _watched(model: nn.Module) -> Iterator[list[_Pair]]:
    """Filled, after a forward pass inside, with the pairs whose modules ran once and one after the other."""
    made: dict[int, tuple[nn.Conv2d, Tensor]] = {}  # outputs are held, so that no id is given twice
    ran: Counter[nn.Module] = Counter()
    read: Counter[int] = Counter()
    seen: list[tuple[int, str, nn.BatchNorm2d]] = []
    hooks = []

    def look_at(name: str) -> Any:
        def before(module: nn.Module, arguments: tuple[Any, ...]) -> None:
            ran[module] += 1
            if arguments and id(arguments[0]) in made and not list(module.children()):
                read[id(arguments[0])] += 1
                if isinstance(module, nn.BatchNorm2d) and module.track_running_stats:
                    seen.append((id(arguments[0]), name, module))

        return before

    def after(module: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            made[id(output)] = (module, output)

    for name, module in model.named_modules():
        hooks += [module.register_forward_pre_hook(look_at(name)), module.register_forward_hook(after)]
    pairs: list[_Pair] = []
    try:
        yield pairs
    finally:
        for hook in hooks:
            hook.remove()
    for output, name, norm in seen:
        convolution = made[output][0]
        if ran[convolution] == 1 and ran[norm] == 1 and read[output] == 1:
            pairs.append(_Pair(convolution, norm, name))
