"""How an adapter begins: which family, from whose weights, and what of it is fitted before the first step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from mmagent.errors import UserError, did_you_mean
from mmagent.training.families import AUTO

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mmagent.adapter import AdapterFamily, Labelled
    from mmagent.agent import Agent
    from mmagent.core import Core
    from mmagent.data import Example
    from mmagent.feature_cache import CachedFeatures
    from mmagent.modality import Encoder
    from mmagent.training.settings import TrainSettings

__all__ = ["Start", "begin", "choose_family", "fit_again", "labelled"]

LONGEST = 16  # soft tokens at most for one answer
SHORTEST = 4
CHUNK = 256


@dataclass(frozen=True, eq=False)
class Start:
    """An adapter before its first step.

    began_as  "the bundle's own adapter" or "fresh weights", and what was fitted
    """

    family: str
    adapter: nn.Module
    began_as: str


def choose_family(
    agent: Agent, sense: str, examples: Sequence[Example], *, own_encoder: bool
) -> tuple[str, str]:
    """The family for data that name none, and why.

    One question asked of all, and each answer given to two inputs or more: a probe over the answers
    (`concepts`) learns most from few rows. Else the bundle's own family goes on learning, if the encoder is
    its own; a fresh `prefix` serves the rest.
    """
    families = agent.plugins.adapters
    questions = {example.question for example in examples}
    answers = {example.answer for example in examples}
    alone = all(len(example.media.get(sense, ())) == 1 for example in examples)
    if len(questions) == 1 and alone and 2 <= len(answers) <= len(examples) / 2 and "concepts" in families:
        return "concepts", f"one question, {len(answers)} answers that come again and again"
    entry = agent.bundle.senses[sense].adapter
    if own_encoder and entry is not None:
        return entry.family, "the bundle's own family, for questions of many kinds"
    return "prefix", "for questions of many kinds and an encoder that the bundle does not know"


def begin(
    agent: Agent,
    sense: str,
    settings: TrainSettings,
    encoder: Encoder,
    examples: Sequence[Example],
    rows: Labelled,
    n_features: int,
    *,
    own_encoder: bool,
) -> Start:
    """The adapter as the run begins. rows: the labelled features it may learn from. Raises `UserError`."""
    import torch

    name, why = settings.adapter, ""
    if name == AUTO:
        name, why = choose_family(agent, sense, examples, own_encoder=own_encoder)
    family = _known(name, agent.plugins.adapters)
    entry = agent.bundle.senses[sense].adapter
    if settings.keep and own_encoder and entry is not None and entry.family == name and not family.per_answer:
        own = agent.bundle.load_adapter(
            sense, agent.plugins, encoder.d_encoder, agent.core.d_core, trainable=True
        )
        return Start(name, own, _with("the bundle's own adapter", why))
    config: dict[str, Any] = {"n_features": n_features} if family.per_feature else {}
    if family.per_answer:
        answers = sorted({answer.strip() for answer in rows.answers})
        longest = max(len(agent.core.tokens.follow(f" {answer}")) for answer in answers)
        config = {**config, "answers": answers, "n_tokens": min(max(longest + 1, SHORTEST), LONGEST)}
    torch.manual_seed(settings.seed)
    build = agent.plugins.resolve(family.build)
    adapter = cast("nn.Module", build(config, encoder.d_encoder, agent.core.d_core))
    if not family.fit:
        return Start(name, adapter, _with("fresh weights", why))
    fit = agent.plugins.resolve(family.fit)
    return Start(name, adapter, _with(fit(adapter, rows, seed=settings.seed, again=False), why))


def fit_again(agent: Agent, family: str, adapter: nn.Module, rows: Labelled, seed: int) -> str | None:
    """After training, fit what has a closed form to `rows`, all the labelled ones; how, or None for nothing.

    Rows with answers that the adapter was not made for are left out.
    """
    from mmagent.adapter import Labelled

    known = agent.plugins.adapters.get(family)
    if known is None or not known.fit:
        return None
    made_for = cast("Any", adapter).config.get("answers", rows.answers)
    kept = [at for at, answer in enumerate(rows.answers) if answer.strip() in made_for]
    rows = Labelled(rows.pooled[kept], [rows.answers[at] for at in kept], rows.spell)
    return str(agent.plugins.resolve(known.fit)(adapter, rows, seed=seed, again=True))


def labelled(
    core: Core, seen: CachedFeatures, examples: Sequence[Example], media: Mapping[int, Sequence[int]]
) -> Labelled:
    """Pooled features and answers of examples; media: for each, by its place, the numbers of its own."""
    import torch

    from mmagent.adapter import Labelled

    def spell(text: str) -> Tensor:
        ids = torch.tensor([core.tokens.follow(text)], device=core.device)
        words: Tensor = core.embed(ids)[0]
        return words.float().cpu()

    numbers = [number for at in range(len(examples)) for number in media[at]]
    answers = [example.answer for at, example in enumerate(examples) for _ in media[at]]
    pooled = (
        torch.cat([seen.batch(part).pooled for part in _chunks(numbers)]) if numbers else torch.zeros(0, 0)
    )
    return Labelled(pooled, answers, spell)


def _chunks(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    return (numbers[at : at + CHUNK] for at in range(0, len(numbers), CHUNK))


def _known(name: str, families: Mapping[str, AdapterFamily]) -> AdapterFamily:
    if name not in families:
        raise UserError(
            f"no adapter family called {name!r}. There are: {', '.join(families)}."
            f"{did_you_mean(name, families)}"
        )
    return families[name]


def _with(began: str, why: str) -> str:
    return f"{began} (chosen: {why})" if why else began
