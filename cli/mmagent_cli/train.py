"""``mmagent train``: an adapter learns from labelled examples, and a bundle is written."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from mmagent.errors import UserError
from mmagent.plugins import Plugins
from mmagent.training.families import without_memory
from mmagent.training.settings import TrainSettings, field_help, from_toml
from mmagent_cli import failure, progress, train_memory
from mmagent_cli.bundles import complete_bundle
from mmagent_cli.eval import tell
from mmagent_cli.state import State

if TYPE_CHECKING:
    from mmagent.data import LabelledSet
    from mmagent.training.remember import Gathered, Remembered
    from mmagent.training.run import Prepared, Trained

__all__ = ["add"]


def add(app: typer.Typer, plugins: Plugins, help: str) -> None:
    """Add the command to the app; its flags are the fields of `TrainSettings`."""
    app.command("train", short_help=help)(_with_settings(run))


def run(
    context: typer.Context,
    data: Annotated[str, typer.Option("--data", metavar="PATH", help="Labelled data: a file or folder.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The bundle that is written.")],
    bundle: Annotated[
        str,
        typer.Option(
            "--bundle", metavar="NAME|DIR", help="What to start from.", autocompletion=complete_bundle
        ),
    ] = "tiny",
    encoder: Annotated[
        str | None,
        typer.Option("--encoder", metavar="DIR|ID", help="Another encoder than the bundle's own."),
    ] = None,
    question: Annotated[
        str | None, typer.Option("--question", help='Asked of rows without one. Else "What is this?".')
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option("--column", metavar="NAME=COLUMN", help="Which column stands for what. Repeatable."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE.toml", help="Settings; flags go before them.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a run into the same --out stopped.")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="DIR", help="Where the report is written; else beside the bundle."),
    ] = None,
    device: Annotated[str | None, typer.Option("--device", help="cuda, mps or cpu.")] = None,
    dtype: Annotated[str | None, typer.Option("--dtype", help="float32, bfloat16 or auto.")] = None,
    **given: Any,
) -> None:
    """Fine-tune an adapter on labelled examples and write a bundle that `ask` uses."""
    state: State = context.obj
    settings = from_toml(config) if config else TrainSettings()
    settings = settings.changed({name: value for name, value in given.items() if value is not None})
    rest, memory = without_memory(settings.adapter, state.plugins.adapters)
    train_memory.demand_memory(settings, memory)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is there already. Name another --out, or take it away first.")
    report = report or out.with_name(f"{out.name}-report")
    examples = _read(data, question, column or [], state.plugins)
    _check(examples, state.plugins)
    from mmagent.evaluation.page import demand_place
    from mmagent.training.loop import Interrupted, asked_to_stop
    from mmagent.training.run import Prepared, Trained, prepare, train

    demand_place(report)
    with progress.patience(f"loading {bundle}"):
        from mmagent.agent import Agent

        agent = Agent.load(bundle, device=device, dtype=dtype, plugins=state.plugins)
    found: tuple[Trained | Remembered, Prepared | Gathered]
    if memory is not None and not rest:
        bar = _bar("tuning")
        found = train_memory.alone(examples, agent, settings, memory, out, encoder=encoder, bar=bar)
        _say_where(out)
        return _report(*found, examples, report, settings.seed, _again(data, out, question, column or []))
    first, place = settings.changed({"adapter": rest}), train_memory.aside(out) if memory else out
    before = train_memory.done_before(out, first, resume=resume) if memory else None
    if before is None:
        with progress.bar("encoding") as advance:
            prepared = prepare(examples, agent, first, encoder=encoder, progress=advance)
        _say_what_trains(prepared)
        with asked_to_stop() as stop, _bar() as on_step:
            try:
                done = train(prepared, first, place, data=examples, resume=resume, on_step=on_step, stop=stop)
            except Interrupted as error:
                raise UserError(f"{error}. Go on with the same command and --resume.") from error
        before, found = done.bundle, (done, prepared)
        _say_what_came(done)
    if memory is not None:
        trained = Agent(before, agent.core, state.plugins)
        found = train_memory.joined(examples, trained, settings, memory, out, bar=_bar("tuning"))
    _report(*found, examples, report, settings.seed, _again(data, out, question, column or []))
    if memory is None and isinstance(found[0], Trained) and isinstance(found[1], Prepared):
        _finish(found[0], found[1], settings)
    _say_where(out)


def _finish(done: Trained, prepared: Prepared, settings: TrainSettings) -> None:
    """After the report: what has a closed form learns from the validation rows, too."""
    from mmagent.training.run import finish

    how = finish(prepared, done, settings).told.get("refit")
    if how:
        print(f"Then fitted to all {len(prepared.train) + len(prepared.validation):,} examples: {how}.")


def _again(data: str, out: Path, question: str | None, column: list[str]) -> list[str]:
    """The command that measures the bundle once more."""
    again = ["mmagent", "eval", "--data", data, "--bundle", str(out), "--split", "validation"]
    again += [*(["--question", question] if question else []), *_each("--column", column)]
    return [*again, "--controls", "blind"]


def _report(
    done: Trained | Remembered,
    prepared: Prepared | Gathered,
    data: LabelledSet,
    out: Path,
    seed: int,
    command: list[str],
) -> None:
    """Measure the bundle on its validation rows, say the verdict, and write the report.

    The bundle is there already, so what goes wrong here is told and is no failure of the command.
    """
    from mmagent.training.report import report_on

    try:
        with progress.stages() as advance:
            command = [*command, "--seed", str(seed)]
            found = report_on(done, prepared, data, out, seed=seed, command=command, progress=advance)
    except UserError as error:
        failure.say(f"the bundle is whole, and no report was written: {error}")
        return
    tell(found)
    failure.say(f"the report is in {out}")


def _each(option: str, values: list[str]) -> list[str]:
    return [word for value in values for word in (option, value)]


def _read(source: str, question: str | None, columns: list[str], plugins: Plugins) -> LabelledSet:
    from mmagent.data import read_labelled

    named = dict(_named(text) for text in columns)
    return read_labelled(source, plugins.modalities, columns=named or None, question=question)


def _check(examples: LabelledSet, plugins: Plugins) -> None:
    """Refuse what is broken, with its rows, before anything long begins; say what is odd."""
    from mmagent.training.checked import demand_checked

    with progress.bar("checking") as advance:
        report = demand_checked(examples, plugins, progress=advance)
    for line in report.warnings:
        failure.say(line)


def _named(text: str) -> tuple[str, str]:
    name, equals, column = text.partition("=")
    if not (name and equals and column):
        raise UserError(f"cannot read --column {text!r}. Write it like question=prompt_text.")
    return name.strip(), column.strip()


def _say_what_trains(prepared: Prepared) -> None:
    """Names, shapes, count and share of what trains, before the first step."""
    core = prepared.agent.core
    for line in _folded(prepared.parameters()):
        print(f"trains  {line}")
    kept = "" if prepared.start.chosen.sense else f", the adapter for {prepared.sense}"
    own = sum(count for *_, count in prepared.parameters())
    print(
        f"in all {own:,} weights, {100 * prepared.share:.2f} % of core and adapter, from "
        f"{prepared.start.began_as}. Frozen: the core ({core.fingerprint()[:12]}){kept} and the encoder."
    )
    print(f"{len(prepared.train):,} examples to learn from, {len(prepared.validation):,} to judge by.")


def _folded(parameters: Sequence[tuple[str, tuple[int, ...], int]]) -> list[str]:
    """Name, shape and count; tensors that differ only in the number of their block share a line."""
    blocks: dict[tuple[str, str, tuple[int, ...], int], list[str]] = {}
    for name, shape, count in parameters:
        head, number, tail = re.fullmatch(r"(.*?)(?:(?<=\.)(\d+)(?=\.)(.*))?", name).groups("")  # type: ignore[union-attr]
        blocks.setdefault((head, tail, shape, count), []).append(number)
    lines = []
    for (head, tail, shape, count), numbers in blocks.items():
        run = [str(at) for at in range(int(numbers[0] or 0), int(numbers[0] or 0) + len(numbers))]
        which = f"{numbers[0]}-{numbers[-1]}" if len(numbers) > 2 and run == numbers else ",".join(numbers)
        times = f"{len(numbers)} x " if len(numbers) > 1 else ""
        lines.append(f"{head}{which}{tail}  {times}{shape}  {count * len(numbers):,}")
    return lines


def _say_what_came(done: Trained) -> None:
    best, outcome = done.outcome.best, done.outcome
    early = "stopped early" if outcome.steps < outcome.planned else "ran to its end"
    print(
        f"{outcome.steps:,} of {outcome.planned:,} steps ({early}) in {outcome.seconds:.0f} s, "
        f"{outcome.examples / max(1e-9, outcome.seconds):.0f} examples per second, "
        f"{100 * outcome.waste:.0f} % padding. Best: {100 * best.score:.1f} % of the validation answers "
        f"exact, at step {best.step:,}."
    )


def _say_where(out: Path) -> None:
    failure.say(f'the bundle is in {out}. Ask it: mmagent ask "What is this?" --bundle {out} --image FILE')


class _bar:
    """Progress with loss, score, examples per second and time left; on a terminal only."""

    def __init__(self, doing: str = "training") -> None:
        self._doing = doing

    def __enter__(self) -> Callable[[int, int, float, float | None], None]:
        from tqdm import tqdm

        self._shown = tqdm(desc=self._doing, unit="step", disable=not sys.stderr.isatty(), leave=False)
        self._told: dict[str, str] = {}
        return self._advance

    def __exit__(self, *error: object) -> None:
        self._shown.close()

    def _advance(self, step: int, steps: int, loss: float, score: float | None) -> None:
        self._shown.total = steps
        self._told["loss"] = f"{loss:.3f}"
        if score is not None:
            self._told["score"] = f"{100 * score:.1f} %"
        self._shown.set_postfix(self._told, refresh=False)
        self._shown.update(step - self._shown.n)


def _with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """The command with one more option for each field of `TrainSettings`."""
    hints = get_type_hints(TrainSettings)
    own = [
        p
        for p in inspect.signature(command, eval_str=True).parameters.values()
        if p.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    more = []
    for field in fields(TrainSettings):
        kind = hints[field.name]
        flag = f"--{field.name.replace('_', '-')}"
        names = (f"{flag}/--no-{field.name.replace('_', '-')}",) if kind is bool else (flag,)
        help = f"{field_help()[field.name]} [{field.default}]"
        option = typer.Option(*names, help=help, show_default=False)
        more.append(
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[kind | None, option],
            )
        )

    def train(*arguments: Any, **options: Any) -> None:
        command(*arguments, **options)

    keyword = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own[1:]]
    train.__signature__ = inspect.Signature([own[0], *keyword, *more])  # type: ignore[attr-defined]
    train.__doc__ = command.__doc__
    return train
