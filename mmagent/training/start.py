"""How an adapter begins: which family, from whose weights, and what of it is fitted before the first step."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from mmagent.errors import UserError
from mmagent.training.augmenting import Varied
from mmagent.training.chosen import Chosen, agrees, choose, start_in_core
from mmagent.training.combined import Combined
from mmagent.training.families import AUTO

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mmagent.adapter import AdapterFamily, Labelled
    from mmagent.agent import Agent
    from mmagent.core import Core
    from mmagent.data import Example
    from mmagent.manifest import AdapterEntry
    from mmagent.training.loop import Seen as Batches
    from mmagent.training.settings import TrainSettings

__all__ = ["Ground", "Start", "begin", "fit_again", "for_answers", "known_to", "labelled"]

LONGEST = 16  # soft tokens at most for one answer
SHORTEST = 4
CHUNK = 256


@dataclass(frozen=True, eq=False)
class Start:
    """An adapter before its first step.

    chosen    the families that train
    adapter   the sense's, a `Several` of several; a `Combined` with what is built into the core where that
              trains
    began_as  "the bundle's own adapter" or "fresh weights", or what was fitted
    each      the families by sense, of several
    """

    chosen: Chosen
    adapter: nn.Module
    began_as: str
    each: Mapping[str, Chosen] = field(default_factory=dict)

    @property
    def sense_adapter(self) -> nn.Module:
        """The adapter of the sense, or of all of them as one module."""
        return self.adapter.sense if isinstance(self.adapter, Combined) else self.adapter

    @property
    def core_adapter(self) -> nn.Module | None:
        """What trains inside of the core."""
        return self.adapter.core if isinstance(self.adapter, Combined) else None


@dataclass(frozen=True, eq=False)
class Ground:
    """What an adapter starts on: an agent, one of its senses, the examples to learn from.

    own_encoder  whether they are encoded by the bundle's own encoder
    together     all senses that learn from these examples, where they are several
    """

    agent: Agent
    sense: str
    examples: Sequence[Example]
    own_encoder: bool
    together: tuple[str, ...] = ()

    @property
    def entry(self) -> AdapterEntry | None:
        """The adapter that the bundle keeps for the sense, if any."""
        there = self.agent.bundle.senses.get(self.sense)
        return None if there is None else there.adapter

    @property
    def told(self) -> bool:
        """Whether the sense tells the core in words, through an adapter that takes no features."""
        families = self.agent.plugins.adapters
        return (
            self.entry is not None and self.entry.family in families and families[self.entry.family].of_words
        )

    def choose(self, settings: TrainSettings) -> tuple[Chosen, str]:
        """The families that the settings name, and why where they leave it open. Raises `UserError`."""
        names, why = settings.adapter.split("+"), ""
        if AUTO in names:
            suits, why = self.suits()
            names = [suits if name == AUTO else name for name in names]
        return choose(replace(settings, adapter="+".join(names)), self.agent.plugins.adapters), why

    def suits(self) -> tuple[str, str]:
        """The family for data that name none, and why.

        One question asked of all, each answer given to two inputs or more, and none of them unknown to this
        sense: a probe over the answers (`concepts`) learns most from few rows; so it does where a sense knows
        what is asked and there are two answers. Else the bundle's own family goes on learning, if the encoder
        is its own and the family not made for its answers; a fresh `prefix` serves the rest.
        """
        n, families = len(self.examples), self.agent.plugins.adapters
        questions = {example.question for example in self.examples}
        answers = {example.answer for example in self.examples}
        known = {example.answer for example in self.examples if example.media.get(self.sense)}
        alone = all(len(sources) <= 1 for example in self.examples for sources in example.media.values())
        if (
            len(questions) == 1
            and alone
            and known == answers
            and 2 <= len(answers) <= n / 2
            and "concepts" in families
        ):
            return "concepts", f"one question, {len(answers)} answers that come again and again"
        modality = self.agent.plugins.modalities.get(self.sense)
        if modality is not None and modality.asked and alone and len(answers) == 2 and "concepts" in families:
            return "concepts", "two answers, and a sense that knows what is asked"
        entry = self.entry
        if self.told and entry is not None:
            return "prefix", f"for questions of many kinds; {entry.family} learns from texts alone"
        if self.own_encoder and entry is not None:
            if entry.family in families and families[entry.family].per_answer:
                return "prefix", f"for questions of many kinds; {entry.family} is made for its answers"
            return entry.family, "the bundle's own family, for questions of many kinds"
        return "prefix", "for questions of many kinds and an encoder that the bundle does not know"


def begin(
    ground: Ground,
    chosen: Chosen,
    settings: TrainSettings,
    d_encoder: int,
    n_features: int,
    rows: Labelled,
    why: str = "",
) -> Start:
    """The adapter as the run begins, of the sense and of the core.

    d_encoder, n_features: width and number of the features of one input. rows: the labelled features that it
    may learn from. why: the family was chosen, if it was. Raises `UserError`.
    """
    adapter, began = _of_sense(ground, chosen, settings, d_encoder, n_features, rows)
    if chosen.core is not None:
        in_core, core_began = start_in_core(ground.agent, chosen, settings)
        adapter = Combined(adapter, in_core, keeps=chosen.sense is None)
        began = core_began if chosen.sense is None else f"{began} and {core_began}"
    return Start(chosen, adapter, f"{began} (chosen: {why})" if why else began)


def fit_again(agent: Agent, start: Start, rows: Labelled, seed: int) -> str | None:
    """After training, fit what has a closed form to `rows`, all the labelled ones; how, or None for nothing.

    Rows with answers that the adapter was not made for are left out.
    """
    family, adapter = start.chosen.sense, start.sense_adapter.cpu()
    if family is None or not family.fit:
        return None
    rows = known_to(adapter, rows)
    return str(agent.plugins.resolve(family.fit)(adapter, rows, seed=seed, again=True))


def known_to(adapter: nn.Module, rows: Labelled) -> Labelled:
    """The rows with answers that an adapter was made for."""
    made_for = cast("Any", adapter).config.get("answers", rows.answers)
    return rows.only([at for at, answer in enumerate(rows.answers) if answer.strip() in made_for])


def _of_sense(
    ground: Ground,
    chosen: Chosen,
    settings: TrainSettings,
    d_encoder: int,
    n_features: int,
    rows: Labelled,
) -> tuple[nn.Module, str]:
    """The sense's adapter: the bundle's own where it stays or fits, else fresh, else fitted."""
    import torch

    agent, sense, family, entry = ground.agent, ground.sense, chosen.sense, ground.entry
    if family is None and (entry is None or ground.told or not ground.own_encoder):
        lack = "made it for its own encoder"
        if entry is None or ground.told:
            lack = f"has none for {sense!r}" + (" that takes features" if ground.told else "")
        raise UserError(
            f"{settings.adapter} keeps the adapter that is there, and {agent.bundle.name!r} {lack}. "
            f"Train one with it: --adapter prefix+{settings.adapter}."
        )
    options = {} if family is None else chosen.of(family)
    own = entry is not None and (family is None or _goes_on(entry, family, settings, ground.own_encoder))
    if own and entry is not None and agrees(entry.config, options):
        adapter = agent.bundle.load_adapter(
            sense, agent.plugins, d_encoder, agent.core.d_core, trainable=family is not None
        )
        return adapter, "the bundle's own adapter"
    assert family is not None
    config: dict[str, Any] = {"n_features": n_features} if family.per_feature else {}
    if family.per_answer:
        config |= for_answers(agent.core, rows.answers, {example.question for example in ground.examples})
    if family.join and ground.together:
        config |= {"joins": list(ground.together)}
    torch.manual_seed(settings.seed)
    build = agent.plugins.resolve(family.build)
    made = cast("nn.Module", build({**config, **options}, d_encoder, agent.core.d_core))
    if not family.fit:
        return made, "fresh weights"
    return made, str(agent.plugins.resolve(family.fit)(made, rows, seed=settings.seed, again=False))


def _goes_on(entry: AdapterEntry, family: AdapterFamily, settings: TrainSettings, own_encoder: bool) -> bool:
    """Whether training goes on from the bundle's own adapter; one made for other answers is of no use."""
    return settings.keep and own_encoder and entry.family == family.name and not family.per_answer


def for_answers(core: Core, answers: Sequence[str], questions: Collection[str | None]) -> dict[str, Any]:
    """The settings of a family that is made for its answers.

    As many soft tokens as the longest answer and its end take; the most of them where several questions are
    asked. Four did not hold against some that the core never read beside them: of NLVR's statements, a fifth
    of those to learn from kept back, the core said what it was given to 97.7 %, with 8 to 99.1 %, with 16 to
    99.6 %.
    """
    distinct = sorted({answer.strip() for answer in answers})
    longest = max(len(core.tokens.follow(f" {answer}")) for answer in distinct)
    wanted = max(longest + 1, SHORTEST) if len(questions) == 1 else LONGEST
    return {"answers": distinct, "n_tokens": min(wanted, LONGEST)}


def labelled(
    core: Core, seen: Batches, examples: Sequence[Example], media: Mapping[int, Sequence[int]]
) -> Labelled:
    """Pooled features and answers of examples; media: for each, by its place, the numbers of its own."""
    import torch

    from mmagent.adapter import Labelled
    from mmagent.core.assemble import spell

    def spelt(text: str) -> Tensor:
        return spell(core, text).cpu()

    numbers = [number for at in range(len(examples)) for number in media[at]]
    answers = [example.answer for at, example in enumerate(examples) for _ in media[at]]
    pooled = torch.cat(list(_pooled(seen, numbers))) if numbers else torch.zeros(0, 0)
    rows = [at for at in range(len(examples)) for _ in media[at]]
    return Labelled(pooled, answers, spelt, rows, [examples[at].group for at in rows])


def _pooled(seen: Batches, numbers: Sequence[int]) -> Iterator[Tensor]:
    """Pooled features of media as they are, also where a run varies them."""
    if isinstance(seen, Varied):
        yield from (seen[number].pooled for number in numbers)
        return
    for at in range(0, len(numbers), CHUNK):
        yield seen.batch(numbers[at : at + CHUNK]).pooled
