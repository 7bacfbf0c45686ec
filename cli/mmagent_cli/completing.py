"""What the shell offers after a tab: names there are, asked for when it is pressed."""

from __future__ import annotations

__all__ = ["complete_bundle", "complete_dtype", "complete_modality"]

DTYPES = ("float32", "bfloat16", "float16", "auto")


def complete_bundle(incomplete: str) -> list[str]:
    """Bundle names."""
    from mmagent.plugins import load_plugins

    return [name for name in load_plugins().bundles if name.startswith(incomplete)]


def complete_modality(incomplete: str) -> list[str]:
    """Names of modalities."""
    from mmagent.plugins import load_plugins

    return [name for name in load_plugins().modalities if name.startswith(incomplete)]


def complete_dtype(incomplete: str) -> list[str]:
    """What a core can compute in."""
    return [name for name in DTYPES if name.startswith(incomplete)]
