"""``mmagent eval``: a bundle on labelled data, beside controls and baselines; a verdict, and a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmagent.errors import UserError
from mmagent.plugins import Plugins
from mmagent_cli import failure, progress
from mmagent_cli.bundles import complete_bundle
from mmagent_cli.data_cmd import parse_columns
from mmagent_cli.options import Memory
from mmagent_cli.state import State

if TYPE_CHECKING:
    from mmagent.agent import Agent
    from mmagent.evaluation import Evaluation

__all__ = ["add", "tell"]

CONTROLS = "blind,shuffled,oracle"
BASELINES = "majority,nearest,logistic,memory"
NO_PART = ("out", "as_json")  # of what the numbers hang on


def add(app: typer.Typer, plugins: Plugins, help: str) -> None:
    """Add the command to the app."""
    app.command("eval", short_help=help)(run)


def run(
    context: typer.Context,
    data: Annotated[
        str,
        typer.Option(
            "--data",
            metavar="PATH",
            help="Labelled data: a file, a folder, or a hub name.",
            show_default=False,
        ),
    ],
    bundle: Annotated[
        str,
        typer.Option(
            "--bundle",
            metavar="NAME|DIR",
            help="The bundle to evaluate.",
            autocompletion=complete_bundle,
        ),
    ] = "tiny",
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="NAME",
            help="The rows to answer; else test, else validation, else all.",
            show_default=False,
        ),
    ] = None,
    shots: Annotated[
        str,
        typer.Option("--shots", metavar="N,N", help="Numbers of shots, drawn from the split train: 0,1,4."),
    ] = "0",
    controls: Annotated[
        str, typer.Option("--controls", metavar="A,B", help="Runs that should fail; none for none.")
    ] = CONTROLS,
    baselines: Annotated[
        str, typer.Option("--baselines", metavar="A,B", help="Simpler systems on the same features; or none.")
    ] = BASELINES,
    judge: Annotated[
        str | None,
        typer.Option(
            "--judge",
            metavar="NAME",
            help="exact match, choice accuracy or VQA accuracy; chosen by the data.",
            show_default=False,
        ),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="WHAT=NAME",
            help="Which column stands for what: question=prompt_text. Repeatable.",
            show_default=False,
        ),
    ] = None,
    question: Annotated[
        str | None,
        typer.Option(
            "--question", metavar="TEXT", help="What rows without a question are asked.", show_default=False
        ),
    ] = None,
    names: Annotated[
        Path | None,
        typer.Option(
            "--names",
            metavar="FILE",
            help="Names of classes that the data give by number, one per line.",
            show_default=False,
        ),
    ] = None,
    memory: Annotated[
        Memory, typer.Option("--memory", help="Let near shots vote for their answers.")
    ] = Memory.on,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="Of shots, shuffling and intervals.", min=0)
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where the report is written.", show_default=False),
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", metavar="DEVICE", help="cuda, mps or cpu.", show_default=False)
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option("--dtype", metavar="DTYPE", help="float32, bfloat16 or float16.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Measure a bundle on labelled data, beside controls and baselines, and say what the number is worth."""
    state: State = context.obj
    asked: dict[str, Any] = {
        "shots": _numbers(shots),
        "controls": _words(controls),
        "baselines": _words(baselines),
        "judge": judge,
        "split": split,
        "memory": memory is Memory.on,
        "seed": seed,
    }
    columns = parse_columns(column or [])
    _demand(bundle, out, state)
    from mmagent.evaluation.run import check_asked

    check_asked(*(asked[name] for name in ("shots", "controls", "baselines", "judge")))
    from mmagent.data import read_labelled

    with progress.patience("reading"):
        labelled = read_labelled(
            data, state.plugins.modalities, columns=columns or None, question=question, names=names
        )
    labelled.demand_sound()
    agent = _wake(bundle, state, device, dtype)
    from mmagent.evaluation import evaluate, write_report

    with progress.stages() as advance:
        evaluation = evaluate(agent, labelled, command=_command(context), progress=advance, **asked)
    with progress.patience("computing intervals"):
        tell(evaluation, as_json=as_json)
        page = write_report(evaluation, out) if out is not None else None
    if page is not None:
        failure.say(f"the report is in {page}")


def tell(evaluation: Evaluation, *, as_json: bool = False) -> None:
    """Print the verdict, or the whole report as JSON, to stdout; notes to stderr."""
    if as_json:
        from mmagent.evaluation.page import as_text

        print(as_text(evaluation.report), end="")
    else:
        print("\n".join(evaluation.lines))
    for note in evaluation.notes:
        failure.say(note)


def _command(context: typer.Context) -> list[str]:
    """What to type to have the same numbers again, defaults written out."""
    words = ["mmagent", "eval"]
    for option in context.command.params:
        value = context.params.get(option.name or "")
        several = value if isinstance(value, list | tuple) else [] if value is None else [value]
        if option.name not in NO_PART:
            words += [word for one in several for word in (option.opts[0], str(getattr(one, "value", one)))]
    return words


def _numbers(text: str) -> list[int]:
    """``0,1,4`` as numbers. Raises `UserError`."""
    words = _words(text)
    if not words or not all(word.isdecimal() for word in words):
        raise UserError(f"cannot read --shots {text!r}. Write numbers like this: --shots 0,1,4.")
    return [int(word) for word in words]


def _words(text: str) -> list[str]:
    """``a,b`` as a list, each once; ``none`` is an empty one."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    return [] if words == ["none"] else list(dict.fromkeys(words))


def _demand(bundle: str, out: Path | None, state: State) -> None:
    """Tell an unknown or broken bundle, and a place that is taken, before anything long begins."""
    from mmagent.bundle import Bundle, find_bundle

    Bundle.open(find_bundle(bundle, state.plugins.bundles), check_content=False)
    if out is not None:
        from mmagent.evaluation.page import demand_place

        demand_place(out)


def _wake(bundle: str, state: State, device: str | None, dtype: str | None) -> Agent:
    with progress.patience(f"loading {bundle}"):
        from mmagent.agent import Agent

        return Agent.load(bundle, device=device, dtype=dtype, plugins=state.plugins)
