"""``mmagent data``: labelled data, looked at before anything is trained on them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmagent.errors import UserError
from mmagent.plugins import Plugins
from mmagent_cli import failure, progress
from mmagent_cli.bundles import complete_bundle
from mmagent_cli.state import State

if TYPE_CHECKING:
    from mmagent.agent import Agent
    from mmagent.data import CheckReport, LabelledSet

__all__ = ["add", "parse_columns"]

HELP = "Look at labelled data before training on them."
DEFAULT_BUNDLE = "tiny"


def add(app: typer.Typer, plugins: Plugins, help: str) -> None:
    """Add the group and its command to the app."""
    group = typer.Typer(help=HELP, rich_markup_mode=None)
    group.callback(invoke_without_command=True)(_data)
    group.command("check", short_help="Tell how data are read and what training would refuse.")(check)
    app.add_typer(group, name="data", short_help=help)


def _data(context: typer.Context) -> None:
    """Look at labelled data before training on them."""
    if context.invoked_subcommand is None:
        print(context.get_help())


def check(
    context: typer.Context,
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="A file, a folder, or a hub name.", show_default=False)
    ],
    bundle: Annotated[
        str | None,
        typer.Option(
            "--bundle",
            metavar="NAME|DIR",
            help="Whose prompts are shown and counted; tiny, or with --quick nobody's.",
            show_default=False,
            autocompletion=complete_bundle,
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
    split_column: Annotated[
        str | None,
        typer.Option("--split-column", metavar="NAME", help="The column of splits.", show_default=False),
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
    quick: Annotated[bool, typer.Option("--quick", help="Look only whether files are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Tell how labelled data are read, and what training would refuse."""
    from mmagent.data import check, read_labelled

    state: State = context.find_root().obj
    columns = parse_columns([*(column or ()), *([f"split={split_column}"] if split_column else [])])
    wanted = bundle or (None if quick else DEFAULT_BUNDLE)
    if wanted is not None:
        _demand(wanted, state)
    with progress.patience("reading"):
        labelled = read_labelled(
            path, state.plugins.modalities, columns=columns, question=question, names=names
        )
    agent = _wake(wanted, state) if wanted is not None else None
    with progress.bar("checking") as advance:
        report = check(
            labelled,
            state.plugins,
            agent=agent,
            quick=quick,
            progress=advance,
            estimate=_estimate(agent) if agent is not None and not quick else None,
        )
    return _tell(report, as_json=as_json)


def parse_columns(given: list[str]) -> dict[str, str]:
    """``question=prompt_text`` as a mapping. Raises `UserError`."""
    columns: dict[str, str] = {}
    for text in given:
        role, equals, name = (part.strip() for part in text.partition("="))
        if not (role and equals and name):
            raise UserError(
                f"cannot read --column {text!r}. Write it like this: --column question=prompt_text."
            )
        if role in columns:
            raise UserError(f"the {role} is given two columns, {columns[role]} and {name}. Choose one.")
        columns[role] = name
    return columns


def _demand(bundle: str, state: State) -> None:
    """Tell an unknown or broken bundle before anything long begins. Raises `UserError`."""
    from mmagent.bundle import Bundle, find_bundle

    Bundle.open(find_bundle(bundle, state.plugins.bundles), check_content=False)


def _wake(bundle: str, state: State) -> Agent:
    with progress.patience(f"loading {bundle}"):
        from mmagent.agent import Agent

        return Agent.load(bundle, plugins=state.plugins)


def _estimate(agent: Agent) -> Callable[[LabelledSet], Mapping[str, Any]]:
    """What training would take with the settings it has where nothing is said."""
    from mmagent.training.pace import run_estimate
    from mmagent.training.settings import TrainSettings

    return lambda labelled: run_estimate(labelled, agent, TrainSettings())


def _tell(report: CheckReport, *, as_json: bool) -> int:
    """Print the report to stdout and the reasons to refuse to stderr; the exit code."""
    from mmagent.data.labelled import told

    if as_json:
        import json

        print(json.dumps(report.as_json(), indent=2, ensure_ascii=False))
    else:
        print(report.text(problems=False))
    sys.stdout.flush()
    for line in told(report.problems):
        failure.say(line)
    return 0 if report.clean else 2
