"""How many tokens a core reads at once, as its configuration says it; nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["max_positions"]

NAMES = ("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx")


def max_positions(entry: Callable[[str], object]) -> int | None:
    """The first of the names that configurations use; None where positions have no end.

    `entry` gives the configuration's entry of a name, or None.
    """
    found = (entry(name) for name in NAMES)
    return next((value for value in found if isinstance(value, int) and value > 0), None)
