"""Families that let the core bend: peft's LoRA and (IA)^3, built into a frozen core.

`lora` adds a product of two thin matrices to linear maps, W x + (alpha / r) B A x, with B = 0 at the start
(Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", section 4.1). `ia3` multiplies keys,
values and the inside of the feed-forward layers by learned vectors that start at one (Liu et al. 2022,
"Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning", section 3.3). So a
fresh adapter of either changes nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn

from mmagent.errors import UserError, did_you_mean
from mmagent_adapters.settings import settings

ADAPTER = "default"  # peft's name for the one adapter there is


class PeftAdapter(nn.Module):
    """The tensors that peft put into a core, as one module: each by the path of the layer it stands in.

    The tree of modules below it mirrors the core's and holds the very parameters, so what is loaded into them
    here is used there, and their state is that of the adapter alone.
    """

    def __init__(self, tuner: Any, config: dict[str, Any]) -> None:
        super().__init__()
        self.config = config
        self._held = (tuner,)  # in a tuple: the core is no part of this module
        self._inside = [part for layer in self._layers().values() for part in _parts(layer)]
        for path, layer in self._layers().items():
            for name, parameter in layer.named_parameters():
                if not name.startswith("base_layer."):
                    own = [piece for piece in name.split(".") if piece != ADAPTER]
                    _hang(self, [*path.split("."), *own], parameter)
        self.float()  # full precision, whatever the core computes in

    def train(self, mode: bool = True) -> PeftAdapter:
        """Training mode for what stands inside of the core; the core's own layers are left as they are."""
        super().train(mode)
        for part in self._inside:
            part.training = mode
        return self

    def merge(self) -> None:
        """Fold the adapter into the core's weights and take it out.

        Raises `UserError` where the result is no number, or the weights are of a kind that holds no sum.
        """
        quantised = [type(layer.base_layer).__name__ for layer in self._layers().values() if _packed(layer)]
        if quantised:
            raise UserError(
                f"the adapter cannot be merged into quantised weights ({quantised[0]}). Load the core in "
                "float32, bfloat16 or float16."
            )
        with _plainly("merged", "Train it anew."):
            self._held[0].merge_and_unload(safe_merge=True)

    def remove(self) -> None:
        """Take the adapter out of the core, which is then as it was."""
        with _plainly("taken out", "Load the core anew."):
            self._held[0].unload()

    def _layers(self) -> dict[str, Any]:
        """peft's layers in the core, by path."""
        from peft.tuners.tuners_utils import BaseTunerLayer

        found = self._held[0].model.named_modules()
        return {path: module for path, module in found if isinstance(module, BaseTunerLayer)}


def build_lora(config: Mapping[str, Any], model: nn.Module) -> PeftAdapter:
    """LoRA in a core; settings: r (8), alpha (16), dropout (0), targets (names of linear layers).

    Without targets: those that peft lists for the architecture, else all linear layers of the decoder blocks.
    Raises `UserError`.
    """
    peft = _peft("lora")
    full = settings("lora", config, {"r": 8, "alpha": 16, "dropout": 0.0}, names=("targets",))
    known = peft.utils.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
    targets, paths = _targets("lora", full["targets"], known, model)
    with _plainly("built into this core", "Name other targets."):
        wanted = peft.LoraConfig(
            r=full["r"],
            lora_alpha=full["alpha"],
            lora_dropout=full["dropout"],
            target_modules=paths,
            fan_in_fan_out=_transposed(model, paths),
        )
        return PeftAdapter(peft.LoraModel(model, wanted, ADAPTER), {**full, "targets": targets})


def build_ia3(config: Mapping[str, Any], model: nn.Module) -> PeftAdapter:
    """(IA)^3 in a core; settings: targets (names of linear layers), feedforward (those scaled at the input).

    Without them: those that peft lists for the architecture, else all linear layers of the decoder blocks, at
    their output. Raises `UserError`.
    """
    peft = _peft("ia3")
    full = settings("ia3", config, {}, names=("targets", "feedforward"))
    utils = peft.utils
    known = utils.TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING
    targets, paths = _targets("ia3", full["targets"], known, model)
    inner = full["feedforward"]
    if inner is None:
        listed = utils.TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING.get(_kind(model), ())
        inner = [name for name in listed if name in targets]
    strange = [name for name in inner if name not in targets]
    if strange:
        raise UserError(
            f"adapter family 'ia3': feedforward names {strange[0]!r}, which is none of the targets "
            f"({', '.join(targets)})."
        )
    with _plainly("built into this core", "Name other targets."):
        wanted = peft.IA3Config(
            target_modules=paths,
            feedforward_modules=[path for path in paths if any(_is(path, name) for name in inner)],
            fan_in_fan_out=_transposed(model, paths),
        )
        return PeftAdapter(peft.IA3Model(model, wanted, ADAPTER), {"targets": targets, "feedforward": inner})


def _peft(family: str) -> Any:
    """peft, with its mappings; imported here, for it takes a second."""
    try:
        import peft
        import peft.utils
    except ImportError as error:
        raise UserError(
            f"the adapter family {family!r} needs peft, which is not installed ({error}). "
            "Install it: pip install 'mmagent[train]'."
        ) from error
    return peft


def _targets(
    family: str, names: list[str] | None, known: Mapping[str, Any], model: nn.Module
) -> tuple[list[str], list[str]]:
    """The names of the layers to bend, and the paths of all layers of these names."""
    linear = _linear(model)
    if names is None:
        listed = known.get(_kind(model))
        fits = isinstance(listed, list) and all(any(_is(path, name) for path in linear) for name in listed)
        names = list(listed or ()) if fits else _in_blocks(model, linear)
    there = sorted({path.rpartition(".")[2] for path in linear})
    for name in names:
        if not any(_is(path, name) for path in linear):
            raise UserError(
                f"adapter family {family!r}: the core has no linear layer called {name!r}. "
                f"It has: {', '.join(there)}.{did_you_mean(name, there)}"
            )
        if name.rpartition(".")[2] in _read_past(model):
            raise UserError(
                f"adapter family {family!r}: {_kind(model)} takes the weights of {name!r} past any adapter, "
                "so one there would do nothing. Leave it out of the targets."
            )
    if not names:
        raise UserError(f"adapter family {family!r}: the core has no linear layer that could bend.")
    paths = [path for path in linear if any(_is(path, name) for name in names)]
    tied = _shared(model, paths)
    if tied:
        raise UserError(
            f"adapter family {family!r}: {tied} has the weights of another layer, too (tied embeddings), so "
            "it cannot bend alone. Leave it out of the targets."
        )
    return names, paths


def _linear(model: nn.Module) -> dict[str, nn.Module]:
    """Linear layers by path; transformers' Conv1D (GPT-2) is one with its matrix transposed."""
    from transformers.pytorch_utils import Conv1D

    return {path: module for path, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D)}


def _in_blocks(model: nn.Module, linear: Mapping[str, nn.Module]) -> list[str]:
    """The last names of all linear layers in the decoder blocks: the longest list of modules with such."""
    lists = [path for path, module in model.named_modules() if isinstance(module, nn.ModuleList)]
    inside = {block: [path for path in linear if path.startswith(f"{block}.")] for block in lists}
    blocks = max(inside, key=lambda block: len(inside[block]), default=None)
    found = inside[blocks] if blocks is not None else []
    read_past = _read_past(model)
    return [
        name for name in dict.fromkeys(path.rpartition(".")[2] for path in found) if name not in read_past
    ]


def _read_past(model: nn.Module) -> Sequence[str]:
    """Layers whose weights the architecture takes for itself, so that nothing around them would be called.

    State-space kernels do so with these; peft refuses the first two.
    """
    state_space = ("falcon_h1", "mamba", "mamba2", "falcon_mamba", "nemotron_h")
    return ("out_proj", "conv1d", "dt_proj") if _kind(model) in state_space else ()


def _kind(model: nn.Module) -> str:
    """The architecture, as transformers calls it."""
    config: Any = model.config
    return str(config.get_text_config(decoder=True).model_type)


def _is(path: str, name: str) -> bool:
    """Whether a layer's path ends in a name, as peft reads target modules."""
    return path == name or path.endswith(f".{name}")


def _shared(model: nn.Module, paths: Sequence[str]) -> str | None:
    """The first of these layers whose matrix another module has as well."""
    owners: dict[int, int] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            owners[id(parameter)] = owners.get(id(parameter), 0) + 1
    matrices = ((path, model.get_submodule(path).weight) for path in paths)
    return next((path for path, weight in matrices if owners[id(weight)] > 1), None)


def _transposed(model: nn.Module, paths: Sequence[str]) -> bool:
    return not isinstance(model.get_submodule(paths[0]), nn.Linear)


def _packed(layer: Any) -> bool:
    """Whether the weights below a layer are quantised, so that nothing can be added to them."""
    weight = layer.get_base_layer().weight
    return not weight.is_floating_point()


def _parts(layer: nn.Module) -> Iterator[nn.Module]:
    """A layer of peft's and what it brought, without the core's layer that it stands around."""
    yield layer
    for name, child in layer.named_children():
        if name != "base_layer":
            yield from child.modules()


def _hang(root: nn.Module, path: Sequence[str], parameter: nn.Parameter) -> None:
    """Put a parameter into a tree of modules at a path."""
    node = root
    for piece in path[:-1]:
        if piece not in node._modules:
            node.add_module(piece, nn.Module())
        node = node._modules[piece]  # type: ignore[assignment]
    node.register_parameter(path[-1], parameter)


@contextmanager
def _plainly(done: str, advice: str) -> Iterator[None]:
    """What peft refuses, as one sentence; what it only remarks is left unsaid."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except UserError:
        raise
    except (ValueError, TypeError, NotImplementedError) as error:
        said = " ".join(str(error).split())
        raise UserError(f"the adapter cannot be {done}: {said:.200} {advice}") from error
