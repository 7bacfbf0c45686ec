"""The card of a fine-tuned bundle, written by the program; what only its owner knows is left to fill in."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmagent.training.bundle import what_trained
from mmagent.training.chosen import told as words_of
from mmagent.training.rows import how_right

if TYPE_CHECKING:
    from mmagent.training.loop import History, Outcome
    from mmagent.training.prepare import Prepared
    from mmagent.training.start import Start

__all__ = ["card_of"]


def card_of(name: str, prepared: Prepared, outcome: Outcome, told: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    start = prepared.start
    trained = sum(count for *_, count in prepared.parameters())
    best = outcome.best
    ended = "stopped early" if outcome.steps < outcome.planned else "ran to its end"
    split = "a split made here, stratified, seeded" if prepared.made_split else "the split of the data"
    n_train, n_validation = len(prepared.train), len(prepared.validation)
    made, right = how_right(prepared.task.validation)
    lines = [
        f"# {name}",
        "",
        f"`{prepared.agent.bundle.name}` with {what_trained(prepared.families, start.chosen.core)}, "
        f"fine-tuned on `{told['data']}`.",
        "",
        f"- **Data**: {n_train:,} examples to learn from, {n_validation:,} to judge by ({split}; the "
        "rows are in `bundle.json`)."
        + (f" Class names from `{told['names']}`." if told.get("names") else ""),
        f"- **Begun as**: {start.began_as}.",
        f"- **Trained**: {trained:,} weights ({100 * prepared.share:.2f} % of core and adapter); "
        f"{_frozen(start)} were frozen, the core's checksum was the same after it.",
        *_config_line(start),
        f"- **How long**: {outcome.steps:,} of {outcome.planned:,} steps ({ended}), {outcome.seconds:.0f} s.",
        f"- **Score**: {100 * best.score:.1f} % of the validation answers, {made}, are {right} "
        f"(step {best.step:,}). The best of {len(outcome.history)} validations was kept, so this figure is a "
        "little too good: measure on rows that were never looked at.",
        *_missing_line(prepared, best),
    ]
    if told.get("refit"):
        lines.append(
            f"- **Fitted again** after that, to all {n_train + n_validation:,} examples: {told['refit']}."
        )
    lines += [
        f"- **Command**: `{shlex.join(map(str, told['command']))}`",
        "",
        "| step | training loss | validation loss | validation score |",
        "|---|---|---|---|",
        *(_line(one) for one in outcome.history),
        "",
        "- **Licence of the data**: to be filled in.",
        "- **Licence of this bundle**: to be filled in.",
        "- **What it is for, and what not**: to be filled in.",
        "",
    ]
    return "\n".join(lines)


def _line(one: History) -> str:
    loss = "" if one.loss is None else f"{one.loss:.4f}"
    return f"| {one.step:,} | {loss} | {one.validation_loss:.4f} | {100 * one.score:.1f} |"


def _missing_line(prepared: Prepared, best: History) -> list[str]:
    """How it fares where senses are missing, if it was shown such rows."""
    if best.missing is None:
        return []
    return [
        f"- **With some of {' and '.join(prepared.senses)} missing**: {100 * best.missing:.1f} % of the same "
        f"answers are {how_right(prepared.task.validation)[1]}, over all ways to leave some of a row's "
        "senses out."
    ]


def _frozen(start: Start) -> str:
    """What did not train, in words."""
    kept = "" if start.chosen.sense else ", the adapter of the sense"
    return f"{'the core itself' if start.chosen.core else 'core'}{kept} and encoder"


def _config_line(start: Start) -> list[str]:
    """How the core's adapter was made, where there is one."""
    if start.chosen.core is None:
        return []
    config: Any = start.core_adapter.config  # type: ignore[union-attr]
    return [f"- **In the core**: `{start.chosen.core.name}`, {words_of(config)}."]
