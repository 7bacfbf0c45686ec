"""What the numbers of an evaluation hang on: rows, seeds, hashes, versions; nothing of when or where."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmagent.files import sha256_of
from mmagent.manifest import MANIFEST

if TYPE_CHECKING:
    from mmagent.agent import Agent
    from mmagent.evaluation.part import Part

__all__ = ["settings_of", "versions"]

PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "pillow", "scikit-learn")


def settings_of(agent: Agent, part: Part, **asked: Any) -> dict[str, Any]:
    """Everything, as plain data; `asked` is how the questions were put and judged."""
    from mmagent.data.identity import identity

    bundle, core = agent.bundle, agent.core
    data = part.labelled
    return {
        "data": {
            "source": data.source,
            "format": data.format,
            "columns": dict(data.columns),
            "question": data.asked,
            "names": data.names,
            "sha256": identity(data),
            "split": part.split,
            "rows": len(part.examples),
            "training_rows": len(part.train),
        },
        "bundle": {
            "name": bundle.name,
            "version": bundle.version,
            "sha256": sha256_of(bundle.path / MANIFEST),
        },
        "core": {
            "place": "core" if Path(bundle.core).is_relative_to(bundle.path) else str(bundle.core),
            "sha256": core.fingerprint(),
            "adapter": bundle.core_adapter.family if bundle.core_adapter else None,
            "device": str(core.device.type),
            "dtype": str(core.dtype).removeprefix("torch."),
        },
        "encoders": {name: agent.encoder(name)[1].id for name in data.modalities},
        "asked": asked,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Versions of what computes."""
    from mmagent import __version__

    found = {"mmagent": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
