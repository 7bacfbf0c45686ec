"""``mmagent train``: an adapter learns from labelled examples, and a bundle is written. Its options."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from mmagent.errors import UserError
from mmagent.plugins import Plugins
from mmagent.training.beside import waits_for_its_end
from mmagent.training.launch import launch
from mmagent.training.preset import find_preset
from mmagent.training.processes import is_started
from mmagent.training.settings import WORDS, TrainSettings, field_help, from_toml
from mmagent_cli import failure
from mmagent_cli.completing import complete_bundle, complete_dtype
from mmagent_cli.data_options import Columns, Data, Names, Question, SplitColumn, parse_columns
from mmagent_cli.state import State

__all__ = ["add"]


def add(app: typer.Typer, plugins: Plugins, help: str) -> None:
    """Add the command to the app; its flags are the fields of `TrainSettings`."""
    app.command("train", short_help=help)(_with_settings(run))


def run(
    context: typer.Context,
    data: Data,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The bundle that is written.")],
    bundle: Annotated[
        str,
        typer.Option(
            "--bundle", metavar="NAME|DIR", help="What to start from.", autocompletion=complete_bundle
        ),
    ] = "tiny",
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            "--encoder",
            metavar="[SENSE=]DIR|ID",
            help="Another encoder than the bundle's own; of several senses, one for each that is named.",
        ),
    ] = None,
    column: Columns = None,
    split_column: SplitColumn = None,
    question: Question = None,
    names: Names = None,
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
    dtype: Annotated[
        str | None, typer.Option("--dtype", help="float32, bfloat16 or auto.", autocompletion=complete_dtype)
    ] = None,
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
    columns = parse_columns(column, split_column)
    taken = out.exists() and (not out.is_dir() or any(out.iterdir()))
    if taken and not (resume and waits_for_its_end(out)):
        raise UserError(f"{out} is there already. Name another --out, or take it away first.")
    if processes and not is_started(processes):
        raise typer.Exit(launch([sys.executable, "-m", "mmagent_cli", *sys.argv[1:]], processes, failure.say))
    from mmagent_cli.train_run import Wish, carry_out

    carry_out(
        Wish(
            data=data,
            out=out,
            bundle=bundle,
            encoder=_encoders(encoder or [], state.plugins),
            question=question,
            columns=columns,
            names=names,
            resume=resume,
            report=report or out.with_name(f"{out.name}-report"),
            device=device,
            dtype=dtype,
            load_in=load_in,
            fsdp=fsdp,
            tracker=tracker,
            settings=settings,
            plugins=state.plugins,
        )
    )


def _encoders(given: list[str], plugins: Plugins) -> str | dict[str, str] | None:
    """``image=DIR`` by sense; one that names no sense as it stands. Raises `UserError`."""
    named = [(*text.partition("="), text) for text in given]
    found = {name: place for name, _, place, _ in named if name in plugins.modalities and place}
    bare = [text for name, _, place, text in named if not (name in plugins.modalities and place)]
    if len(given) > 1 and (bare or len(found) < len(given)):
        raise UserError(
            f"of several encoders each is for a sense of its own: --encoder {next(iter(plugins.modalities))}="
            f"{(bare or ['DIR'])[0]}."
        )
    return bare[0] if bare else found or None


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
