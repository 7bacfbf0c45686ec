"""The options of ``mmagent ask``: the flags derive from a dataclass, and from the modalities there are."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from mmagent.modality import Modality
from mmagent_cli.completing import complete_bundle, complete_dtype

MOST_SEED = (1 << 63) - 1


class Memory(StrEnum):
    """Whether shots vote by similarity while the core decodes."""

    on = "on"
    off = "off"


def _option(*names: str, help: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, show_default=more.pop("show_default", False), **more)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 1:
        raise typer.BadParameter(f"{text!r} is not a number above 0 and at most 1.")
    return value


@dataclass(frozen=True)
class AskOptions:
    """What ``mmagent ask`` was asked for; `media` holds the sources of each modality, by its name."""

    question: Annotated[
        str | None,
        typer.Argument(
            metavar="QUESTION", help="What to ask. Without it the input is described.", show_default=False
        ),
    ] = None
    shot: Annotated[
        list[str] | None,
        _option(
            "--shot",
            metavar="EXAMPLE",
            help='An answered example: "image=a.png,answer=dax", also question=. Repeatable.',
        ),
    ] = None
    shots: Annotated[
        Path | None,
        _option(
            "--shots",
            metavar="FILE|FOLDER",
            help="Many examples: a .jsonl, .csv or .tsv file of rows, or a folder of class folders.",
        ),
    ] = None
    memory: Annotated[
        Memory, _option("--memory", help="Let near shots vote for their answers.", show_default=True)
    ] = Memory.on
    choices: Annotated[
        str | None,
        _option("--choices", metavar="A,B", help="Score these answers instead of writing one: red,blue."),
    ] = None
    bundle: Annotated[
        str,
        _option(
            "--bundle",
            metavar="NAME|DIR",
            help="A bundle's name or directory.",
            show_default=True,
            autocompletion=complete_bundle,
        ),
    ] = "tiny"
    core: Annotated[
        str | None,
        _option(
            "--core", metavar="DIR|ID", help="Another core: a directory or hub id. The senses must fit it."
        ),
    ] = None
    prompt: Annotated[
        Path | None,
        _option(
            "--prompt",
            metavar="NAME|FILE",
            help="A prompt template: a built-in name or a Jinja file of your own.",
        ),
    ] = None
    device: Annotated[
        str | None, _option("--device", metavar="DEVICE", help="cuda, mps or cpu; chosen by itself.")
    ] = None
    dtype: Annotated[
        str | None,
        _option(
            "--dtype",
            metavar="DTYPE",
            help="float32, bfloat16 or float16; chosen by what the device does fast.",
            autocompletion=complete_dtype,
        ),
    ] = None
    load_in: Annotated[
        str | None,
        _option("--load-in", metavar="8bit|4bit", help="Quantise the core; it takes less memory."),
    ] = None
    max_tokens: Annotated[
        int, _option("--max-tokens", metavar="N", help="Longest answer, in tokens.", min=1, show_default=True)
    ] = 48
    temperature: Annotated[
        float,
        _option(
            "--temperature",
            metavar="T",
            help="0 always takes the likeliest token.",
            min=0.0,
            show_default=True,
        ),
    ] = 0.0
    top_p: Annotated[
        float,
        _option(
            "--top-p",
            metavar="P",
            help="Sample from this much probability, above 0 and at most 1.",
            parser=_share,
            show_default=True,
        ),
    ] = 1.0
    seed: Annotated[
        int,
        _option("--seed", metavar="N", help="Seed for sampling.", min=0, max=MOST_SEED, show_default=True),
    ] = 0
    json: Annotated[bool, _option("--json", help="Print one JSON object.")] = False
    batch: Annotated[
        Path | None,
        _option(
            "--batch",
            metavar="FILE",
            help="Answer every row of a .jsonl file, - for stdin; shots given here serve every row.",
        ),
    ] = None
    out: Annotated[
        Path | None, _option("--out", metavar="FILE", help="Where --batch writes its answers.")
    ] = None
    resume: Annotated[bool, _option("--resume", help="Go on where an interrupted --batch stopped.")] = False
    trust_remote_code: Annotated[
        bool,
        _option("--trust-remote-code", help="Run code that comes with a model. Only for sources you trust."),
    ] = False
    media: dict[str, list[str]] = field(default_factory=dict)


def ask_command(
    modalities: Iterable[Modality], run: Callable[[typer.Context, AskOptions], int | None]
) -> Callable[..., int | None]:
    """A function that calls `run`; its signature is `AskOptions` with one repeatable option per modality."""
    known = {modality.name: modality for modality in modalities}

    def ask(context: typer.Context, **values: Any) -> int | None:
        media = {name: list(values.pop(name) or ()) for name in known}
        given = {name: sources for name, sources in media.items() if sources}
        return run(context, AskOptions(**values, media=given))

    kind = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("context", kind, annotation=typer.Context)]
    hints = get_type_hints(AskOptions, include_extras=True)
    for one in fields(AskOptions):
        if one.default is not MISSING:
            parameters.append(
                inspect.Parameter(one.name, kind, default=one.default, annotation=hints[one.name])
            )
    media_options = [
        inspect.Parameter(name, kind, default=None, annotation=_media_option(modality))
        for name, modality in known.items()
    ]
    parameters[2:2] = media_options  # after the question
    ask.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    ask.__annotations__ = {one.name: one.annotation for one in parameters}
    ask.__doc__ = ask_command.__doc__
    return ask


def _media_option(modality: Modality) -> Any:
    flag = f"--{modality.name.replace('_', '-')}"
    text = modality.help[:1].upper() + modality.help[1:].rstrip(".")
    option = _option(flag, metavar="FILE", help=f"{text}. Repeatable; - reads stdin.", path_type=str)
    return Annotated[
        list[str] | None, option
    ]  # path_type: the shell completes files, the text stays as typed
