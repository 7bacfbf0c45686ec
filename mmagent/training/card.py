"""The card of a fine-tuned bundle, written by the program; what only its owner knows is left to fill in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmagent.training.bundle import what_trained
from mmagent.training.chosen import told as words_of

if TYPE_CHECKING:
    from mmagent.training.loop import Outcome
    from mmagent.training.run import Prepared

__all__ = ["card_of"]


def card_of(name: str, prepared: Prepared, outcome: Outcome, told: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    trained = sum(count for *_, count in prepared.parameters())
    best = outcome.best
    ended = "stopped early" if outcome.steps < outcome.planned else "ran to its end"
    split = "a split made here, stratified, seeded" if prepared.made_split else "the split of the data"
    lines = [
        f"# {name}",
        "",
        f"`{prepared.agent.bundle.name}` with {what_trained(prepared.chosen, prepared.sense)}, fine-tuned on "
        f"`{told['data']}`.",
        "",
        f"- **Data**: {len(prepared.train):,} examples to learn from, {len(prepared.validation):,} to judge "
        f"by ({split}; the rows are in `bundle.json`).",
        f"- **Trained**: {trained:,} weights ({100 * prepared.share:.2f} % of core and adapter) from "
        f"{prepared.began_as}; {_frozen(prepared)} were frozen, the core's checksum was the same after it.",
        *_config_line(prepared),
        f"- **How long**: {outcome.steps:,} of {outcome.planned:,} steps ({ended}), {outcome.seconds:.0f} s.",
        f"- **Score**: {100 * best.score:.1f} % of the validation answers, generated to their end, are exact "
        f"(step {best.step:,}). The best of {len(outcome.history)} validations was kept, so this figure is a "
        "little too good: measure on rows that were never looked at.",
        f"- **Command**: `{' '.join(map(str, told['command']))}`",
        "",
        "| step | training loss | validation loss | validation score |",
        "|---|---|---|---|",
        *(
            f"| {one.step:,} | {one.loss:.4f} | {one.validation_loss:.4f} | {100 * one.score:.1f} |"
            for one in outcome.history
        ),
        "",
        "- **Licence of the data**: to be filled in.",
        "- **Licence of this bundle**: to be filled in.",
        "- **What it is for, and what not**: to be filled in.",
        "",
    ]
    return "\n".join(lines)


def _frozen(prepared: Prepared) -> str:
    """What did not train, in words."""
    kept = "" if prepared.chosen.sense else f", the adapter for {prepared.sense}"
    return f"{'the core itself' if prepared.chosen.core else 'core'}{kept} and encoder"


def _config_line(prepared: Prepared) -> list[str]:
    """How the core's adapter was made, where there is one."""
    if prepared.chosen.core is None:
        return []
    config: Any = prepared.core_adapter.config  # type: ignore[union-attr]
    return [f"- **In the core**: `{prepared.chosen.core.name}`, {words_of(config)}."]
