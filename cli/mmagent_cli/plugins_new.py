"""``mmagent plugins new``: the package of a new modality, written so that it works at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmagent_cli.state import State


def new(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the modality: thermal gives --thermal.")],
    directory: Annotated[
        Path | None,
        typer.Option("--dir", metavar="DIR", help="The new folder; else mmagent-NAME.", show_default=False),
    ] = None,
    description: Annotated[
        str,
        typer.Option("--description", metavar="TEXT", help="One line that help shows.", show_default=False),
    ] = "",
) -> None:
    """Write a package that brings a modality of your own: it installs, passes its tests, and reads arrays.

    Then fill in three functions; the package says where.
    """
    from mmagent.scaffold import write_plugin

    state: State = context.obj
    taken = {row.name: f"{row.distribution} {row.version}" for row in state.plugins.listing()}
    for modality in state.plugins.modalities:
        row = state.plugins.bringer(modality)
        taken[modality] = f"{row.distribution} {row.version}"
    made = write_plugin(name, directory, description=description, taken=taken)
    print(f"wrote {made.folder} ({len(made.files)} files)\n")
    print(f"  pip install -e {made.folder}")
    print(f"  mmagent plugins check {name}")
    print(f"\nFill in load, describe and features in {made.folder / made.package / 'sensor.py'}.")
    print(f"{made.folder / 'README.md'} says what else is yours to change.")
