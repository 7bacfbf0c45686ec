"""``mmagent bundles export``, ``import``, ``push``, ``pull``, ``merge``, ``diff``: bundles that travel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmagent.errors import TakenError
from mmagent_cli import failure, progress
from mmagent_cli.completing import complete_bundle, complete_dtype
from mmagent_cli.hints import how_to_ask
from mmagent_cli.state import State
from mmagent_cli.table import write_table

if TYPE_CHECKING:
    from mmagent.bundle import Bundle
    from mmagent.travel import Difference

TENSORS_SHOWN = 5  # of a file, those that differ most

Name = Annotated[
    str,
    typer.Argument(
        help="The bundle's name or its directory.", show_default=False, autocompletion=complete_bundle
    ),
]
Replace = Annotated[bool, typer.Option("--replace", help="Replace what is there.")]
Into = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Where to put it; by its name here.", show_default=False),
]


def add_commands(group: typer.Typer) -> None:
    """Add the commands to ``mmagent bundles``."""
    for name, command in (
        ("export", export),
        ("import", import_),
        ("push", push),
        ("pull", pull),
        ("merge", merge),
        ("diff", diff),
    ):
        group.command(name)(command)


def export(
    context: typer.Context,
    name: Name,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE.tar", help="The file to write.", show_default=False)
    ],
    replace: Replace = False,
) -> None:
    """Write a bundle into one tar file, the same bytes every time."""
    from mmagent.travel import export_bundle

    bundle = _bundle(context, name)
    with progress.patience(f"writing {out}"), _or_replaced():
        export_bundle(bundle, out, replace=replace)
    failure.say(f"{bundle.name} is in {out} ({out.stat().st_size / 1e6:.1f} MB)")


def import_(
    file: Annotated[Path, typer.Argument(help="What mmagent bundles export wrote.", show_default=False)],
    out: Into = None,
    replace: Replace = False,
) -> None:
    """Unpack a bundle from a tar file; it is verified before it appears."""
    from mmagent.travel import import_bundle

    with progress.patience(f"reading {file}"), _or_replaced():
        bundle = import_bundle(file, out, replace=replace)
    _say_where(bundle)


def push(
    context: typer.Context,
    name: Name,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="ADDRESS",
            help="A hub id (me/kitchen), a directory (./kitchen) or file:///where/it/is.",
            show_default=False,
        ),
    ],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    replace: Replace = False,
) -> None:
    """Bring a bundle to a hub, or to a directory that stands for one."""
    from mmagent.travel import push_bundle

    bundle = _bundle(context, name)
    with progress.patience(f"pushing {bundle.name}"), _or_replaced():
        place = push_bundle(bundle, to, private=private, replace=replace)
    failure.say(f"{bundle.name} is at {place}")


def pull(
    address: Annotated[
        str,
        typer.Argument(
            help="A hub id (me/kitchen), a directory (./kitchen) or file:///where/it/is.", show_default=False
        ),
    ],
    out: Into = None,
    revision: Annotated[
        str | None,
        typer.Option(
            "--revision", metavar="REV", help="A branch, tag or commit of the hub's.", show_default=False
        ),
    ] = None,
    replace: Replace = False,
) -> None:
    """Fetch a bundle from a hub or a directory; it is verified before it appears."""
    from mmagent.travel import pull_bundle

    with progress.patience(f"pulling {address}"), _or_replaced():
        bundle = pull_bundle(address, out, revision=revision, replace=replace)
    _say_where(bundle)


def merge(
    context: typer.Context,
    name: Name,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="The bundle that is written.", show_default=False)
    ],
    dtype: Annotated[
        str | None,
        typer.Option(
            "--dtype",
            metavar="DTYPE",
            help="Store the weights in float32, bfloat16 or float16; else as the core's own are.",
            show_default=False,
            autocompletion=complete_dtype,
        ),
    ] = None,
    replace: Replace = False,
    trust_remote_code: Annotated[
        bool,
        typer.Option("--trust-remote-code", help="Run code that comes with the core. If you trust it."),
    ] = False,
) -> None:
    """Write a copy whose core has its adapter (LoRA) in the weights: a plain model, and no adapter left."""
    from mmagent.travel import merge_bundle

    state: State = context.find_root().obj
    bundle = _bundle(context, name)
    with progress.patience(f"merging {bundle.name}"), _or_replaced():
        merged = merge_bundle(
            bundle, out, state.plugins, dtype=dtype, trust_remote_code=trust_remote_code, replace=replace
        )
    _say_where(merged)


def diff(
    context: typer.Context,
    a: Name,
    b: Annotated[
        str, typer.Argument(help="The other bundle.", show_default=False, autocompletion=complete_bundle)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with every tensor.")] = False,
) -> None:
    """Tell what two bundles differ in, down to tensors and scores.

    Core, encoders, adapters, weights, shot memory, calibration and scores are set side by side.
    """
    from mmagent.travel import diff_bundles

    one, other = _bundle(context, a), _bundle(context, b)
    with progress.patience("comparing"):
        found = diff_bundles(one, other)
    if as_json:
        import json

        print(json.dumps([_as_json(difference) for difference in found], indent=2, ensure_ascii=False))
    elif found:
        write_table(("part", "name", a, b, "largest difference"), _rows(found))
    else:
        failure.say(f"{a} and {b} do not differ")


def _bundle(context: typer.Context, name: str) -> Bundle:
    from mmagent.bundle import Bundle, find_bundle

    state: State = context.find_root().obj
    return Bundle.open(find_bundle(name, state.plugins.bundles))


def _say_where(bundle: Bundle) -> None:
    failure.say(f"{bundle.name} is in {bundle.path}. Ask it: {how_to_ask(bundle.path, bundle.senses)}")


@contextmanager
def _or_replaced() -> Iterator[None]:
    """Name the flag where something is in the way."""
    try:
        yield
    except TakenError as error:
        raise TakenError(f"{str(error).removesuffix('.')}, or give --replace.") from error


def _as_json(difference: Difference) -> dict[str, Any]:
    told = vars(difference).copy()
    if told["largest"] is not None and told["largest"] != told["largest"]:
        told["largest"] = "nan"  # which JSON has no number for
    return told


def _rows(found: Sequence[Difference]) -> list[tuple[str, ...]]:
    """The lines of the table; of each file only the tensors that differ most."""
    rows: list[tuple[str, ...]] = []
    tensors: list[Difference] = []
    for one in (*found, None):
        if one is not None and one.tensor is not None:
            tensors.append(one)
            continue
        tensors.sort(key=_how_much, reverse=True)
        rows += [_row(tensor) for tensor in tensors[:TENSORS_SHOWN]]
        if more := len(tensors[TENSORS_SHOWN:]):
            rows.append(("weights", f"  and {more} tensors more; --json lists them", "", "", ""))
        tensors.clear()
        if one is not None:
            rows.append(_row(one))
    return rows


def _how_much(tensor: Difference) -> float:
    """How much a tensor differs; one that has no counterpart, or that holds no numbers, most of all."""
    largest = tensor.largest
    return float("inf") if largest is None or largest != largest else largest


def _row(one: Difference) -> tuple[str, ...]:
    largest = "" if one.largest is None else f"{one.largest:.3g}"
    name = one.name if one.tensor is None else f"  {one.tensor}"
    return (one.part, name, _word(one.a), _word(one.b), largest)


def _word(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = " ".join(str(value).split())
    return text if len(text) <= 40 else f"{text[:37]}..."
