"""How to fine-tune: one dataclass; the flags of the command and the keys of a TOML file are its fields."""

from __future__ import annotations

import ast
import inspect
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from mmagent.errors import UserError, did_you_mean

__all__ = ["AUTO", "WORDS", "TrainSettings", "field_help", "from_toml"]

AUTO = -1
"""The batch size that stands for the largest that fits; `budget.settled` puts a number in its place."""
WORDS: dict[str, dict[str, int]] = {"batch_size": {"auto": AUTO}}
"""Words that stand for a number, by setting."""
KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


@dataclass(frozen=True)
class TrainSettings:
    """Settings of one fine-tuning run. What is not said here does not change the result."""

    adapter: str = "auto"
    """Family of the adapter, as `mmagent plugins` lists them, or several joined by a +, such as prefix+lora;
    auto: the one that suits the data."""
    adapter_options: str = ""
    """Settings of the family, such as "r=16 targets=q_proj,v_proj"; with two of them, "lora.r=16"."""
    epochs: float = 30.0
    """Times that every training example is seen, unless it stops early."""
    batch_size: int = 32
    """Examples per optimiser step, over all processes and parts together; auto: as many as fit in memory."""
    accumulate: int = 1
    """Parts that a step's examples are read in, one after the other; more take less memory."""
    learning_rate: float = 1e-3
    """Peak of the learning rate."""
    warmup: float = 0.1
    """Share of all steps over which the learning rate rises to its peak; after it, a cosine to nothing."""
    contrast: float = 0.0
    """Weight of the choice loss beside the answer's own, for examples with choices: the right one against the
    others, as `ask --choices` scores them."""
    weight_decay: float = 0.01
    """Decoupled weight decay (AdamW), on matrices only."""
    clip: float = 1.0
    """Largest norm of the gradient; what is longer is shortened to it."""
    patience: int = 6
    """Validations without a better score after which training stops; 0: never early."""
    validations: int = 20
    """Validations over the whole run, evenly spaced."""
    validation_share: float = 0.2
    """Share of the examples kept for validation where the data names no validation split."""
    seed: int = 0
    """Seed of the start, the order, the validation split and dropout: the same seed, the same weights."""
    precision: str = "auto"
    """Numbers of the passes through the core: auto (as it was loaded), fp32, bf16 or fp16."""
    checkpointing: bool = False
    """Keep less of each layer and compute it anew in the backward pass: less memory, more time."""
    augment: bool = False
    """Vary the examples at random in every step, as their modality does; features are then not cached."""
    modality_dropout: float = 0.3
    """Chance of each sense of a row to be missing in a step, where rows have several; one is always left."""
    keep: bool = True
    """Start from the bundle's own adapter where it is of this family and shape; else from fresh weights."""
    tune_keys: bool = False
    """Fine-tune the keys of a memory (Tip-Adapter-F); otherwise the examples are remembered as they are."""
    key_epochs: int = 20
    """Times that every example is seen while keys are tuned."""

    refit: bool = True
    """At the end, fit what has a closed form once more, to training and validation rows together."""

    def __post_init__(self) -> None:
        demands = {
            "epochs": (self.epochs > 0, "more than 0"),
            "batch_size": (self.batch_size >= 1 or self.batch_size == AUTO, "at least 1, or auto"),
            "accumulate": (
                self.accumulate >= 1 and self.batch_size in (AUTO, max(self.accumulate, self.batch_size)),
                "from 1 to the batch size",
            ),
            "learning_rate": (0 < self.learning_rate <= 1000, "more than 0 and at most 1000"),
            "warmup": (0 <= self.warmup <= 1, "from 0 to 1"),
            "contrast": (self.contrast >= 0, "0 or more"),
            "weight_decay": (self.weight_decay >= 0, "0 or more"),
            "clip": (self.clip > 0, "more than 0"),
            "patience": (self.patience >= 0, "0 or more"),
            "seed": (0 <= self.seed < 1 << 63, "0 or more, and of at most 63 bits"),
            "key_epochs": (self.key_epochs >= 1, "at least 1"),
            "validations": (self.validations >= 1, "at least 1"),
            "modality_dropout": (0 <= self.modality_dropout < 1, "at least 0 and below 1"),
            "precision": (self.precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}"),
            "validation_share": (0 < self.validation_share < 1, "between 0 and 1"),
        }
        for name, (good, wanted) in demands.items():
            if not good:
                raise UserError(f"{name} is {getattr(self, name)}; it must be {wanted}.")

    def as_json(self) -> dict[str, Any]:
        """The settings as plain data, in the order of the fields."""
        return asdict(self)

    def changed(self, options: Mapping[str, Any]) -> TrainSettings:
        """With other values; raises `UserError` for a name that is no setting or a value of another kind."""
        known = {field.name: field for field in fields(self)}
        options = {name: _number(name, value) for name, value in options.items()}
        for name, value in options.items():
            if name not in known:
                raise UserError(
                    f"no setting called {name!r}. There are: {', '.join(known)}.{did_you_mean(name, known)}"
                )
            kind = type(getattr(TrainSettings, name))
            right = isinstance(value, int | float) if kind is float else isinstance(value, kind)
            if not right or (isinstance(value, bool) and kind is not bool):
                words = " or ".join([KINDS[kind], *WORDS.get(name, {})])
                raise UserError(f"{name} is {value!r}; it must be {words}.")
        return replace(self, **options)


def from_toml(file: str | Path, base: TrainSettings | None = None) -> TrainSettings:
    """Settings from a TOML file over `base`. Raises `UserError` naming the file."""
    try:
        found = tomllib.loads(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read the settings in {file}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is not TOML: {error}.") from error
    try:
        return (base or TrainSettings()).changed(found)
    except UserError as error:
        raise UserError(f"{file}: {error}") from error


def _number(name: str, value: Any) -> Any:
    """The number that a word stands for; other values as they are."""
    return WORDS.get(name, {}).get(value, value) if isinstance(value, str) else value


@cache
def field_help() -> dict[str, str]:
    """What each setting means, in one line: the text under the field."""
    body = next(
        node for node in ast.parse(inspect.getsource(TrainSettings)).body if isinstance(node, ast.ClassDef)
    ).body
    out: dict[str, str] = {}
    for node, after in pairwise(body):
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            out[node.target.id] = " ".join(str(after.value.value).split())
    return out
