"""``mmagent train``: an adapter learns from labelled examples, and a bundle is written."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from mmagent.errors import UserError
from mmagent.plugins import Plugins
from mmagent.training.launch import launch
from mmagent.training.preset import find_preset
from mmagent.training.processes import is_started, joined, new_accelerator, own_device
from mmagent.training.settings import WORDS, TrainSettings, field_help, from_toml
from mmagent_cli import failure, progress
from mmagent_cli.bundles import complete_bundle
from mmagent_cli.eval import tell
from mmagent_cli.state import State

if TYPE_CHECKING:
    from mmagent.data import LabelledSet
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
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset", metavar="NAME", help="Settings for a usual case: quick, careful, few-shot ..."
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE.toml", help="Settings; they go before a preset, flags before both."
        ),
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
    load_in: Annotated[
        str | None,
        typer.Option(
            "--load-in", metavar="8bit|4bit", help="Quantise the core; the adapter stays in float32."
        ),
    ] = None,
    processes: Annotated[
        int | None, typer.Option("--processes", metavar="N", help="Train in so many local processes.", min=1)
    ] = None,
    fsdp: Annotated[
        bool, typer.Option("--fsdp", help="Spread the core over the processes, where it is too big for one.")
    ] = False,
    tracker: Annotated[
        str | None,
        typer.Option("--tracker", metavar="NAME", help="Log every step: tensorboard, wandb and others."),
    ] = None,
    **given: Any,
) -> None:
    """Fine-tune an adapter on labelled examples and write a bundle that `ask` uses."""
    state: State = context.obj
    settings = from_toml(find_preset(preset, state.plugins.presets)) if preset else TrainSettings()
    settings = from_toml(config, settings) if config else settings
    settings = settings.changed({name: value for name, value in given.items() if value is not None})
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is there already. Name another --out, or take it away first.")
    report = report or out.with_name(f"{out.name}-report")
    if processes and not is_started(processes):
        raise typer.Exit(launch([sys.executable, "-m", "mmagent_cli", *sys.argv[1:]], processes, failure.say))
    with joined(device, sharded=fsdp) as accelerator:
        examples = _read(data, question, column or [], state.plugins)
        examples.demand_sound()
        from mmagent.evaluation.page import demand_place
        from mmagent.training.interrupt import Interrupted, asked_to_stop
        from mmagent.training.run import prepare, train
        from mmagent.training.tracking import demand_tracker, tracked

        demand_place(report)
        if tracker:
            demand_tracker(tracker)
        with progress.patience(f"loading {bundle}"):
            from mmagent.agent import Agent

            place = "cpu" if fsdp else own_device(device)
            dtype = dtype or ("float32" if settings.precision == "fp32" else None)
            agent = Agent.load(bundle, device=place, dtype=dtype, load_in=load_in, plugins=state.plugins)
        if fsdp:
            from mmagent.core import choose_device
            from mmagent.training.sharding import shard

            shard(agent.core, accelerator, choose_device(own_device(device)))
        with progress.bar("encoding") as advance:
            prepared = prepare(
                examples, agent, settings, encoder=encoder, progress=advance, accelerator=accelerator
            )
        _say_what_trains(prepared)
        if settings.augment:
            print("augment: examples are varied and encoded anew in every step; the feature cache is off.")
        accelerator = accelerator or new_accelerator(agent.core.device.type)
        logs = out.with_name(f"{out.name}-{tracker}")
        with (
            asked_to_stop() as stop,
            _bar() as show,
            tracked(tracker, logs, settings.as_json(), accelerator) as log,
        ):

            def on_step(step: int, steps: int, loss: float, score: float | None) -> None:
                show(step, steps, loss, score)
                log(step, steps, loss, score)

            try:
                done = train(
                    prepared,
                    settings,
                    out,
                    data=examples,
                    resume=resume,
                    on_step=on_step,
                    stop=stop,
                    accelerator=accelerator,
                    say=print,
                )
            except Interrupted as error:
                raise UserError(f"{error}. Go on with the same command and --resume.") from error
    if done is None:
        return
    _say_what_came(done, out)
    if fsdp:
        failure.say(f"no report is written with --fsdp. mmagent eval --bundle {out} makes one.")
        return
    again = ["mmagent", "eval", "--data", data, "--bundle", str(out), "--split", "validation"]
    again += [*(["--question", question] if question else []), *_each("--column", column or [])]
    _report(done, prepared, examples, report, settings.seed, [*again, "--controls", "blind"])


def _report(
    done: Trained, prepared: Prepared, data: LabelledSet, out: Path, seed: int, command: list[str]
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


def _named(text: str) -> tuple[str, str]:
    name, equals, column = text.partition("=")
    if not (name and equals and column):
        raise UserError(f"cannot read --column {text!r}. Write it like question=prompt_text.")
    return name.strip(), column.strip()


def _say_what_trains(prepared: Prepared) -> None:
    """Names, shapes, count and share of what trains, before the first step."""
    core = prepared.agent.core
    for name, shape, count in prepared.parameters():
        print(f"trains  {prepared.sense}.{name}  {tuple(shape)}  {count:,}")
    own = sum(count for *_, count in prepared.parameters())
    print(
        f"in all {own:,} weights, {100 * prepared.share:.2f} % of core and adapter, from "
        f"{prepared.began_as}. Frozen: the core ({core.fingerprint()[:12]}) and the encoder."
    )
    print(f"{len(prepared.train):,} examples to learn from, {len(prepared.validation):,} to judge by.")


def _say_what_came(done: Trained, out: Path) -> None:
    best, outcome = done.outcome.best, done.outcome
    early = "stopped early" if outcome.steps < outcome.planned else "ran to its end"
    print(
        f"{outcome.steps:,} of {outcome.planned:,} steps ({early}) in {outcome.seconds:.0f} s, "
        f"{outcome.examples / max(1e-9, outcome.seconds):.0f} examples per second, "
        f"{100 * outcome.waste:.0f} % padding. Best: {100 * best.score:.1f} % of the validation answers "
        f"exact, at step {best.step:,}."
    )
    failure.say(f'the bundle is in {out}. Ask it: mmagent ask "What is this?" --bundle {out} --image FILE')


class _bar:
    """Progress with loss, score, examples per second and time left; on a terminal only."""

    def __enter__(self) -> Callable[[int, int, float, float | None], None]:
        from tqdm import tqdm

        self._shown = tqdm(desc="training", unit="step", disable=not sys.stderr.isatty(), leave=False)
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


def _reads(words: Mapping[str, int]) -> Callable[[str], int]:
    """What reads a whole number, or a word that stands for one."""

    def number(text: str) -> int:
        if text in words:
            return words[text]
        if not text.lstrip("-").isdecimal():
            raise typer.BadParameter(f"{text!r} is neither a whole number nor {' or '.join(words)}.")
        return int(text)

    return number


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
        words = WORDS.get(field.name)
        own_kind: dict[str, Any] = (
            {"parser": _reads(words), "metavar": f"N|{'|'.join(words)}"} if words else {}
        )
        option = typer.Option(*names, help=help, show_default=False, **own_kind)
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
