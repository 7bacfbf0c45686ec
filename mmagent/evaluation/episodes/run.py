"""Few-shot episodes, evaluated: open-ended fast binding as in Tsimpoukelli et al. (2021), with controls.

from mmagent import Agent
from mmagent.data import read_labelled
from mmagent.evaluation.episodes import evaluate_episodes, parse_settings

agent = Agent.load("tiny")
labelled = read_labelled("characters/", agent.plugins.modalities)
found = evaluate_episodes(agent, labelled, parse_settings("ways=2,shots=1,3,5"), count=100)
print(*found.lines, sep="\\n")
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, get_args

from mmagent.errors import UserError, did_you_mean
from mmagent.evaluation.episodes.asking import CONTROLS, SCORER, Asker, Prompts, nearest_mean_right
from mmagent.evaluation.episodes.look import ShownEpisode, first_episode
from mmagent.evaluation.episodes.sample import Episode, Names, Shown, sample_episodes
from mmagent.evaluation.episodes.setting import Setting
from mmagent.evaluation.intervals import RESAMPLES
from mmagent.evaluation.nearest import ShotChoice, check_choice, keys_of
from mmagent.evaluation.part import Part, choose, trained_on
from mmagent.evaluation.results import Row
from mmagent.evaluation.settings import settings_of

if TYPE_CHECKING:
    from mmagent.agent import Agent
    from mmagent.data import Example, LabelledSet

__all__ = ["COUNT", "EpisodeRun", "EpisodesEvaluation", "check_episodes", "evaluate_episodes"]

COUNT = 500
MARGIN = 4  # tokens that an answer may have beyond the longest name: one to end it, some to be wrong with

Stages = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class EpisodeRun:
    """One setting, with the shot memory or without.

    episodes  what was shown and asked;  prompts  what the core read
    answers   one for each query, episode by episode;  controls  by name, the same queries
    nearest   for each query, whether the nearest shot mean is right
    first_shots  what was shown before the first query, in order
    """

    setting: Setting
    memory: bool
    episodes: tuple[Episode, ...] = field(repr=False)
    prompts: Prompts = field(repr=False)
    answers: tuple[Row, ...] = field(repr=False)
    controls: Mapping[str, tuple[Row, ...]] = field(repr=False)
    nearest: tuple[float, ...] = field(repr=False)
    first_shots: tuple[Shown, ...] = field(repr=False)

    @property
    def name(self) -> str:
        """``2-way 5-shot, context and memory``."""
        return f"{self.setting.name}, {'context and memory' if self.memory else 'context alone'}"


@dataclass(frozen=True)
class EpisodesEvaluation:
    """What episodes found.

    runs      one for each row of the table
    warnings  what makes the scores worth less: what a report says right after the verdict
    notes     what else a reader should know, such as settings that were left out
    settings  everything that the numbers hang on;  command  what to type to have them again
    shown     one query with its shots, as a person would look at them
    """

    runs: tuple[EpisodeRun, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    settings: Mapping[str, Any]
    shown: ShownEpisode = field(repr=False)
    command: tuple[str, ...] = ()

    @cached_property
    def report(self) -> dict[str, Any]:
        """Table, intervals, differences, prompts and verdict as plain data."""
        from mmagent.evaluation.episodes.summary import summary

        return summary(self)

    @property
    def lines(self) -> list[str]:
        """The verdict, one sentence a line: the answer, warnings, and what it rests on."""
        return list(self.report["verdict"])


def evaluate_episodes(
    agent: Agent,
    labelled: LabelledSet,
    settings: Sequence[Setting],
    *,
    names: Names = "invented",
    induction: bool = False,
    memory: Sequence[bool] = (False, True),
    controls: Sequence[str] = CONTROLS,
    shot_choice: ShotChoice = "random",
    count: int = COUNT,
    split: str | None = None,
    told: Callable[[Example], str] | None = None,
    batch_size: int = 32,
    seed: int = 0,
    resamples: int = RESAMPLES,
    command: Sequence[str] = (),
    progress: Stages | None = None,
) -> EpisodesEvaluation:
    """Draw episodes from labelled data, have the agent name their queries, and set that beside its controls.

    Args:
        settings: the kinds of episodes (see `parse_settings`); all share their classes and queries.
        names: invented words, drawn anew for every episode, or the classes' real names.
        induction: whether the prompt begins with "Answer with dax or blicket.".
        memory: with the shot memory beside the context (True), without (False), or both.
        controls: of blind, shuffled, oracle. shot_choice: shots by lot, or those nearest to the query.
        count: episodes of each setting. split: the rows that they are drawn from; unless named, test, else
            validation, else all. told: what the oracle is told of an example's media, its class unless given.

    Answers are generated freely and are right only as the exact name, ended. The same seed gives the same
    numbers. A setting whose shots do not all fit into the prompt is left out where nothing but the prompt
    holds them, with a note. Raises UserError for data without classes, or too few of them.
    """
    check_episodes(settings, controls, names, shot_choice, count, memory)
    labelled.demand_sound()
    part = choose(labelled, trained_on(agent.bundle), split)
    question = _question_of(part)
    most, queries = max(one.shots for one in settings), max(one.queries for one in settings)
    drawn = {
        (one.ways, one.queries): tuple(
            sample_episodes(
                part.examples,
                one.ways,
                count,
                most_shots=most + queries - one.queries,
                queries=one.queries,
                names=names,
                seed=seed,
            )
        )
        for one in settings
    }
    examples = _used(part, [episode for episodes in drawn.values() for episode in episodes])
    keys = _keys(agent, examples, progress)
    words = {name for episodes in drawn.values() for one in episodes for name in one.names}
    max_tokens = MARGIN + max(len(agent.core.tokens.follow(f" {word}")) for word in sorted(words))
    askers = {
        kind: Asker(
            agent,
            episodes,
            question,
            label=_label(labelled.modalities),
            keys=keys,
            told=told or (lambda one: one.answer),
            induction=induction,
            shot_choice=shot_choice,
            max_tokens=max_tokens,
            batch_size=batch_size,
            seed=seed,
        )
        for kind, episodes in drawn.items()
    }
    notes = list(part.notes)
    runs: dict[tuple[Setting, bool], EpisodeRun] = {}
    for kind, asker in askers.items():
        of_kind = [one for one in settings if (one.ways, one.queries) == kind]
        runs |= _runs(asker, of_kind, memory, controls, notes, progress)
    if not runs:
        raise UserError(f"no setting can be asked: {' '.join(notes)}")
    told_settings = settings_of(
        agent,
        part,
        settings=[one.name for one in settings],
        episodes=count,
        queries=[one.queries for one in settings],
        names=names,
        induction=induction,
        question=question,
        shot_choice=shot_choice,
        controls=list(controls),
        scorer=SCORER,
        max_tokens=max_tokens,
        temperature=0.0,
        batch_size=batch_size,
        seed=seed,
        resamples=resamples,
    )
    table = [runs[one, m] for one in settings for m in memory if (one, m) in runs]
    shown = first_episode(agent, table)
    return EpisodesEvaluation(tuple(table), part.warnings, tuple(notes), told_settings, shown, tuple(command))


def check_episodes(
    settings: Sequence[Setting],
    controls: Sequence[str],
    names: str,
    shot_choice: str,
    count: int,
    memory: Sequence[bool] = (False,),
) -> None:
    """Refuse what means nothing before anything long begins. Raises UserError."""
    if not settings or not memory:
        raise UserError("there is no setting to evaluate. Write it like ways=2,shots=1.")
    if count < 2:
        raise UserError(f"{count} episodes have no interval; there must be at least 2, and 500 are usual.")
    if names not in get_args(Names):
        known = get_args(Names)
        raise UserError(
            f"episodes have no names {names!r}. There are: {', '.join(known)}.{did_you_mean(names, known)}"
        )
    for control in controls:
        if control not in CONTROLS:
            near = did_you_mean(control, CONTROLS)
            raise UserError(f"there is no control {control!r}. There are: {', '.join(CONTROLS)}.{near}")
    check_choice(shot_choice)


def _runs(
    asker: Asker,
    settings: Sequence[Setting],
    memory: Sequence[bool],
    controls: Sequence[str],
    notes: list[str],
    progress: Stages | None,
) -> dict[tuple[Setting, bool], EpisodeRun]:
    """The rows of some settings with the same episodes, block by block, so that shots are read once for all.

    Settings whose shots do not fit are left out, which `notes` are told.
    """
    prompts = {setting: asker.prompts(setting) for setting in settings}
    rows = [
        (setting, with_memory)
        for setting in settings
        for with_memory in memory
        if _fits(asker, setting, prompts[setting], with_memory, notes)
    ]
    said: dict[tuple[Setting, bool, str | None], list[Row]] = defaultdict(list)
    what = f"{settings[0].ways}-way episodes"
    for block in asker.blocks():
        for setting, with_memory in rows:
            for control in (None, *controls):
                said[setting, with_memory, control] += asker.answers(setting, control, with_memory, block)
        if progress is not None:
            progress(what, block.stop, len(asker.queries))
    whole = range(len(asker.queries))
    return {
        (setting, with_memory): EpisodeRun(
            setting,
            with_memory,
            tuple(asker.episodes),
            prompts[setting],
            tuple(said[setting, with_memory, None]),
            {control: tuple(said[setting, with_memory, control]) for control in controls},
            nearest_mean_right(asker, setting),
            asker.shown(setting, None, whole[:1])[0],
        )
        for setting, with_memory in rows
    }


def _fits(asker: Asker, setting: Setting, prompts: Prompts, memory: bool, notes: list[str]) -> bool:
    """Whether a row can be asked: all its shots stand in every prompt, or in the memory; a note, if not."""
    fewest = min(prompts.in_context)
    if fewest == setting.n_shots:
        return True
    held = f"only {fewest} of the {setting.n_shots} shots fit into every prompt"
    room = f"the core reads {asker.agent.core.max_positions} tokens"
    if memory:
        notes.append(f"{setting.name}, context and memory: {held} ({room}); the memory holds them all.")
    else:
        notes.append(f"{setting.name}, context alone is left out: {held} ({room}).")
    return memory


def _question_of(part: Part) -> str:
    """What is asked of every example. Raises UserError for data that are no classes."""
    from mmagent.compose import DEFAULT_QUESTION

    if not part.labelled.is_classes:
        raise UserError(
            f"episodes bind names to classes, and {part.labelled.source} has none: its answers are "
            f"{'captions' if part.labelled.kind == 'caption' else 'to different questions'}. Map the column "
            "of its classes: --column label=NAME."
        )
    return part.examples[0].question or DEFAULT_QUESTION


def _used(part: Part, episodes: Sequence[Episode]) -> list[Example]:
    """The examples that may be shown or asked about, in the order of the data."""
    rows = {one.row: one for episode in episodes for pool in episode.pools for one in pool}
    rows |= {one.row: one for episode in episodes for one, _ in episode.queries}
    return [rows[row] for row in sorted(rows)]


def _keys(agent: Agent, examples: Sequence[Example], progress: Stages | None) -> dict[int, Any]:
    """Unit keys by row. Everything is encoded here, once and in the order of the data."""
    if progress is not None:
        progress("encoding", 0, len(examples))
    keys = keys_of(agent, examples)
    return {one.row: key for one, key in zip(examples, keys, strict=True)}


def _label(modalities: Sequence[str]) -> str:
    from mmagent.prompts import LABELS

    return " and ".join(LABELS.get(name, name.capitalize()) for name in modalities)
