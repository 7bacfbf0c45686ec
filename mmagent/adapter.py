"""What an adapter family is: a way to carry features into the core that a plugin can add.

A plugin registers one light `AdapterFamily`; the function it names by dotted path builds the module when a
bundle asks for the family.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mmagent.memory import MemorySettings


@dataclass(frozen=True)
class AdapterFamily:
    """One family of adapters, as a plugin announces it.

    name   the word a bundle names it by, such as `prefix`
    help   one line for people
    build  dotted path `package.module:function` of a `Build`, imported on first use
    per_feature  whether its settings need `n_features`, the number of features of one input
    remembers    whether it trains nothing and keeps the labelled examples as shots: `build` is a `KeySpaces`
    """

    name: str
    help: str
    build: str
    per_feature: bool = False
    remembers: bool = False


class Adapter(Protocol):
    """The trained part; an `nn.Module`, so that its state is a dictionary of tensors."""

    n_tokens: int
    config: dict[str, Any]

    def __call__(self, values: Tensor, mask: Tensor, pooled: Tensor) -> Tensor:
        """(B, n, d_encoder), (B, n) bool and (B, d_encoder) to soft tokens (B, n_tokens, d_core)."""


class Build(Protocol):
    """What an `AdapterFamily` names: a function from a plain configuration to an adapter."""

    def __call__(self, config: Mapping[str, Any], d_encoder: int, d_core: int) -> nn.Module:
        """A new adapter. Raises `UserError` for an unknown or impossible setting."""


class KeySpaces(Protocol):
    """What an `AdapterFamily` with `remembers` names: ways to make keys of features, to choose from."""

    def __call__(self, pooled: Tensor) -> Mapping[str, MemorySettings]:
        """Settings by a word for people, each with a mean, a projection or neither.

        pooled (M, d): the features of the training media. Labels are not given, and nothing is trained.
        """
