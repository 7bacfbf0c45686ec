"""The ``mmagent`` command: builds the Typer app from the plugins, runs it, turns failures into exit codes."""

from __future__ import annotations

import gc
import importlib
import io
import os
import signal
import sys
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import typer
import typer.main

from mmagent import __version__
from mmagent.plugins import Plugins, load_plugins
from mmagent_cli import failure
from mmagent_cli.state import State

__all__ = ["app", "build", "main"]

HELP = "Ask a frozen language model about pictures and whatever else a plugin reads."


class Command(NamedTuple):
    """A command, and the module whose `add(app, plugins, help)` builds it."""

    name: str
    help: str
    module: str


COMMANDS = (
    Command("ask", "Ask about pictures and other inputs, or have them described.", "mmagent_cli.ask"),
    Command("inspect", "Tell what is in files, and what they cost in tokens.", "mmagent_cli.inspect_cmd"),
    Command("plugins", "List the plugins and what is wrong; write and check one.", "mmagent_cli.plugins_cmd"),
    Command("data", "Look at labelled data before training on them.", "mmagent_cli.data_cmd"),
    Command("train", "Fine-tune an adapter on labelled examples.", "mmagent_cli.train"),
    Command("eval", "Measure a bundle on labelled data, beside its controls.", "mmagent_cli.eval"),
    Command("bundles", "List, show and compare bundles; export, import, push, pull.", "mmagent_cli.bundles"),
    Command("cache", "Show the features that are kept, or clean them.", "mmagent_cli.cache_cmd"),
)


def app() -> None:
    """Run the command with the arguments of this process, and leave with its exit code."""
    if sys.stderr is None:  # closed by who started it
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files need not be text; so they stay valid JSON
        sys.stdout.reconfigure(errors="backslashreplace")
    if "RANK" not in os.environ:  # a launcher ends its processes as it likes
        signal.signal(signal.SIGTERM, _terminated)
    code = main(sys.argv[1:])
    if os.environ.get("RANK"):  # a launcher started it
        from mmagent.training.processes import leave

        leave(code)
    gc.freeze()  # the process ends: nothing that is left is worth looking through
    sys.exit(code)


def main(arguments: Sequence[str]) -> int:
    """Run the command with these arguments and return its exit code; every failure is told in one line."""
    if sys.stdout is None:
        failure.say(
            "standard output is closed, so nothing can be answered. Leave it open, or name a file: > FILE."
        )
        return 2
    debug, rest = _take_debug(arguments)
    wanted = next((word for word in rest if not word.startswith("-")), "")
    try:
        return _run(rest, wanted, debug=debug)
    except BrokenPipeError:
        _close_stdout()
        return 1
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException as error:
        known = any(command.name == wanted for command in COMMANDS)
        return failure.report(error, command=f"mmagent {wanted}" if known else "mmagent", debug=debug)


def build(plugins: Plugins, *, wanted: str | None = None, debug: bool = False) -> typer.Typer:
    """The Typer app: our commands, then the plugins' own.

    Where `wanted` is given, only that command is built and the other ones of ours are there by name and help,
    so that ``mmagent --help`` does not pay for them.
    """
    state = State(plugins, debug)
    settings = {"help_option_names": ["-h", "--help"], "obj": state, "max_content_width": 100}
    root = typer.Typer(help=HELP, rich_markup_mode=None, context_settings=settings)
    root.callback(invoke_without_command=True)(_root)
    for command in COMMANDS:
        if wanted in (None, command.name):
            importlib.import_module(command.module).add(root, plugins, command.help)
        else:
            root.command(command.name, short_help=command.help)(_not_built)
    plugins.register_commands(root)
    return root


def _run(arguments: list[str], wanted: str, *, debug: bool) -> int:
    completing = "_MMAGENT_COMPLETE" in os.environ
    plugins = load_plugins()
    command = typer.main.get_command(build(plugins, wanted=None if completing else wanted, debug=debug))
    if not completing:
        for problem in plugins.problems:
            failure.say(problem.line())
        for problem in plugins.slow:
            failure.say(problem.line("is slow"))
    if completing:
        command(args=arguments, prog_name="mmagent", standalone_mode=False)
    try:  # what command(...) does, which also makes an exit code of Ctrl-C, and says nothing
        with command.make_context("mmagent", arguments) as context:
            code = command.invoke(context)
    except typer.Exit as leaving:
        code = leaving.exit_code
    sys.stdout.flush()
    return code if isinstance(code, int) else 0


def _terminated(number: int, frame: object) -> None:
    raise failure.Terminated


def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Say what is chosen and why; show tracebacks. Works anywhere.")
    ] = False,
) -> None:
    if version:
        print(f"mmagent {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


def _not_built() -> None:
    """Stands for a command that the arguments do not name."""


def _take_debug(arguments: Sequence[str]) -> tuple[bool, list[str]]:
    """Take ``--debug`` out of the arguments, wherever it stands before a ``--``."""
    words = list(arguments)
    end = words.index("--") if "--" in words else len(words)
    kept = [word for word in words[:end] if word != "--debug"]
    return len(kept) < end, kept + words[end:]


def _close_stdout() -> None:
    """Point stdout at nothing, so that Python does not complain about the closed pipe when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
