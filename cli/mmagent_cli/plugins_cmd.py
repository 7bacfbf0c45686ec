"""``mmagent plugins``: what is installed, in which state, and what it brings."""

from __future__ import annotations

from typing import Annotated

import typer

from mmagent.plugins import Plugins
from mmagent_cli.state import State
from mmagent_cli.table import write_table


def add(app: typer.Typer, plugins: Plugins, help: str) -> None:
    """Add the command to the app."""
    app.command("plugins", short_help=help)(list_plugins)


def list_plugins(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the plugins: name, version, distribution, state, and what each brings."""
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
