"""Help is there at once, tells all there is, and costs no heavy import."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields

import pytest

from mmagent import __version__
from mmagent.plugins import RESERVED
from mmagent_cli.options import AskOptions

HEAVY = ("torch", "transformers", "numpy", "PIL", "rich", "jinja2", "tqdm", "matplotlib")
OPTIONS = """--image --shot --shots --memory --choices --bundle --core --prompt --device --dtype --max-tokens
--temperature --top-p --seed --json --batch --out --resume --trust-remote-code""".split()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["ask", "--help"],
        ["plugins"],
        ["plugins", "new", "--help"],
        ["plugins", "check", "--help"],
        ["bundles", "--help"],
        ["inspect", "--help"],
        ["data", "check", "--help"],
        ["train", "--help"],
        ["eval", "--help"],
    ],
    ids=" ".join,
)
def test_costs_no_heavy_import(arguments):
    code = (
        "import sys\nfrom mmagent_cli.app import main\n"
        f"code = main({arguments!r})\n"
        f"print(*sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout
    assert done.stderr.split() == []


def test_garbage_is_looked_for_while_a_command_runs():
    """It is not while the command is imported, all of which stays."""
    code = (
        "import gc, mmagent_cli.app as at\n"
        "at.app = lambda: print(gc.isenabled(), gc.get_freeze_count() > 1000)\n"
        "from mmagent_cli.__main__ import run\nrun()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True True\n"


def test_without_arguments_says_what_there_is(call):
    assert call() == call("--help")
    assert call().code == 0
    for command in ("ask", "plugins", "bundles", "--install-completion"):
        assert command in call().out


def test_ask_tells_every_option(call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    told = call("ask", "--help").out
    for option in OPTIONS:
        assert f"  {option} " in told, option


def test_help_of_ask_tells_what_is_taken(call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    told = " ".join(call("ask", "--help").out.split())
    assert "a .jsonl, .csv or .tsv file of rows, or a folder" in told
    assert "above 0 and at most 1. [default: 1.0]" in told
    assert "0.0<=x<=1.0" not in told


def test_no_modality_can_take_the_name_of_an_option():
    names = {field.name for field in fields(AskOptions)} - {"media"}
    assert names <= RESERVED


def test_version(call):
    assert call("--version") == (0, f"mmagent {__version__}\n", "")


def test_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "mmagent_cli", "--version"], capture_output=True, text=True)
    assert done.stdout == f"mmagent {__version__}\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("mmagent pl", "plugins"),
        ("mmagent ask --bun", "--bundle"),
        ("mmagent bundles show ti", "tiny"),
        ("mmagent bundles export ti", "tiny"),
        ("mmagent ask --dtype b", "bfloat16"),
        ("mmagent train --dtype b", "bfloat16"),
    ],
)
def test_the_shell_completes(words, expected):
    asked = {"_MMAGENT_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(
        [sys.executable, "-m", "mmagent_cli"], capture_output=True, text=True, env={**os.environ, **asked}
    )
    assert expected in done.stdout.split()
    assert done.stderr == ""
