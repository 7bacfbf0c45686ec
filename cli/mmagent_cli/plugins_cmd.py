"""``mmagent plugins``: what is installed, in which state, what it brings; a new one; a check of one."""

from __future__ import annotations

from typing import Annotated

import typer

from mmagent.plugins import Plugins
from mmagent_cli.state import State
from mmagent_cli.table import write_table

HELP = "List the plugins: name, version, distribution, state, and what each brings."

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def add(app: typer.Typer, plugins: Plugins, help: str) -> None:
    """Add the command and its subcommands to the app."""
    from mmagent_cli import plugins_check, plugins_new

    group = typer.Typer(help=HELP, rich_markup_mode=None)
    group.callback(invoke_without_command=True)(list_plugins)
    group.command("new", short_help="Write the package of a new modality.")(plugins_new.new)
    group.command("check", short_help="Check what a modality promises.")(plugins_check.check)
    app.add_typer(group, name="plugins", short_help=help)


def list_plugins(context: typer.Context, as_json: AsJson = False) -> None:
    """List the plugins: name, version, distribution, state, and what each brings."""
    if context.invoked_subcommand is not None:
        return
    state: State = context.obj
    rows = state.plugins.listing()
    if as_json:
        import json

        problems = [problem._asdict() for problem in (*state.plugins.problems, *state.plugins.slow)]
        print(json.dumps({"plugins": [row._asdict() for row in rows], "problems": problems}, indent=2))
        return
    head = ("plugin", "version", "distribution", "state", "brings")
    write_table(
        head, [(row.name, row.version, row.distribution, row.state, ", ".join(row.brings)) for row in rows]
    )
