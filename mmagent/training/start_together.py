"""How the adapters of several senses begin, when they learn from the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from mmagent.errors import UserError
from mmagent.training.chosen import Chosen, start_in_core
from mmagent.training.combined import Combined
from mmagent.training.several import Several
from mmagent.training.start import Ground, Start, begin, known_to

if TYPE_CHECKING:
    from mmagent.adapter import AdapterFamily, Labelled
    from mmagent.agent import Agent
    from mmagent.training.settings import TrainSettings

__all__ = ["begin_together", "fit_together_again"]


def begin_together(
    grounds: Mapping[str, Ground],
    settings: TrainSettings,
    shapes: Mapping[str, tuple[int, int]],
    rows: Mapping[str, Labelled],
) -> Start:
    """The adapters as the run begins, one for each sense, and that of the core.

    shapes: width and number of the features of one input, by sense. rows: the labelled features that may be
    learned from, by sense. Raises `UserError`.
    """
    chosen = {name: ground.choose(settings) for name, ground in grounds.items()}
    joining = _joining({name: one for name, (one, _) in chosen.items()})
    if joining:
        _demand_alike({name: rows[name] for name in joining})
    made: dict[str, Start] = {}
    for name, ground in grounds.items():
        own, why = chosen[name]
        ground = replace(ground, together=joining if name in joining else ())
        made[name] = begin(
            ground, Chosen(own.sense, None, own.options), settings, *shapes[name], rows[name], why
        )
    began = "; ".join(f"{name}: {one.began_as}" for name, one in made.items())
    adapters = {name: one.adapter for name, one in made.items()}
    agent, (first, _) = next(iter(grounds.values())).agent, next(iter(chosen.values()))
    if joining and first.sense is not None:
        began += "; " + _weighed(agent, first.sense, {n: adapters[n] for n in joining}, rows, settings.seed)
    adapter = Several(adapters)
    each = {name: one for name, (one, _) in chosen.items()}
    if first.core is None:
        return Start(first, adapter, began, each)
    in_core, core_began = start_in_core(agent, first, settings)
    keeps = first.sense is None
    began = core_began if keeps else f"{began}; {core_began}"
    return Start(first, Combined(adapter, in_core, keeps=keeps), began, each)


def fit_together_again(agent: Agent, start: Start, rows: Mapping[str, Labelled], seed: int) -> str | None:
    """As `fit_again`, for several senses: each is fitted again, then they are weighed again."""
    several = start.sense_adapter.cpu()
    assert isinstance(several, Several)
    adapters = {name: several.of(name) for name in several.names}
    known = {name: known_to(adapter, rows[name]) for name, adapter in adapters.items()}
    said = []
    for name, adapter in adapters.items():
        family = start.each[name].sense
        if family is not None and family.fit:
            how = agent.plugins.resolve(family.fit)(adapter, known[name], seed=seed, again=True)
            said.append(f"{name}: {how}")
    joining = _joining(start.each)
    if joining and start.chosen.sense is not None:
        of = {name: adapters[name] for name in joining}
        said.append(_weighed(agent, start.chosen.sense, of, known, seed))
    return "; ".join(said) or None


def _joining(chosen: Mapping[str, Chosen]) -> tuple[str, ...]:
    """The senses whose adapters add up what they have to say: all of them, or none."""
    families = {one.sense.name if one.sense is not None else "" for one in chosen.values()}
    every = all(one.sense is not None and one.sense.join for one in chosen.values())
    return tuple(sorted(chosen)) if every and len(families) == 1 else ()


def _demand_alike(rows: Mapping[str, Labelled]) -> None:
    """Raise `UserError` unless every sense has met every answer."""
    answers = {name: {answer.strip() for answer in one.answers} for name, one in rows.items()}
    every = set().union(*answers.values())
    for name, own in answers.items():
        if lacking := sorted(every - own):
            raise UserError(
                f"no row to learn from has the answer {lacking[0]!r} and {name}, and senses that are joined "
                "must all have met every answer. Add such rows, or train another family: --adapter prefix."
            )


def _weighed(
    agent: Agent,
    family: AdapterFamily,
    adapters: Mapping[str, object],
    rows: Mapping[str, Labelled],
    seed: int,
) -> str:
    of = {name: rows[name] for name in adapters}
    return str(agent.plugins.resolve(family.join)(adapters, of, seed=seed))
