"""Give a frozen language model new senses: ask it about pictures and whatever else a plugin reads.

    from mmagent import Agent

    agent = Agent.load("tiny")
    agent.ask("What is this?", image="x.jpg").text

Importing this package is cheap: names are resolved on first use, so torch is loaded only when an agent is.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmagent.agent import Agent, Request
    from mmagent.answer import Answer
    from mmagent.bundle import Bundle
    from mmagent.errors import MMAgentError, UserError
    from mmagent.hookspecs import hookimpl

__version__ = "0.1.0"

__all__ = ["Agent", "Answer", "Bundle", "MMAgentError", "Request", "UserError", "__version__", "hookimpl"]

_HOME = {
    "Agent": "mmagent.agent",
    "Answer": "mmagent.answer",
    "Bundle": "mmagent.bundle",
    "MMAgentError": "mmagent.errors",
    "Request": "mmagent.agent",
    "UserError": "mmagent.errors",
    "hookimpl": "mmagent.hookspecs",
}


def __getattr__(name: str) -> Any:
    """Import a public name from the module it lives in, the first time it is asked for."""
    if name not in _HOME:
        raise AttributeError(f"module 'mmagent' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
