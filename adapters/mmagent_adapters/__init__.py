"""Adapter families: ways to carry an encoder's features into a frozen core, and to let the core bend.

This module only describes; the families' modules import torch and are imported on first use. Beside them lie
presets, the settings of training for some usual cases.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mmagent.adapter import AdapterFamily
from mmagent.hookspecs import hookimpl
from mmagent.training.preset import Preset

PRESETS = {
    "quick": "a first look: few epochs, stopped as soon as the score stands still",
    "careful": "a result to keep: small steps, many validations, much patience",
    "few-shot": "a handful of examples for each answer: small batches, strong weight decay",
    "low-memory": "a core that hardly fits: steps in parts, layers computed anew",
}

FAMILIES = (
    AdapterFamily(
        "prefix",
        "one linear map from the pooled feature to soft tokens (Frozen)",
        "mmagent_adapters.prefix:build_linear",
    ),
    AdapterFamily(
        "prefix-mlp",
        "an MLP over the feature map and the pooled feature",
        "mmagent_adapters.prefix:build_mlp",
        per_feature=True,
    ),
    AdapterFamily(
        "prefix-grid",
        "a soft token for the whole and one for each feature of the map (LLaVA)",
        "mmagent_adapters.prefix:build_grid",
        per_feature=True,
    ),
    AdapterFamily(
        "resampler",
        "learned queries that cross-attend over the features (Perceiver, Flamingo)",
        "mmagent_adapters.resampler:build",
    ),
    AdapterFamily(
        "concepts",
        "a linear probe over the answers of the data, each spelt in soft tokens (concept bottleneck)",
        "mmagent_adapters.concepts:build",
        per_answer=True,
        fit="mmagent_adapters.concepts:fit",
        join="mmagent_adapters.concepts:join",
    ),
    AdapterFamily(
        "visual-words",
        "quantised features spelt in words the core knows, after an optional trained prefix",
        "mmagent_adapters.visual_words:build",
    ),
    AdapterFamily(
        "spelling",
        "words that an encoder tells, written so that a frozen core says them",
        "mmagent_adapters.spelling:build",
        of_words=True,
    ),
    AdapterFamily(
        "memory",
        "nothing is trained: the labelled examples vote as shots (Tip-Adapter); joins others by a +",
        "mmagent_adapters.memory:spaces",
        remembers=True,
    ),
    AdapterFamily(
        "lora",
        "the core's linear maps get low-rank additions (LoRA)",
        "mmagent_adapters.bending:build_lora",
        into_core=True,
    ),
    AdapterFamily(
        "ia3",
        "the core's activations are scaled by learned vectors ((IA)^3)",
        "mmagent_adapters.bending:build_ia3",
        into_core=True,
    ),
)


@hookimpl
def register_adapters(register: Callable[[AdapterFamily], None]) -> None:
    """Add the families of this package."""
    for family in FAMILIES:
        register(family)


@hookimpl
def register_presets(register: Callable[[Preset], None]) -> None:
    """Add the files in `presets`."""
    for name, help in PRESETS.items():
        register(Preset(name, help, Path(__file__).parent / "presets" / f"{name}.toml"))
