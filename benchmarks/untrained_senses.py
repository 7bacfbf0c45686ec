"""A copy of a bundle with untrained senses added, to measure memory and speed with before any is trained.

python -m benchmarks.untrained_senses BUNDLE TARGET SENSE=ENCODER [SENSE=ENCODER ...]
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

N_TOKENS = 8


def write(source: Path, target: Path, senses: Mapping[str, str]) -> Path:
    """Write the copy; each sense has the encoder that is named for it and a random linear prefix."""
    from mmagent.bundle import CARD, Bundle
    from mmagent.manifest import MANIFEST
    from mmagent.plugins import load_plugins

    plugins, bundle = load_plugins(), Bundle.open(source)
    manifest = json.loads((source / MANIFEST).read_text(encoding="utf-8"))
    del manifest["format"], manifest["files"]
    parts: dict[str, Any] = {name: source / name for name in bundle.files}
    d_core = json.loads((Path(bundle.core) / "config.json").read_text(encoding="utf-8"))["hidden_size"]
    build = plugins.resolve(plugins.adapters["prefix"].build)
    torch.manual_seed(0)
    for name, location in senses.items():
        reader = plugins.resolve(plugins.modalities[name].reader)()
        encoder = reader.load_encoder(location, device=torch.device("cpu"), dtype=torch.float32)
        config, weights = {"n_tokens": N_TOKENS}, f"{name}/adapter.safetensors"
        parts[weights] = build(config, encoder.d_encoder, d_core).state_dict()
        adapter = {"family": "prefix", "config": config, "weights": weights}
        manifest["senses"][name] = {"encoder": location, "adapter": adapter}
    Bundle.write(target, manifest, parts, card=(source / CARD).read_text(encoding="utf-8"))
    return target


def main() -> None:
    """Write the copy that the arguments ask for."""
    parser = ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("senses", nargs="+", metavar="SENSE=ENCODER")
    given = parser.parse_args()
    write(given.bundle, given.target, dict(sense.split("=", 1) for sense in given.senses))


if __name__ == "__main__":
    main()
