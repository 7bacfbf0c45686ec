"""Loading makes no noise, and a hub out of reach is noticed at once."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from mmagent import hub


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without a proxy."""
    monkeypatch.setattr(hub, "getproxies", dict)


def test_a_directory_never_asks_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "hub_is_reachable", lambda: pytest.fail("the hub was asked"))
    assert hub.local_only(str(tmp_path))


def test_a_hub_id_is_local_only_while_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        assert not hub.local_only("org/name")
    assert hub.local_only("org/name")


def test_behind_a_proxy_the_hub_counts_as_reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(hub, "getproxies", lambda: {"https": "http://proxy:3128"})
    assert not hub.local_only("org/name")


def test_quiet_ends_with_its_block() -> None:
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging as transformers_logging

    def levels() -> list[int]:
        return [hub_logging.get_verbosity(), transformers_logging.get_verbosity()]

    before, bars = levels(), transformers_logging.is_progress_bar_enabled()
    with hub.quiet():
        assert levels() == [40, 40]  # errors only
        assert not transformers_logging.is_progress_bar_enabled()
    assert levels() == before
    assert transformers_logging.is_progress_bar_enabled() == bars
