"""Everything a plugin can say to mmagent, on one screen.

A plugin is a light module named by an entry point in the group ``mmagent``. It describes what it brings and
names the heavy halves by dotted path (``"package.module:attribute"``); they are imported on first use:

    @mmagent.hookspecs.hookimpl
    def register_modalities(register):
        register(Modality(name="thermal", help="...", reader="my_thermal.reader:Reader", ...))

Every hook is handed a callable and returns nothing. What mmagent itself brings comes through this same door.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import typer

    from mmagent.adapter import AdapterFamily
    from mmagent.bundle import BundleSource
    from mmagent.modality import Modality
    from mmagent.training.preset import Preset

PROJECT = "mmagent"  # the pluggy project and the entry-point group

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_modalities(register: Callable[[Modality], None]) -> None:
    """Bring kinds of input: each one gives the command an option (``--image``), the prompts a placeholder."""


@hookspec
def register_adapters(register: Callable[[AdapterFamily], None]) -> None:
    """Bring adapter families: networks that carry features into the core, or that are built into it."""


@hookspec
def register_bundles(register: Callable[[BundleSource], None]) -> None:
    """Bring trained bundles: directories that ``--bundle NAME`` finds."""


@hookspec
def register_presets(register: Callable[[Preset], None]) -> None:
    """Bring settings of training under a name: TOML files that ``--preset NAME`` finds."""


@hookspec
def register_commands(app: typer.Typer) -> None:
    """Bring commands: add them to the `typer.Typer` handed over, with ``@app.command()``."""
