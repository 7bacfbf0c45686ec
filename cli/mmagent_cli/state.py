"""What every command is handed: the plugins that work, and whether to talk about the inside."""

from __future__ import annotations

from dataclasses import dataclass

from mmagent.plugins import Plugins


@dataclass(frozen=True)
class State:
    """Reached in a command as ``context.obj``."""

    plugins: Plugins
    debug: bool = False
