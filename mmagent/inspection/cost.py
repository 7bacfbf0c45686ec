"""How many soft tokens one input costs with a bundle, and what share of its core's context that is."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmagent.core.positions import max_positions
from mmagent.errors import UserError

if TYPE_CHECKING:
    from mmagent.bundle import Bundle
    from mmagent.manifest import AdapterEntry
    from mmagent.plugins import Plugins

__all__ = ["TokenCost", "token_cost"]

ANY_WIDTH = 64  # stands for d_encoder and d_core where only the number of tokens is asked for


@dataclass(frozen=True)
class TokenCost:
    """What one input of a modality costs with a bundle.

    soft_tokens  None where the bundle has no sense for the modality
    context      tokens that the core reads at once, or None where they have no end or are not known
    note         what there is to say beside the numbers
    """

    bundle: str
    soft_tokens: int | None
    context: int | None
    note: str = ""

    @property
    def share(self) -> float | None:
        """The part of the core's context that one input takes, from 0 to 1."""
        return None if self.soft_tokens is None or not self.context else self.soft_tokens / self.context

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return {**asdict(self), "share": self.share}

    def told(self) -> str:
        """The same as a line for people."""
        where = f"bundle {self.bundle}"
        if self.soft_tokens is None:
            return f"{where}: {self.note}"
        parts = [f"{self.soft_tokens:,}"]
        if self.share is not None:
            parts = [f"{self.soft_tokens:,} of the {self.context:,} that the core reads ({self.share:.1%})"]
        return ", ".join([*parts, where, *filter(None, [self.note])])


def token_cost(bundle: Bundle, modality: str, plugins: Plugins) -> TokenCost:
    """What one input of a modality costs with an opened bundle. Raises `UserError` for a broken one."""
    context = _context(bundle.core)
    if modality not in bundle.senses:
        there = ", ".join(bundle.senses) or "none"
        return TokenCost(
            bundle.name, None, context, f"it has no sense for {modality} (it has: {there}); train teaches one"
        )
    entry = bundle.senses[modality].adapter
    if entry is None:
        return TokenCost(bundle.name, 0, context, "which remembers it as a shot, or tells it in words")
    note = "at most, by the words that it is told in" if bundle.family(entry, plugins).of_words else ""
    return TokenCost(bundle.name, _n_tokens(bundle, entry, plugins), context, note)


def _n_tokens(bundle: Bundle, entry: AdapterEntry, plugins: Plugins) -> int:
    """As the adapter's settings say; where they do not, the adapter is built without its weights."""
    said = entry.config.get("n_tokens")
    if isinstance(said, int) and not isinstance(said, bool):
        return said
    family = bundle.family(entry, plugins)
    import torch

    with torch.device("meta"):
        adapter = plugins.resolve(family.build)(entry.config, ANY_WIDTH, ANY_WIDTH)
    return int(adapter.n_tokens)


def _context(core: str) -> int | None:
    """How many tokens a core reads, from its config.json on this machine."""
    place = Path(core) / "config.json" if Path(core).is_dir() else _kept_by_hub(core)
    if place is None:
        return None
    try:
        config = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{place} cannot be read: {error}. Fetch the core again.") from error
    parts = (part for part in (config.get("text_config"), config) if isinstance(part, dict))
    return next((found for part in parts if (found := max_positions(part.get))), None)


def _kept_by_hub(core: str) -> Path | None:
    """The config.json of a hub id, if it was fetched before."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(core, "config.json")
    return Path(found) if isinstance(found, str) else None
