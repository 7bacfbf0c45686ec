"""``mmagent data``: labelled data, looked at before anything is trained on them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmagent.plugins import Plugins
from mmagent_cli import failure, progress
from mmagent_cli.completing import complete_bundle
from mmagent_cli.data_options import SOURCE, Columns, Names, Question, SplitColumn, parse_columns
from mmagent_cli.state import State

if TYPE_CHECKING:
    from mmagent.agent import Agent
    from mmagent.data import CheckReport, LabelledSet

__all__ = ["add"]

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
    path: Annotated[str, typer.Argument(metavar="PATH", help=SOURCE, show_default=False)],
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
    column: Columns = None,
    split_column: SplitColumn = None,
    question: Question = None,
    names: Names = None,
    quick: Annotated[bool, typer.Option("--quick", help="Look only whether files are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Tell how labelled data are read, and what training would refuse."""
    from mmagent.data import check, read_labelled

    state: State = context.find_root().obj
    columns = parse_columns(column, split_column)
    wanted = bundle if bundle is not None or quick else DEFAULT_BUNDLE
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
