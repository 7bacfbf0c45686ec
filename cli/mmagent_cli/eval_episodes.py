"""``mmagent eval --episodes``: few-shot episodes of labelled classes, as a table and a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmagent_cli import failure, progress

if TYPE_CHECKING:
    from mmagent.agent import Agent
    from mmagent.data import LabelledSet
    from mmagent.evaluation.episodes import EpisodesEvaluation

__all__ = ["check", "run", "tell"]

MEMORY = {"on": (True,), "off": (False,), "both": (False, True)}


def check(
    episodes: str,
    *,
    names: str | None,
    memory: str,
    controls: Sequence[str],
    shot_choice: str,
    count: int,
    induction: bool,
) -> dict[str, Any]:
    """What `evaluate_episodes` is to be given. Raises UserError for what means nothing."""
    from mmagent.evaluation.episodes.run import check_episodes
    from mmagent.evaluation.episodes.setting import parse_settings

    asked: dict[str, Any] = {
        "settings": parse_settings(episodes),
        "names": names or "invented",
        "memory": MEMORY[memory],
        "controls": controls,
        "shot_choice": shot_choice,
        "count": count,
    }
    check_episodes(**asked)
    return asked | {"induction": induction}


def run(
    agent: Agent,
    labelled: LabelledSet,
    asked: dict[str, Any],
    *,
    out: Path | None,
    as_json: bool,
    command: Sequence[str],
) -> None:
    """Evaluate, print, and write the report where one is wanted."""
    from mmagent.evaluation.episodes import evaluate_episodes, write_episodes

    with progress.stages() as advance:
        found = evaluate_episodes(agent, labelled, command=command, progress=advance, **asked)
    with progress.patience("computing intervals"):
        tell(found, as_json=as_json)
        page = write_episodes(found, out) if out is not None else None
    if page is not None:
        failure.say(f"the report is in {page}")


def tell(found: EpisodesEvaluation, *, as_json: bool = False) -> None:
    """Print the first sentences and the table, or the whole report as JSON, to stdout; notes to stderr."""
    if as_json:
        from mmagent.evaluation.page import as_text

        print(as_text(found.report), end="")
    else:
        from mmagent.evaluation.episodes.summary import table
        from mmagent_cli.table import write_table

        for line in found.report["headline"]:
            print(line)
        print()
        write_table(*table(found.report))
    for note in found.notes:
        failure.say(note)
