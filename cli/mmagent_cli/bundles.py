"""``mmagent bundles``: which bundles there are, where from, how big, how good; and the card of one."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmagent.plugins import Plugins
from mmagent_cli import bundles_travel, failure
from mmagent_cli.state import State
from mmagent_cli.table import write_table

if TYPE_CHECKING:
    from mmagent.bundle import BundleInfo

group = typer.Typer(help="List, show and compare bundles; export, import, push, pull.", rich_markup_mode=None)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

bundles_travel.add_commands(group)


def add(app: typer.Typer, plugins: Plugins, help: str) -> None:
    """Add the command and its subcommand to the app."""
    app.add_typer(group, name="bundles", short_help=help)


@group.callback(invoke_without_command=True)
def bundles(context: typer.Context, as_json: AsJson = False) -> None:
    """List the bundles there are; each command below does something with one."""
    if context.invoked_subcommand is not None:
        return
    from mmagent.bundle import list_bundles

    state: State = context.find_root().obj
    found = list_bundles(state.plugins.bundles)
    if as_json:
        _print_json([{**vars(info), "path": str(info.path), "scores": dict(info.scores)} for info in found])
        return
    head = ("bundle", "version", "from", "size", "state", "scores")
    rows = [_row(one) for one in found]
    write_table(head, rows)
    for one in found:
        if one.problem:
            failure.say(one.problem)


@group.command("show")
def show(
    context: typer.Context,
    name: bundles_travel.Name,
    as_json: AsJson = False,
) -> None:
    """Print the card of a bundle: what it is made of, how it was trained, how good it is."""
    from mmagent.bundle import Bundle, find_bundle
    from mmagent.manifest import MANIFEST

    state: State = context.find_root().obj
    bundle = Bundle.open(find_bundle(name, state.plugins.bundles), check_content=False)
    if as_json:
        sys.stdout.write((bundle.path / MANIFEST).read_text(encoding="utf-8"))
    else:
        print(bundle.card().rstrip())


def _row(one: BundleInfo) -> tuple[str, ...]:
    state = "out" if one.problem else "ok"
    return (
        one.name,
        one.version,
        one.origin,
        _size(one.bytes),
        state,
        "" if one.problem else _scores(one.scores),
    )


def _print_json(value: Any) -> None:
    import json

    print(json.dumps(value, indent=2, ensure_ascii=False))


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def _scores(scores: Mapping[str, Any]) -> str:
    """Scores as words: fractions as per cent, anything that is not a number left to the card."""
    numbers = {name: value for name, value in scores.items() if isinstance(value, int | float)}
    shown = [
        f"{name} {value:.1%}" if 0 <= value <= 1 else f"{name} {value:g}" for name, value in numbers.items()
    ]
    return ", ".join(shown) or "see the card"
