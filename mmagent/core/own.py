"""Which tensors of a model are the core's own, whatever is built around them later.

An adapter that goes into the core (LoRA) puts its modules around the core's, so that a tensor which was
`q_proj.weight` is then called `q_proj.base_layer.weight`. The modules themselves stay the same objects, and a
tensor belongs to the innermost module on its path; so the core's own tensors are known by whose they are, and
keep the names they had.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

__all__ = ["OwnTensors"]


class OwnTensors:
    """The modules of a model as it came, and what they hold now."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._modules = list(model.modules())  # held, so that none of their ids is given to another
        self._names: dict[int, str] = {}
        for name, module in model.named_modules(remove_duplicate=False):
            self._names.setdefault(id(module), name)

    def __call__(self) -> dict[str, Tensor]:
        """Own parameters and buffers that a checkpoint holds, by the names they came with."""
        return self._named(self._model.state_dict(keep_vars=True))

    def held(self) -> dict[str, Tensor]:
        """Those of them that the model keeps; a quantised layer makes some of its state only when asked."""
        kept: dict[str, Tensor] = {
            **dict(self._model.named_parameters(remove_duplicate=False)),
            **dict(self._model.named_buffers(remove_duplicate=False)),
        }
        saved = self._model.state_dict(keep_vars=True)
        return self._named({name: kept[name] for name in saved if name in kept})

    def _named(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Those of these tensors that are own, by the names they came with."""
        modules = dict(self._model.named_modules(remove_duplicate=False))
        found: dict[str, Tensor] = {}
        for key, tensor in tensors.items():
            path, rest = _innermost(key, modules)
            name = self._names.get(id(modules[path]))
            if name is not None:
                found[f"{name}.{rest}" if name else rest] = tensor
        return found

    def training(self) -> list[str]:
        """Names of own modules that are in training mode."""
        return [self._names[id(module)] for module in self._modules if module.training]

    def strangers(self) -> list[str]:
        """Names of modules that were built in later."""
        return [name for name, module in self._model.named_modules() if id(module) not in self._names]


def _innermost(key: str, modules: dict[str, nn.Module]) -> tuple[str, str]:
    """The longest module path that a tensor's name begins with, and what is left of the name."""
    pieces = key.split(".")
    for at in range(len(pieces) - 1, 0, -1):
        path = ".".join(pieces[:at])
        if path in modules:
            return path, ".".join(pieces[at:])
    return "", key
