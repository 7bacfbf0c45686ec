"""Loading from directories and from the hub without noise and without a minute of retries when offline."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies


def local_only(location: str) -> bool:
    """Whether a place can only be on this machine: a directory, or a hub id while the hub is out of reach.

    Meant for `local_files_only=`: what the hub's cache holds still loads then, and what it does not hold is
    known at once.
    """
    return Path(location).is_dir() or not hub_is_reachable()


def hub_is_reachable(seconds: float = 3.0) -> bool:
    """Whether the hub's server takes connections; with a proxy set this cannot be told and counts as yes."""
    if getproxies():
        return True
    endpoint = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    port = endpoint.port or (80 if endpoint.scheme == "http" else 443)
    try:
        socket.create_connection((endpoint.hostname or "", port), timeout=seconds).close()
    except OSError:
        return False
    return True


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars, load reports or retry notices on stderr; what they tell is checked by the caller."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging as transformers_logging

    logs: tuple[Any, Any] = (hub_logging, transformers_logging)
    levels, bars = [log.get_verbosity() for log in logs], logs[1].is_progress_bar_enabled()
    for log in logs:
        log.set_verbosity_error()
    logs[1].disable_progress_bar()
    try:
        yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.set_verbosity(level)
        if bars:
            logs[1].enable_progress_bar()
