"""What an adapter family is: a way to carry features into the core, or to let it bend, that a plugin can add.

A plugin registers one light `AdapterFamily`; the function it names by dotted path builds the module when a
bundle asks for the family. There are two kinds: a family of a sense makes soft tokens of an encoder's
features (`Build`); one that goes `into_core` puts trained parts into the frozen core itself
(`BuildIntoCore`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mmagent.memory import MemorySettings


@dataclass(frozen=True)
class AdapterFamily:
    """One family of adapters, as a plugin announces it.

    name   the word a bundle names it by, such as `prefix`; without a `+`, which combines families
    help   one line for people
    build  dotted path `package.module:function` of a `Build`, imported on first use
    per_feature  whether its settings need `n_features`, the number of features of one input
    per_answer   whether its settings need `answers`, the distinct answers of the data, sorted, and
                 `n_tokens`, enough for the longest of them
    fit    dotted path of a `Fit`: what of it can be fitted to labelled features at once, without the core;
           "" where there is nothing of the kind
    remembers    whether it trains nothing and keeps the labelled examples as shots: `build` is a `KeySpaces`
    into_core    whether it lets the core bend: `build` is a `BuildIntoCore` then
    of_words     whether it takes what an encoder tells in words (`mmagent.modality.TellingEncoder`), in the
                 core's embeddings (1, n, d_core), in the place of features; it makes as many soft tokens as
                 the words need
    join   dotted path of a `Join`: its adapters of several senses that learn together add up what they have
           to say (`joining`), and their settings need `joins`, the names of these senses; "" where each
           speaks for itself
    """

    name: str
    help: str
    build: str
    per_feature: bool = False
    per_answer: bool = False
    fit: str = ""
    remembers: bool = False
    into_core: bool = False
    of_words: bool = False
    join: str = ""


@dataclass(frozen=True, eq=False)
class Labelled:
    """Labelled features, as a `Fit` sees them.

    pooled   (N, d_encoder) float32, one row for each input
    answers  (N,) what is to be said of it
    spell    a text as the core's embeddings of its tokens, (n, d_core)
    rows     (N,) of which example each input is; inputs of several senses meet by it
    groups   (N,) whose each input is, where that is known: what judges a fit keeps a group on one side
    """

    pooled: Tensor
    answers: Sequence[str]
    spell: Callable[[str], Tensor]
    rows: Sequence[int] = ()
    groups: Sequence[str | None] = ()

    def only(self, places: Sequence[int]) -> Labelled:
        """Some of the inputs."""
        answers, rows = [self.answers[at] for at in places], [self.rows[at] for at in places if self.rows]
        groups = [self.groups[at] for at in places if self.groups]
        return Labelled(self.pooled[list(places)], answers, self.spell, rows, groups)


class Adapter(Protocol):
    """The trained part; an `nn.Module`, so that its state is a dictionary of tensors.

    One that says what an input may be, and how each of that is written for the core, is a
    `mmagent.supposing.Supposing` besides.

    It, or a module in it, may have a number `rate`: its own parameters learn at so many times the learning
    rate of the settings, which suits weights between features and core.
    """

    n_tokens: int
    config: dict[str, Any]

    def __call__(self, values: Tensor, mask: Tensor, pooled: Tensor) -> Tensor:
        """(B, n, d_encoder), (B, n) bool and (B, d_encoder) to soft tokens (B, n_tokens, d_core)."""


class Build(Protocol):
    """What an `AdapterFamily` names: a function from a plain configuration to an adapter."""

    def __call__(self, config: Mapping[str, Any], d_encoder: int, d_core: int) -> nn.Module:
        """A new adapter. Raises `UserError` for an unknown or impossible setting."""


class Fit(Protocol):
    """What an `AdapterFamily` may name beside `build`: the part of training that needs no gradient."""

    def __call__(self, adapter: nn.Module, rows: Labelled, *, seed: int, again: bool) -> str:
        """Fit in place, the same for the same seed; say in a few words how.

        again: gradients have trained the rest since; fit only what they never touch. Raises `UserError`.
        """


class Join(Protocol):
    """What an `AdapterFamily` may name beside `fit`: how loud each of several senses speaks."""

    def __call__(self, adapters: Mapping[str, nn.Module], rows: Mapping[str, Labelled], *, seed: int) -> str:
        """Weigh fitted adapters against each other, in place; say in a few words how. Raises `UserError`."""


class KeySpaces(Protocol):
    """What an `AdapterFamily` with `remembers` names: ways to make keys of features, to choose from."""

    def __call__(self, pooled: Tensor) -> Mapping[str, MemorySettings]:
        """Settings by a word for people, each with a mean, a projection or neither.

        pooled (M, d): the features of the training media. Labels are not given, and nothing is trained.
        """


class CoreAdapter(Protocol):
    """Trained parts inside of a core; an `nn.Module` whose parameters are those parts and nothing else.

    Its `train()` and `eval()` reach them where they stand (a dropout of theirs is active in training only).
    `config` builds the same again: what was left to the family's choice is written out in it.
    """

    config: dict[str, Any]

    def merge(self) -> None:
        """Fold the parts into the core's weights and take them out. Raises `UserError` if that cannot be."""

    def remove(self) -> None:
        """Take the parts out; the core is as it was."""


class BuildIntoCore(Protocol):
    """What an `AdapterFamily` with `into_core` names: it builds itself into a core's model, in place.

    The model's own tensors keep their values, and a fresh adapter changes none of its outputs. The same
    config builds the same shapes in the same places of the same architecture.
    """

    def __call__(self, config: Mapping[str, Any], model: nn.Module) -> nn.Module:
        """The adapter, a `CoreAdapter`. Raises `UserError` for an unknown or impossible setting."""
