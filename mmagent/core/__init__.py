"""The core: the frozen language model, one way in (`assemble`), three out (`generate`, `score`, `loss`).

Names are resolved on first use, so that importing a light part (`Soft`, `Prompt`) does not load torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmagent.core.assemble import Inputs
    from mmagent.core.cache import PrefixCache
    from mmagent.core.decode import Generation, Mixer, OnText
    from mmagent.core.dtype import choose_device, choose_dtype, probe_matmul
    from mmagent.core.loading import Core
    from mmagent.core.prompt import Prompt, Soft
    from mmagent.core.score import ChoiceScore

__all__ = [
    "ChoiceScore",
    "Core",
    "Generation",
    "Inputs",
    "Mixer",
    "OnText",
    "PrefixCache",
    "Prompt",
    "Soft",
    "choose_device",
    "choose_dtype",
    "probe_matmul",
]

_HOME = {
    "ChoiceScore": "score",
    "Core": "loading",
    "Generation": "decode",
    "Inputs": "assemble",
    "Mixer": "decode",
    "OnText": "decode",
    "PrefixCache": "cache",
    "Prompt": "prompt",
    "Soft": "prompt",
    "choose_device": "dtype",
    "choose_dtype": "dtype",
    "probe_matmul": "dtype",
}


def __getattr__(name: str) -> Any:
    """Import a public name from the module it lives in, the first time it is asked for."""
    if name not in _HOME:
        raise AttributeError(f"module 'mmagent.core' has no attribute {name!r}")
    return getattr(importlib.import_module(f"mmagent.core.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
