"""``mmagent inspect``: what is in files, told and drawn, and what they will cost in soft tokens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmagent.errors import UserError
from mmagent.plugins import Plugins
from mmagent_cli import failure, progress
from mmagent_cli.completing import complete_bundle, complete_modality
from mmagent_cli.state import State

if TYPE_CHECKING:
    from mmagent.inspection import Inspection

__all__ = ["add"]

DEFAULT_BUNDLE = "tiny"


def add(app: typer.Typer, plugins: Plugins, help: str) -> None:
    """Add the command to the app."""
    app.command("inspect", short_help=help)(inspect)


def inspect(
    context: typer.Context,
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Files; - reads stdin.", show_default=False)
    ],
    modality: Annotated[
        str | None,
        typer.Option(
            "--modality",
            metavar="NAME",
            help="What the files are; found by their content.",
            show_default=False,
            autocompletion=complete_modality,
        ),
    ] = None,
    bundle: Annotated[
        str | None,
        typer.Option(
            "--bundle",
            metavar="NAME|DIR",
            help="Whose soft tokens are counted; tiny.",
            show_default=False,
            autocompletion=complete_bundle,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per file, a line each.")
    ] = False,
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture",
            metavar="FILE.png|.html",
            help="Draw what is in the files; the page has the profiles, too.",
            show_default=False,
        ),
    ] = None,
) -> int:
    """Tell what is in files: elements, sampling, structure, information, noise, and their cost in tokens."""
    state: State = context.obj
    if picture is not None:
        from mmagent.inspection.picture import demand_target

        demand_target(picture)
    if files.count("-") > 1:
        raise UserError("stdin can be read once, but '-' is given more often. Use files for the others.")
    found = []
    failed = False
    printed = False
    for file in files:
        try:
            one = _inspected(file, modality, _whose(bundle, state), state)
        except UserError as error:
            failure.say(str(error))
            failed = True
            continue
        _print(one, as_json=as_json, first=not printed)
        printed = True
        found += [one] if picture is not None else []
    if picture is not None and found:
        _draw(found, picture)
    return 2 if failed else 0


def _whose(bundle: str | None, state: State) -> str | None:
    """The bundle that is asked; nobody where none was named and the usual one is not installed."""
    if bundle is not None:
        return bundle
    return DEFAULT_BUNDLE if DEFAULT_BUNDLE in state.plugins.bundles else None


def _inspected(file: str, modality: str | None, bundle: str | None, state: State) -> Inspection:
    from mmagent.inspection import inspect_file

    with progress.patience("inspecting"):
        return inspect_file(file, modality=modality, bundle=bundle, plugins=state.plugins)


def _print(found: Inspection, *, as_json: bool, first: bool) -> None:
    from mmagent.inspection.shown import text

    if as_json:
        import json

        told = json.dumps(found.as_json(), ensure_ascii=False)
    else:
        told = text(found) if first else f"\n{text(found)}"
    print(told, flush=True)


def _draw(found: list[Inspection], target: Path) -> None:
    from mmagent.inspection.picture import write_picture

    with progress.patience("drawing"):
        drawn = write_picture(found, target)
    names = ", ".join(sorted({one.modality for one in found}))
    if not drawn and target.suffix.lower() == ".png":
        raise UserError(f"nothing was drawn: there is no picture of {names}. FILE.html holds the profiles.")
    failure.say(f"the picture is in {target}.")
