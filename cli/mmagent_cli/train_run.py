"""The run of ``mmagent train``: read, check, load, prepare, train, remember, report, finish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mmagent.adapter import AdapterFamily
from mmagent.errors import TakenError, UserError, did_you_mean
from mmagent.manifest import MANIFEST
from mmagent.plugins import Plugins
from mmagent.training.beside import states_of
from mmagent.training.families import without_memory
from mmagent.training.processes import demand_accelerate, joined, new_accelerator, own_device
from mmagent.training.settings import TrainSettings
from mmagent_cli import failure, progress, train_memory
from mmagent_cli.eval import tell
from mmagent_cli.train_said import Bar, say_what_came, say_what_trains, say_where
from mmagent_cli.typed import dtype_of, typed

if TYPE_CHECKING:
    from accelerate import Accelerator

    from mmagent.agent import Agent
    from mmagent.bundle import Bundle
    from mmagent.core import Core
    from mmagent.data import LabelledSet
    from mmagent.training.remember import Gathered, Remembered
    from mmagent.training.run import Prepared, Trained

__all__ = ["Wish", "carry_out"]


@dataclass(frozen=True)
class Wish:
    """What was asked for on the command line; every field is an option of that name."""

    data: str
    out: Path
    bundle: str
    encoder: str | Mapping[str, str] | None
    question: str | None
    columns: Mapping[str, str]
    names: Path | None
    resume: bool
    report: Path
    device: str | None
    dtype: str | None
    load_in: str | None
    fsdp: bool
    tracker: str | None
    settings: TrainSettings
    plugins: Plugins

    def again(self, core: Core) -> list[str]:
        """The command that measures the bundle once more, in the numbers of this core."""
        words = ["mmagent", "eval", "--data", self.data, "--bundle", str(self.out), "--split", "validation"]
        words += ["--question", self.question] if self.question else []
        words += [word for role, name in self.columns.items() for word in ("--column", f"{role}={name}")]
        words += ["--names", str(self.names)] if self.names else []
        words += ["--controls", "blind", "--seed", str(self.settings.seed), "--dtype", dtype_of(core)]
        words += ["--device", self.device] if self.device else []
        return [*words, *(["--load-in", self.load_in] if self.load_in else [])]


def carry_out(wish: Wish) -> None:
    """Train as wished. Of several processes the first alone remembers and reports. Raises `UserError`."""
    from mmagent.evaluation.page import demand_place
    from mmagent.training.tracking import demand_tracker

    rest, memory = without_memory(wish.settings.adapter, wish.plugins.adapters)
    train_memory.demand_memory(wish.settings, rest, memory)
    place = train_memory.aside(wish.out) if memory else wish.out
    if rest:
        demand_accelerate()
    if wish.resume:
        wish = _as_begun(wish, place)
    with joined(wish.device, sharded=wish.fsdp) as accelerator:
        if wish.resume:
            _say_if_nothing_is_there(wish.out, place)
        examples = _read(wish)
        _check(examples, wish.plugins)
        if memory is not None and len(examples.modalities) > 1:
            raise UserError(
                f"one modality is remembered at a time; {examples.source} has: "
                f"{', '.join(examples.modalities)}. Leave the memory away."
            )
        demand_place(wish.report)
        if wish.tracker:
            demand_tracker(wish.tracker)
        agent = _agent(wish, accelerator)
        if memory is not None and not rest:
            if accelerator is not None:
                raise UserError("a memory is made by one process. Leave --processes and the launcher away.")
            bar = Bar("tuning")
            found = train_memory.alone(
                examples,
                agent,
                wish.settings,
                memory,
                wish.out,
                encoder=_only_encoder(wish, examples),
                bar=bar,
            )
            _report(wish, *found, examples, wish.again(agent.core))
            return say_where(wish.out, examples)
        # a memory is made by validation rows that have taught nothing yet
        settings = wish.settings.changed({"adapter": rest, "refit": wish.settings.refit and memory is None})
        kept = train_memory.done_before(wish.out, settings, resume=wish.resume) if memory else None
        done = None
        if kept is None:
            done = _trained(wish, settings, place, examples, agent, accelerator, report=memory is None)
            if done is None:
                return None  # another process goes on from here
    if memory is not None:
        before = done.bundle if done else kept
        assert before is not None
        _remember(wish, memory, examples, agent, before)
    say_where(wish.out, examples)
    return None


def _as_begun(wish: Wish, place: Path) -> Wish:
    """The wish with device and numbers of the run that it goes on with, where it names none of its own."""
    from mmagent.core import choose_device
    from mmagent.training import checkpoint
    from mmagent.training.begun import dtype_of

    facts = checkpoint.facts(states_of(place))
    if facts is None:
        return wish
    device = wish.device or facts.get("device")
    try:
        choose_device(device)
    except UserError:  # begun on another machine
        device = wish.device
    return replace(wish, device=device, dtype=wish.dtype or dtype_of(facts))


def _say_if_nothing_is_there(out: Path, place: Path) -> None:
    """Say that a run begins anew, since a misspelt --out would otherwise be seen when it is done."""
    if states_of(place).is_dir() or (place / MANIFEST).is_file():
        return
    others = [path.name[1 : -len(".training")] for path in out.parent.glob(".?*.training")]
    failure.say(
        f"there is no run into {out} to go on with, so it begins anew.{did_you_mean(out.name, others)}"
    )


def _agent(wish: Wish, accelerator: Accelerator | None) -> Agent:
    """The bundle to start from, awake; its core spread over the processes where that is wished for."""
    with progress.patience(f"loading {wish.bundle}"):
        from mmagent.agent import Agent

        agent = Agent.load(
            wish.bundle,
            device="cpu" if wish.fsdp else own_device(wish.device),
            dtype=wish.dtype or ("float32" if wish.settings.precision == "fp32" else None),
            load_in=wish.load_in,
            plugins=wish.plugins,
        )
    if wish.fsdp:
        from mmagent.core import choose_device
        from mmagent.training.sharding import shard

        if any(family.into_core for family in _families(wish)):
            raise UserError(
                "a core that is spread over processes (--fsdp) takes no adapter inside of it. Train one "
                "that stands before it, such as --adapter prefix."
            )
        shard(agent.core, accelerator, choose_device(own_device(wish.device)))
    return agent


def _only_encoder(wish: Wish, examples: LabelledSet) -> str | None:
    """The encoder that was given for the one modality of the data."""
    from mmagent.training.prepare import encoders_by_sense

    return next(iter(encoders_by_sense(wish.encoder, examples.modalities).values()), None)


def _families(wish: Wish) -> list[AdapterFamily]:
    """The families that are named, those that are known."""
    names = wish.settings.adapter.split("+")
    return [wish.plugins.adapters[name] for name in names if name in wish.plugins.adapters]


def _trained(
    wish: Wish,
    settings: TrainSettings,
    place: Path,
    examples: LabelledSet,
    agent: Agent,
    accelerator: Accelerator | None,
    *,
    report: bool,
) -> Trained | None:
    """The run itself, and the report on it; None in every process but the first."""
    from mmagent.training.interrupt import Interrupted, asked_to_stop
    from mmagent.training.run import prepare, train
    from mmagent.training.tracking import tracked

    with progress.bar("encoding") as advance:
        prepared = prepare(
            examples, agent, settings, encoder=wish.encoder, progress=advance, accelerator=accelerator
        )
    say_what_trains(prepared)
    if settings.augment:
        print("augment: examples are varied and encoded anew in every step; the feature cache is off.")
    accelerator = accelerator or new_accelerator(agent.core.device.type)
    logs = wish.out.with_name(f"{wish.out.name}-{wish.tracker}")
    with asked_to_stop() as stop, ExitStack() as steps_shown:
        show = steps_shown.enter_context(Bar())
        log = steps_shown.enter_context(tracked(wish.tracker, logs, settings.as_json(), accelerator))

        def on_step(step: int, steps: int, loss: float, score: float | None) -> None:
            show(step, steps, loss, score)
            log(step, steps, loss, score)

        def look(done: Trained) -> None:
            steps_shown.close()
            say_what_came(done, prepared)
            if report:
                with stop.at_once(f"stopped while the report was made; the bundle is whole in {place}"):
                    _look(wish, done, prepared, examples)

        try:
            done = train(
                prepared,
                settings,
                place,
                data=examples,
                command=typed(agent.core),
                resume=wish.resume,
                on_step=on_step,
                stop=stop,
                accelerator=accelerator,
                say=print,
                look=look,
            )
        except Interrupted as error:
            raise Interrupted(f"{error}. Go on with the same command and --resume.", error.by) from error
        except TakenError as error:
            raise UserError(
                f"{place} came to be there while this run went on. Take it away, and go on with the same "
                "command and --resume."
            ) from error
    if done is not None and done.chosen is not None:
        n = len(prepared.train) + len(prepared.validation)
        print(f"Then fitted to all {n:,} examples: {done.told['refit']}.")
    return done


def _remember(wish: Wish, memory: AdapterFamily, examples: LabelledSet, agent: Agent, before: Bundle) -> None:
    """Give the bundle that was trained its memory, and report on both together."""
    from mmagent.agent import Agent

    trained = Agent(before, agent.core, wish.plugins)
    found = train_memory.joined(examples, trained, wish.settings, memory, wish.out, bar=Bar("tuning"))
    _report(wish, *found, examples, wish.again(agent.core))


def _look(wish: Wish, done: Trained, prepared: Prepared, examples: LabelledSet) -> None:
    """Report on the bundle as it was chosen.

    Where it is fitted again after that, only the run itself gives these figures again, and that is what the
    report says.
    """
    if wish.fsdp:
        failure.say(f"no report is written with --fsdp. mmagent eval --bundle {wish.out} makes one.")
        return
    core, again = prepared.agent.core, done.bundle.path == wish.out
    _report(
        wish, done, prepared, examples, wish.again(core) if again else typed(core), before_refit=not again
    )


def _report(
    wish: Wish,
    done: Trained | Remembered,
    prepared: Prepared | Gathered,
    data: LabelledSet,
    command: Sequence[str],
    *,
    before_refit: bool = False,
) -> None:
    """Measure the bundle on its validation rows, say the verdict, and write the report.

    The bundle is there already, so what goes wrong here is told and is no failure of the command.
    """
    from mmagent.training.report import report_on

    seed = wish.settings.seed
    try:
        with progress.stages() as advance:
            found = report_on(
                done,
                prepared,
                data,
                wish.report,
                seed=seed,
                command=command,
                before_refit=before_refit,
                progress=advance,
            )
    except UserError as error:
        failure.say(f"the bundle is whole, and no report was written: {error}")
        return
    tell(found)
    failure.say(f"the report is in {wish.report}")


def _read(wish: Wish) -> LabelledSet:
    from mmagent.data import read_labelled

    return read_labelled(
        wish.data,
        wish.plugins.modalities,
        columns=wish.columns or None,
        question=wish.question,
        names=wish.names,
    )


def _check(examples: LabelledSet, plugins: Plugins) -> None:
    """Refuse what is broken, with its rows, before anything long begins; say what is odd."""
    from mmagent.training.checked import demand_checked

    with progress.bar("checking") as advance:
        report = demand_checked(examples, plugins, progress=advance)
    for line in report.warnings:
        failure.say(line)
