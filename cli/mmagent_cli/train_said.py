"""What ``mmagent train`` says: what trains, how far it is, what came of it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmagent_cli import failure
from mmagent_cli.hints import how_to_ask

if TYPE_CHECKING:
    from mmagent.data import LabelledSet
    from mmagent.training.run import Prepared, Trained

__all__ = ["Bar", "say_what_came", "say_what_trains", "say_where"]


def say_what_trains(prepared: Prepared) -> None:
    """Names, shapes, count and share of what trains, before the first step."""
    core = prepared.agent.core
    for line in _senses(prepared):
        print(line)
    for line in _folded(prepared.parameters()):
        print(f"trains  {line}")
    kept = "".join(f", the adapter for {name}" for name, family in prepared.families.items() if not family)
    own = sum(count for *_, count in prepared.parameters())
    print(
        f"in all {own:,} weights, {100 * prepared.share:.2f} % of core and adapter, from "
        f"{prepared.start.began_as}. Frozen: the core ({core.fingerprint()[:12]}){kept} and the encoder."
    )
    print(f"{len(prepared.train):,} examples to learn from, {len(prepared.validation):,} to judge by.")


def _senses(prepared: Prepared) -> list[str]:
    """One line for each sense that learns: whether the bundle had it, its family, its encoder."""
    bundle = prepared.agent.bundle
    lines = []
    for name, family in prepared.families.items():
        what = f"{bundle.name}'s own adapter, kept" if family is None else f"adapter {family.name}"
        known = "" if name in bundle.senses else f"new to {bundle.name}, "
        lines.append(f"sense   {name}  {known}{what}, encoder {prepared.encoders[name]}")
    return lines


def _folded(parameters: Sequence[tuple[str, tuple[int, ...], int]]) -> list[str]:
    """Name, shape and count; tensors that differ only in the number of their block share a line."""
    blocks: dict[tuple[str, str, tuple[int, ...], int], list[str]] = {}
    for name, shape, count in parameters:
        head, number, tail = re.fullmatch(r"(.*?)(?:(?<=\.)(\d+)(?=\.)(.*))?", name).groups("")  # type: ignore[union-attr]
        blocks.setdefault((head, tail, shape, count), []).append(number)
    lines = []
    for (head, tail, shape, count), numbers in blocks.items():
        run = [str(at) for at in range(int(numbers[0] or 0), int(numbers[0] or 0) + len(numbers))]
        which = f"{numbers[0]}-{numbers[-1]}" if len(numbers) > 2 and run == numbers else ",".join(numbers)
        times = f"{len(numbers)} x " if len(numbers) > 1 else ""
        lines.append(f"{head}{which}{tail}  {times}{shape}  {count * len(numbers):,}")
    return lines


def say_what_came(done: Trained, prepared: Prepared) -> None:
    """How the run went, in one line."""
    from mmagent.training.rows import how_right

    right = how_right(prepared.task.validation)[1]
    best, outcome = done.outcome.best, done.outcome
    early = "stopped early" if outcome.steps < outcome.planned else "ran to its end"
    missing = "" if best.missing is None else f", {100 * best.missing:.1f} % with some of the senses missing"
    print(
        f"{outcome.steps:,} of {outcome.planned:,} steps ({early}) in {outcome.seconds:.0f} s, "
        f"{outcome.examples / max(1e-9, outcome.seconds):.0f} examples per second, "
        f"{100 * outcome.waste:.0f} % padding. Best: {100 * best.score:.1f} % of the validation answers "
        f"{right}{missing}, at step {best.step:,}."
    )


def say_where(out: Path, data: LabelledSet) -> None:
    """Where the bundle is, and how to ask it what its first row asked; nothing, where that is a caption."""
    first = next(iter(data))
    asking = how_to_ask(out, data.modalities, first.question, first.choices)
    failure.say(f"the bundle is in {out}. Ask it: {asking}")


class Bar:
    """Progress with loss, score, examples per second and time left; on a terminal only."""

    def __init__(self, doing: str = "training") -> None:
        self._doing = doing

    def __enter__(self) -> Callable[[int, int, float, float | None], None]:
        from tqdm import tqdm

        self._shown = tqdm(desc=self._doing, unit="step", disable=not sys.stderr.isatty(), leave=False)
        self._told: dict[str, str] = {}
        return self._advance

    def __exit__(self, *error: object) -> None:
        self._shown.close()

    def _advance(self, step: int, steps: int, loss: float, score: float | None) -> None:
        self._shown.total = steps
        self._told["loss"] = f"{loss:.3f}"
        if score is not None:
            self._told["score"] = f"{100 * score:.1f} %"
        self._shown.set_postfix(self._told, refresh=False)
        self._shown.update(step - self._shown.n)
