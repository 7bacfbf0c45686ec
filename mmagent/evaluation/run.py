"""An agent evaluated on labelled data: with its controls, beside its baselines, and all that this hangs on.

from mmagent import Agent
from mmagent.data import read_labelled
from mmagent.evaluation import evaluate, write_report

agent = Agent.load("tiny")
evaluation = evaluate(agent, read_labelled("flowers/", agent.plugins.modalities))
print(*evaluation.lines, sep="\\n")
write_report(evaluation, "report")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, get_args

from mmagent.errors import UserError, did_you_mean
from mmagent.evaluation.asking import CONTROLS, Asked, Examiner, Told, asked_as, drawn, judge_of
from mmagent.evaluation.features import BASELINES, baseline_results
from mmagent.evaluation.intervals import RESAMPLES
from mmagent.evaluation.missing import name_of, only, restricted, subsets
from mmagent.evaluation.nearest import Nearest, ShotChoice, check_choice
from mmagent.evaluation.part import Part, choose, trained_on
from mmagent.evaluation.results import Judge, Result
from mmagent.evaluation.settings import settings_of
from mmagent.evaluation.worst import Shown, worst

if TYPE_CHECKING:
    from mmagent.agent import Agent
    from mmagent.bundle import Bundle
    from mmagent.data import LabelledSet
    from mmagent.feature_cache import FeatureCache

__all__ = ["Evaluation", "Run", "check_asked", "evaluate"]

Stages = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class Run:
    """What was answered with one number of shots.

    shots     how many;  drawn  where they came from; where every row has its own, those of the first
    prompt    what the core read for the first row, ``<image: 26 tokens>`` where a prefix stood
    target    how the first row's wanted answer is written after it
    turned    the same with the bundle's own shot memory turned off (on, where it was off); None without one
    missing   the same with some of the senses alone, by these; of the first run on data of several senses
    """

    shots: int
    drawn: tuple[str, ...]
    prompt: str
    target: str
    adapter: Result
    controls: Mapping[str, Result]
    turned: Result | None = None
    missing: Mapping[tuple[str, ...], Result] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    runs      by number of shots, in the order asked for; the first is the one that the verdict is about
    baselines answers of simpler systems to the same rows
    warnings  what makes the score worth less: what a report says right after the verdict
    notes     what else a reader should know
    settings  everything that the numbers hang on: rows, seeds, hashes, versions
    command   what to type to have the same again; empty where it was called from Python
    shown     the worst mistakes of the first run, as a person would look at them
    """

    runs: tuple[Run, ...]
    baselines: tuple[Result, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    settings: Mapping[str, Any]
    command: tuple[str, ...] = ()
    shown: tuple[Shown, ...] = field(default=(), repr=False)

    @property
    def main(self) -> Run:
        """The run that the verdict is about."""
        return self.runs[0]

    @cached_property
    def report(self) -> dict[str, Any]:
        """Verdict, scores, intervals and differences as plain data: all numbers that are told anywhere."""
        from mmagent.evaluation.summary import summary

        return summary(self)

    @property
    def lines(self) -> list[str]:
        """The verdict, one sentence a line: the answer, warnings, and what it rests on."""
        return list(self.report["verdict"])


def evaluate(
    agent: Agent,
    labelled: LabelledSet,
    *,
    split: str | None = None,
    senses: Sequence[str] | None = None,
    shots: Sequence[int] = (0,),
    controls: Sequence[str] = CONTROLS,
    baselines: Sequence[str] = BASELINES,
    judge: Judge | None = None,
    told: Told | None = None,
    shot_choice: ShotChoice = "random",
    memory: bool = True,
    max_tokens: int = 48,
    batch_size: int = 32,
    seed: int = 0,
    resamples: int = RESAMPLES,
    cache: FeatureCache | None = None,
    command: Sequence[str] = (),
    progress: Stages | None = None,
) -> Evaluation:
    """Answer every row of a split through `Agent.ask_many`, judge it, and set it beside what proves it.

    Args:
        split: the rows to answer; unless named test, else validation, else all there are.
        senses: the modalities whose media are given, to systems and baselines alike; all unless named. With
            several, the first number of shots is asked with fewer of them, too.
        shots: numbers of shots of the split train. shot_choice: drawn by `seed`, the same for every row and
            control; or those nearest to what a system sees of each row, so that a blind one has drawn ones.
        controls: of blind, shuffled, oracle. baselines: of majority, nearest, logistic, memory; they learn
            from the split train and are left out where there is none. A bundle with a shot memory of its own
            is asked with and without it instead of beside the baseline memory.
        judge: what makes an answer right, if not what the data suggest (see `judge_of`).
        told: what the oracle is told of an example's media; the wanted answer unless given.
        memory: whether near shots, given or the bundle's own, vote for their answers.
        resamples: draws of each bootstrap.
        cache: where features come from, and go where they are missing; the user's own unless given.

    Without shots the log-probability of every wanted answer is taken, too, for the perplexity. The same seed
    gives the same numbers. Raises UserError for data that cannot be evaluated, and where a row cannot be
    answered.
    """
    check_asked(shots, controls, baselines, judge)
    check_choice(shot_choice)
    labelled.demand_sound()
    part = choose(labelled, trained_on(agent.bundle), split)
    part = part if senses is None else restricted(part, senses)
    counts = list(dict.fromkeys(shots))
    pool = drawn(part.train, part.split, max(counts), seed)
    judge = judge or judge_of(part.labelled, part.examples)
    examiner = Examiner(
        agent,
        part.examples,
        judge=judge,
        labels=None if judge == "VQA accuracy" else _labels(part.labelled),
        memory=memory,
        max_tokens=max_tokens,
        batch_size=batch_size,
        seed=seed,
    )
    notes = list(part.notes)
    cache = cache or _own_cache()
    with agent.reading_from(cache):
        nearest = Nearest(agent, part.train, seed) if pool and shot_choice == "nearest" else None
        runs = [_run(examiner, part, pool[:k], nearest, controls, told, notes, progress) for k in counts]
        runs[0] = replace(
            runs[0], missing=_missing(examiner, part, pool[: counts[0]], nearest, notes, progress)
        )
    if stored_in(agent.bundle, part.labelled.modalities):
        baselines = [name for name in baselines if name != "memory"]
    results, left_out = _baselines(agent, part, baselines, runs[0].adapter, cache, seed, progress)
    settings = settings_of(
        agent,
        part,
        judge=judge,
        labels=examiner.labels,
        senses=list(part.labelled.modalities),
        shots=counts,
        shot_choice=shot_choice,
        controls=list(controls),
        baselines=list(baselines),
        oracle="the wanted answer" if told is None else "what the caller told",
        memory=memory,
        max_tokens=max_tokens,
        temperature=0.0,
        batch_size=batch_size,
        seed=seed,
        resamples=resamples,
    )
    shown = worst(agent, part.examples, runs[0].adapter)
    return Evaluation(
        tuple(runs),
        tuple(results),
        part.warnings,
        (*notes, *left_out),
        settings,
        tuple(command),
        shown,
    )


def _run(
    examiner: Examiner,
    part: Part,
    shots: Sequence[Any],
    nearest: Nearest | None,
    controls: Sequence[str],
    told: Told | None,
    notes: list[str],
    progress: Stages | None,
) -> Run:
    """The answers of the agent and its controls with these shots, or with as many of the nearest.

    `notes` get why a control is left out.
    """
    k = len(shots)
    beside = "" if k == 0 else f" with {k} shot{'' if k == 1 else 's'}"

    def result(name: str, asked: Asked, *, likelihood: bool = False) -> Result:
        advance = None if progress is None else _stage(progress, f"{name}{beside}")
        return examiner.result(f"{name}{beside}", asked, likelihood=likelihood, progress=advance)

    def asked(control: str | None) -> Asked:
        return asked_as(
            control,
            part.examples,
            shots,
            label=_label(part.labelled.modalities),
            default_question=_default_question(examiner.agent),
            told=told,
            near=None if nearest is None else lambda rows: nearest.shots(rows, k),
            seed=examiner.seed,
        )

    own = asked(None)
    first = examiner.first(own)
    adapter = result("the adapter", own, likelihood=k == 0)
    found: dict[str, Result] = {}
    for control in controls:
        try:
            how = asked(control)
        except UserError as error:
            if (note := f"the control {control} is left out: {error}") not in notes:
                notes.append(note)
            continue
        found[control] = result(control, how, likelihood=k == 0 and control == "blind")
    turned = None
    if stored := stored_in(examiner.agent.bundle, part.labelled.modalities):
        word = "off" if examiner.memory else "on"
        turned = _turned(examiner, own, stored, f"the adapter, memory {word}{beside}", notes, progress)
    parts = (part if isinstance(part, str) else _token_count(part) for part in first.prompt)
    sources = tuple(one.source for one in own.shots_of(0))
    return Run(k, sources, "".join(parts), first.write_answer(own.examples[0].answer), adapter, found, turned)


def _missing(
    examiner: Examiner,
    part: Part,
    shots: Sequence[Any],
    nearest: Nearest | None,
    notes: list[str],
    progress: Stages | None,
) -> dict[tuple[str, ...], Result]:
    """The answers of the agent with fewer senses, by those that are left; `notes` get what is left out."""
    found = {}
    for kept in subsets(part.labelled.modalities):
        asked = asked_as(
            None,
            only(part.examples, kept),
            only(shots, kept),
            label=_label(kept),
            default_question=_default_question(examiner.agent),
            near=None if nearest is None else lambda rows: nearest.shots(rows, len(shots)),
            seed=examiner.seed,
        )
        advance = None if progress is None else _stage(progress, name_of(kept))
        try:
            found[kept] = examiner.result(name_of(kept), asked, progress=advance)
        except UserError as error:
            notes.append(f"{name_of(kept)} is left out: {error}")
    return found


def _turned(
    examiner: Examiner,
    own: Asked,
    stored: Sequence[str],
    name: str,
    notes: list[str],
    progress: Stages | None,
) -> Result | None:
    """The answers with the memory turned the other way; none where a sense has nothing but its memory."""
    other = replace(examiner, memory=not examiner.memory)
    alone = [sense for sense in stored if examiner.agent.bundle.senses[sense].adapter is None]
    if alone and examiner.memory:
        note = f"without its shot memory the bundle has no sense for {alone[0]!r}: that is the blind control."
        if note not in notes:
            notes.append(note)
        return None
    return other.result(name, own, progress=None if progress is None else _stage(progress, name))


def stored_in(bundle: Bundle, modalities: Sequence[str]) -> list[str]:
    """The senses, of these modalities, for which a bundle keeps shots of its own."""
    return [name for name in modalities if name in bundle.senses and bundle.senses[name].shots is not None]


def _baselines(
    agent: Agent,
    part: Part,
    names: Sequence[str],
    like: Result,
    cache: FeatureCache,
    seed: int,
    progress: Stages | None,
) -> tuple[list[Result], list[str]]:
    """The baselines' answers, and why any is left out."""
    if not names:
        return [], []
    if not part.train:
        return [], ["there are no training rows beside these, so no baseline is compared."]
    advance = None if progress is None else _stage(progress, "encoding")
    return baseline_results(
        agent, names, part.train, part.examples, like, cache=cache, seed=seed, progress=advance
    )


def _token_count(prefix: Any) -> str:
    """A prefix as a person reads it: ``<image: 26 tokens>``."""
    return f"<{prefix.key.partition(':')[0]}: {len(prefix)} tokens>"


def check_asked(
    shots: Sequence[int], controls: Sequence[str], baselines: Sequence[str], judge: str | None = None
) -> None:
    """Refuse names that mean nothing before anything long begins. Raises UserError."""
    if not shots or min(shots) < 0:
        raise UserError(f"shots are numbers from 0 on, such as 0,1,4; not {list(shots)}.")
    wanted: list[tuple[str, str, tuple[str, ...]]]
    wanted = [("control", name, CONTROLS) for name in controls]
    wanted += [("baseline", name, BASELINES) for name in baselines]
    wanted += [("judge", judge, get_args(Judge))] if judge is not None else []
    for what, name, known in wanted:
        if name not in known:
            near = did_you_mean(name, known)
            raise UserError(f"there is no {what} {name!r}. There are: {', '.join(known)}.{near}")


def _own_cache() -> FeatureCache:
    from mmagent.feature_cache import FeatureCache

    return FeatureCache()


def _labels(labelled: LabelledSet) -> tuple[str, ...] | None:
    """The classes, where the answers are some."""
    return tuple(sorted({example.answer for example in labelled})) if labelled.is_classes else None


def _label(modalities: Sequence[str]) -> str:
    """What media are called in a prompt."""
    from mmagent.prompts import LABELS

    return " and ".join(LABELS.get(name, name.capitalize()) for name in modalities)


def _default_question(agent: Agent) -> str:
    from mmagent.compose import DEFAULT_QUESTION

    return str(agent.bundle.prompts.get("default_question", DEFAULT_QUESTION))


def _stage(progress: Stages, what: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(what, done, total)
