"""A person who waits sees what for; a pipe never does."""

from __future__ import annotations

import io
import shlex
import sys
import time
from pathlib import Path

import pytest

from mmagent_cli import progress


class Screen(io.StringIO):
    """A stderr that says whether it is a terminal."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.fixture
def watch(monkeypatch):
    """Put a screen in the place of stderr; called in the test, since pytest puts its own there before."""

    def watched(*, terminal: bool) -> Screen:
        screen = Screen(terminal)
        monkeypatch.setattr(sys, "stderr", screen)
        monkeypatch.setattr(progress, "PATIENCE_SECONDS", 0.05)
        return screen

    return watched


def test_a_long_wait_is_told_and_wiped_away(watch):
    screen = watch(terminal=True)
    with progress.patience("loading tiny"):
        time.sleep(0.8)
    assert "loading tiny, " in screen.getvalue()
    assert screen.getvalue().endswith("\r\x1b[K")


def test_a_short_wait_is_not_told(watch):
    screen = watch(terminal=True)
    with progress.patience("loading tiny"):
        pass
    with progress.patience("thinking") as end:
        end()
        time.sleep(0.2)
    assert screen.getvalue() == ""


def test_nothing_in_a_pipe(watch):
    screen = watch(terminal=False)
    with progress.patience("loading tiny"):
        time.sleep(0.8)
    with progress.bar("answering") as advance:
        advance(1, 2)
        time.sleep(0.3)
        advance(2, 2)
    assert screen.getvalue() == ""


def test_a_batch_has_a_bar(watch):
    screen = watch(terminal=True)
    with progress.bar("answering") as advance:
        time.sleep(0.3)
        advance(3, 8)
        time.sleep(0.2)
        advance(8, 8)
    assert "answering" in screen.getvalue()
    assert "3/8" in screen.getvalue() or "8/8" in screen.getvalue()


def test_a_trained_bundle_is_asked_as_its_rows_were(capsys):
    from mmagent.data import read_labelled
    from mmagent.plugins import load_plugins
    from mmagent_cli.ask import parse_choices
    from mmagent_cli.train_said import say_where

    modalities = load_plugins().modalities
    rows = [{"image": b"one", "label": "left"}, {"image": b"two", "label": "right"}]
    say_where(Path("mine"), read_labelled(rows, modalities, question="Where's the needle?"))
    told = capsys.readouterr().err.partition("Ask it: ")[2].strip()
    assert shlex.split(told)[:5] == ["mmagent", "ask", "Where's the needle?", "--bundle", "mine"]
    chosen = [{**one, "question": "Where?", "choices": ["up, then", "left", "right"]} for one in rows]
    say_where(Path("mine"), read_labelled(chosen, modalities))
    words = shlex.split(capsys.readouterr().err.partition("Ask it: ")[2])
    assert parse_choices(words[words.index("--choices") + 1]) == ["up, then", "left", "right"]
    captions = [{"image": one["image"], "caption": one["label"]} for one in rows]
    say_where(Path("mine"), read_labelled(captions, modalities))
    assert capsys.readouterr().err.endswith("Ask it: mmagent ask --bundle mine --image FILE\n")
