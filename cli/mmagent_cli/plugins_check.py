"""``mmagent plugins check``: what mmagent relies on, tried on a modality and told as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmagent.errors import UserError
from mmagent_cli.progress import bar
from mmagent_cli.state import State
from mmagent_cli.table import write_table


def check(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the modality.")],
    file: Annotated[
        list[Path] | None,
        typer.Option("--file", metavar="SAMPLE", help="A file it reads; better several. Repeatable."),
    ] = None,
    encoder: Annotated[
        str,
        typer.Option(
            "--encoder", metavar="DIR|ID", help="Another encoder than the modality's own.", show_default=False
        ),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Check a modality: import, files, features, learning, bundles, what it costs. Exit code 1 if one fails.

    The same checks run in a plugin's own tests through mmagent.testing.ModalitySuite.
    """
    for path in file or ():
        if not path.is_file():
            raise UserError(f"there is no file {path} to check with. Give files that {name} reads.")
    from mmagent.conformance import CHECKS, run_check, subject_of

    state: State = context.obj
    subject = subject_of(name, state.plugins, samples=file or (), encoder=encoder)
    subject.demand_packages()
    outcomes = []
    with bar("checking") as advance:
        for at, promise in enumerate(CHECKS, start=1):
            outcomes.append(run_check(promise, subject))
            advance(at, len(CHECKS))
    failed = [one for one in outcomes if one.state == "fail"]
    if as_json:
        import json

        told = {"modality": subject.modality.name, "plugin": subject.plugin._asdict(), "failed": len(failed)}
        print(json.dumps({**told, "checks": [vars(one) for one in outcomes]}, indent=2))
        return int(bool(failed))
    write_table(("check", "", "seen"), [(one.check, one.state, one.told) for one in outcomes])
    words = {"pass": "passed", "fail": "failed", "skipped": "skipped"}
    counts = [f"{sum(one.state == kind for one in outcomes)} {word}" for kind, word in words.items()]
    print(f"\n{subject.modality.name}: {', '.join(counts)}")
    return int(bool(failed))
