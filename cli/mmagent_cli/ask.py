"""``mmagent ask``: one question about what the options name, or with ``--batch`` every row of a file."""

from __future__ import annotations

import contextlib
import csv
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mmagent.errors import UserError
from mmagent.plugins import Plugins
from mmagent_cli import failure, progress
from mmagent_cli.options import AskOptions, Memory, ask_command
from mmagent_cli.state import State

if TYPE_CHECKING:
    from mmagent.agent import Agent
    from mmagent.answer import Answer
    from mmagent.batch import BatchReport

__all__ = ["add", "parse_choices"]


def add(app: typer.Typer, plugins: Plugins, help: str) -> None:
    """Add the command to the app, with one option for each modality."""
    ask = ask_command(plugins.modalities.values(), run)
    ask.__doc__ = "Answer a question about pictures and other inputs; without a question, describe them."
    app.command("ask", short_help=help)(ask)


def run(context: typer.Context, options: AskOptions) -> int | None:
    """Check the options, wake the agent, answer; the exit code."""
    state: State = context.obj
    _check(options, state.plugins)
    if options.batch and options.out:
        return _batch(options, state, options.batch, options.out)
    _single(options, state)
    return None


def _single(options: AskOptions, state: State) -> None:
    plugins = state.plugins
    choices = parse_choices(options.choices) if options.choices is not None else None
    shots = _shots(options, plugins)
    media = _read(options.media, plugins)
    if not media:
        _check_words(options.question or "", plugins)
    agent = _wake(options, state)
    writer = _Writer() if sys.stdout.isatty() and not options.json and choices is None else None
    given = {**_settings(options), **media}
    with progress.patience("thinking") as end_waiting:
        on_text = writer.after(end_waiting) if writer else None
        answer = agent.ask(options.question, shots=shots, choices=choices, on_text=on_text, **given)
    _write(answer, options, writer)
    if state.debug:
        failure.say(
            f"{answer.tokens} tokens, {answer.prompt_tokens} in the prompt; seconds: {answer.timings}"
        )


def _batch(options: AskOptions, state: State, rows: Path, out: Path) -> int:
    shots = _shots(options, state.plugins)
    agent = _wake(options, state)
    from mmagent.batch import run_batch

    with progress.bar("answering") as advance:
        report = run_batch(
            agent, rows, out, resume=options.resume, shots=shots, progress=advance, **_settings(options)
        )
    failure.say(f"{_told(report)}. The answers are in {out}.")
    return 1 if report.errors else 0


def _told(report: BatchReport) -> str:
    """How a batch went, in words."""
    parts = [f"{report.rows} rows in {report.seconds:.1f} s"]
    if report.resumed:
        parts.append(f"{report.resumed} of them answered before")
    if report.errors:
        parts.append(f'{report.errors} of them with an "error" in place of an answer')
    return ", ".join(parts)


def _wake(options: AskOptions, state: State) -> Agent:
    """Load the agent; an unknown or broken bundle is told before torch is imported."""
    from mmagent.bundle import Bundle, find_bundle

    Bundle.open(find_bundle(options.bundle, state.plugins.bundles), check_content=False)
    with progress.patience(f"loading {options.bundle}"):
        from mmagent.agent import Agent

        agent = Agent.load(
            options.bundle,
            core=options.core,
            device=options.device,
            dtype=options.dtype,
            load_in=options.load_in,
            trust_remote_code=options.trust_remote_code,
            plugins=state.plugins,
        )
    if state.debug:
        from mmagent.dense import products

        core = agent.core
        failure.say(f"bundle {agent.bundle.name} on {core.device} in {core.dtype}: {core.dtype_reason}")
        if core.device.type == "cpu":
            failure.say(products())
    return agent


def _settings(options: AskOptions) -> dict[str, Any]:
    return {
        "memory": options.memory is Memory.on,
        "prompt": str(options.prompt) if options.prompt else None,
        "max_tokens": options.max_tokens,
        "temperature": options.temperature,
        "top_p": options.top_p,
        "seed": options.seed,
    }


def _check(options: AskOptions, plugins: Plugins) -> None:
    """Refuse what cannot go together, and what has no name. Raises `UserError`."""
    if options.core is not None and not options.core.strip():
        raise UserError(
            "--core is empty. Name a directory or a hub id, or leave it away for the bundle's own."
        )
    if options.batch is None:
        for name, value in (("--out", options.out), ("--resume", options.resume)):
            if value:
                raise UserError(f"{name} belongs to --batch. Without --batch the answer goes to stdout.")
    else:
        _check_batch(options)
    told = [options.media, *_told_shots(options, plugins)]
    stdin = sum(one.get(name, []).count("-") for one in told for name in plugins.modalities)
    stdin += str(options.batch) == "-"
    if stdin > 1:
        raise UserError(f"stdin can be read once, but '-' is given {stdin} times. Use files for the others.")


def _check_batch(options: AskOptions) -> None:
    if options.out is None:
        raise UserError("--batch needs --out FILE, where the answers are written.")
    if options.batch and options.out.resolve() == options.batch.resolve():
        raise UserError(f"--out would overwrite the rows in {options.batch}. Name another file.")
    if options.json:
        raise UserError("with --batch the answers are lines of JSON in --out. Leave out --json, or --batch.")
    own: dict[str, Any] = {"question": options.question, "--choices": options.choices}
    own |= {f"--{name}": sources for name, sources in options.media.items()}
    for name, value in own.items():
        if value:
            raise UserError(
                f"with --batch every row brings its own {name.lstrip('-')}. Leave out {name}, or --batch."
            )


def parse_choices(text: str) -> list[str]:
    """``red,blue`` as a list; a choice with a comma in it stands in double quotes. Raises `UserError`."""
    from mmagent.request import check_choices

    found = next(csv.reader([text], skipinitialspace=True), [])
    return list(check_choices(found, f"--choices {text!r}"))


def _shots(options: AskOptions, plugins: Plugins) -> list[Any]:
    """The shots of --shot, those on stdin read already, then those of --shots. Raises `UserError`."""
    from mmagent.request import as_shot
    from mmagent.shots import read_shots

    known = plugins.modalities
    told = _told_shots(options, plugins)
    for shot in told:
        piped = {name: shot[name] for name in known if "-" in shot.get(name, ())}
        shot.update(_read(piped, plugins))
    shots = [as_shot(shot, known, at) for at, shot in enumerate(told, start=1)]
    return shots + (read_shots(options.shots, known) if options.shots else [])


def _told_shots(options: AskOptions, plugins: Plugins) -> list[dict[str, Any]]:
    """What each --shot says. Raises `UserError`."""
    from mmagent.request import parse_shot

    return [parse_shot(text, plugins.modalities) for text in options.shot or ()]


def _read(media: Mapping[str, list[str]], plugins: Plugins) -> dict[str, list[Any]]:
    """Read every input before torch is imported, so that a wrong path is told at once. Raises `UserError`."""
    readers = {name: plugins.resolve(plugins.modalities[name].reader)() for name in media}
    return {name: [readers[name].load(source) for source in sources] for name, sources in media.items()}


def _check_words(question: str, plugins: Plugins) -> None:
    """Refuse a question without inputs that asks nothing, or that is a file's name. Raises `UserError`."""
    if not question.strip():
        raise UserError(f"nothing to ask about. Give a question, or an input with {_media_flags(plugins)}.")
    with contextlib.suppress(OSError, ValueError):  # most questions are no path at all
        with open(question, "rb") as file:
            head = file.read(4096)
        for name, modality in plugins.modalities.items():
            if modality.sniff(head):
                flag = f"--{name.replace('_', '-')}"
                raise UserError(f"{question} is a file, not a question. Ask about it with {flag} {question}.")


def _media_flags(plugins: Plugins) -> str:
    flags = [f"--{name.replace('_', '-')}" for name in plugins.modalities]
    return " or ".join(flags) or "a modality (no plugin brings one; see mmagent plugins)"


class _Writer:
    """Writes an answer to the terminal as it comes, and remembers how much of it is out."""

    def __init__(self) -> None:
        self.written = ""

    def after(self, end_waiting: Callable[[], None]) -> Callable[[str], None]:
        def write(piece: str) -> None:
            end_waiting()
            text = piece if self.written else piece.lstrip()
            self.written += text
            sys.stdout.write(text)
            sys.stdout.flush()

        return write


def _write(answer: Answer, options: AskOptions, writer: _Writer | None) -> None:
    """Print what is not out yet: the object, the text, or the end of what was streamed."""
    if options.json:
        import json

        print(json.dumps(answer.to_json(), ensure_ascii=False))
    elif writer and writer.written:
        print(answer.text[len(writer.written) :] if answer.text.startswith(writer.written) else "")
    else:
        print(answer.text)
