"""``mmagent cache``: where features are kept, how many of which encoder, how large; and how to clean them."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmagent.errors import UserError
from mmagent.plugins import Plugins
from mmagent_cli import failure
from mmagent_cli.table import write_table

if TYPE_CHECKING:
    from mmagent.feature_cache import Cleaned, Holding

HELP = "Show the features that encoders have computed and that are kept, or clean them."
UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

group = typer.Typer(help=HELP, rich_markup_mode=None)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Folder = Annotated[
    Path | None,
    typer.Option("--dir", metavar="DIR", help="Another cache than the user's.", show_default=False),
]


def add(app: typer.Typer, plugins: Plugins, help: str) -> None:
    """Add the command and its subcommand to the app."""
    app.add_typer(group, name="cache", short_help=help)


@group.callback(invoke_without_command=True)
def cache(context: typer.Context, folder: Folder = None, as_json: AsJson = False) -> None:
    """Show the features that encoders have computed and that are kept, or clean them."""
    if context.invoked_subcommand is not None:
        if folder is not None or as_json:
            raise UserError("options stand after clean: mmagent cache clean --dir DIR --json.")
        return
    from mmagent.feature_cache import FeatureCache

    kept = FeatureCache(folder)
    found, size = kept.contents(), kept.size()
    entries = sum(one.entries for one in found)
    if as_json:
        encoders = [vars(one) for one in found]
        _print_json(
            {"directory": str(kept.directory), "entries": entries, "bytes": size, "encoders": encoders}
        )
        return
    print(f"{kept.directory}: {_count(entries, 'entry', 'entries')}, {_size(size)}")
    if found:
        head = ("encoder", "entries", "size", "width", "stored as", "last used", "transform")
        write_table(head, [_row(one) for one in found])


@group.command("clean")
def clean(
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than",
            metavar="30d",
            help="Only what was not used for so long: 90m, 12h, 30d, 8w.",
            show_default=False,
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            "--encoder",
            metavar="ID",
            help="Only features of this encoder: its id, or how it begins.",
            show_default=False,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first.")] = False,
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Remove features that are kept; without options all of them. They are computed again when needed."""
    from mmagent.feature_cache import FeatureCache

    age = None if older_than is None else seconds(older_than)
    kept = FeatureCache(folder)
    planned = kept.clean(age, encoder, dry_run=True)
    if not yes and planned.files:
        if sys.stdin is None or not sys.stdin.isatty():
            raise UserError(f"this would remove {_told(planned)} from {kept.directory}. Add --yes to do it.")
        if not typer.confirm(f"Remove {_told(planned)} from {kept.directory}?", err=True):
            failure.say("nothing was removed")
            return
    done = kept.clean(age, encoder) if planned.files else planned
    if as_json:
        _print_json({"directory": str(kept.directory), **vars(done)})
    else:
        print(f"removed {_told(done)}")


def seconds(text: str) -> float:
    """``30d`` as seconds. Raises `UserError`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([mhdw])", text.strip().lower())
    if found is None:
        raise UserError(
            f"--older-than {text!r} is no span of time. Write minutes, hours, days or weeks: "
            "90m, 12h, 30d, 8w."
        )
    return float(found[1]) * UNITS[found[2]]


def _row(one: Holding) -> tuple[str, ...]:
    used = time.strftime("%Y-%m-%d", time.localtime(one.used))
    return (
        one.encoder[:12],
        f"{one.entries:,}",
        _size(one.bytes),
        str(one.d_encoder),
        one.dtype,
        used,
        one.transform or "none",
    )


def _told(cleaned: Cleaned) -> str:
    return f"{_count(cleaned.entries, 'entry', 'entries')} ({_size(cleaned.bytes)})"


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _size(count: int) -> str:
    """Bytes in units for people."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} bytes"


def _print_json(value: Any) -> None:
    import json

    print(json.dumps(value, indent=2, ensure_ascii=False))
