"""A bundle whose core bends, made into one whose core is a plain checkpoint with the adapter in its weights.

The sum is made in fp32, on a copy, and stored in the dtype that the checkpoint has; so answers are the same
up to that rounding. In fp32 the merged core must read a probe as the bent one did, and what is stored must
load again to the same numbers; else nothing is written.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmagent.bundle import Bundle
from mmagent.errors import UserError
from mmagent.manifest import MANIFEST, AdapterEntry

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mmagent.core import Core
    from mmagent.plugins import Plugins

WEIGHTS = {".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".gguf", ".onnx"}
PROBE = 64  # tokens that both cores read
NEAR = 1e-3  # how far their logits may be apart in fp32, as a share of the largest

__all__ = ["merge_bundle"]


def merge_bundle(
    bundle: Bundle,
    directory: str | Path,
    plugins: Plugins,
    *,
    dtype: str | None = None,
    trust_remote_code: bool = False,
    replace: bool = False,
) -> Bundle:
    """Write a bundle with a copy of the core that has the core's adapter in its weights, and open it.

    dtype: what the merged weights are stored in (float32, bfloat16, float16), else what the core's own are.
    Senses, prompts and shot memory go along as they are; so do the scores, which were measured before. A core
    outside of the bundle is copied in. Raises `UserError` where there is nothing to merge, or it cannot be.
    """
    entry = bundle.core_adapter
    if entry is None:
        raise UserError(
            f"bundle {bundle.name!r} has no adapter inside of its core, so there is nothing to merge. "
            "mmagent train --adapter lora makes one."
        )
    from mmagent.core import Core
    from mmagent.core_adapter import wake

    core = Core.load(bundle.core, device="cpu", dtype="float32", trust_remote_code=trust_remote_code)
    wake(bundle, core, plugins)
    source = _directory(bundle.core)
    stored = _stored(source, dtype)
    told = {
        "from": bundle.name,
        "family": entry.family,
        "config": dict(entry.config),
        "adapter_sha256": bundle.files[entry.weights].sha256,
        "core_sha256": core.fingerprint(),
        "dtype": str(stored).removeprefix("torch."),
        "apart": _merge(core, bundle.name),
    }
    with tempfile.TemporaryDirectory(prefix="mmagent-merge-") as aside:
        place = Path(aside) / "core"
        _save(core, place, stored)
        _complete(source, place)
        told["merged_core_sha256"] = _same_again(core, place, trust_remote_code)
        return _write(bundle, Path(directory), entry, place, told, replace=replace)


def _merge(core: Core, name: str) -> float:
    """Merge in fp32; how far a probe's logits are apart, as a share of the largest. Raises `UserError`."""
    before = _probe(core)
    core.adapter.merge()  # type: ignore[union-attr, operator]
    apart = float((_probe(core) - before).abs().max() / before.abs().max())
    if not apart <= NEAR:
        raise UserError(
            f"the adapter inside of the core of bundle {name!r} cannot be merged: with it in the weights, "
            f"logits differ by {100 * apart:.2g} %. This architecture takes some of its weights past the "
            "adapter; go on with the bundle as it is."
        )
    return apart


def _probe(core: Core) -> Tensor:
    """Logits (1, n, V) of a fixed row of tokens."""
    import torch

    n = min(PROBE, core.max_positions or PROBE)
    ids = (torch.arange(n) * 7919 % core.vocab_size)[None]
    with torch.inference_mode():
        return core.forward(ids=ids, mask=None, positions=torch.arange(n)[None])[0]


def _directory(core: str) -> Path:
    """The directory that a core was loaded from; of a hub id, that in the hub's cache."""
    if Path(core).is_dir():
        return Path(core)
    from transformers.utils.hub import cached_file

    return Path(str(cached_file(core, "config.json", local_files_only=True))).parent


def _stored(source: Path, dtype: str | None) -> torch.dtype:
    """The dtype asked for, else the most exact one of the checkpoint's floating-point tensors."""
    import torch
    from safetensors import safe_open

    known = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
    words = {str(one).removeprefix("torch."): one for one in known.values()}
    if dtype is not None:
        if dtype not in words:
            raise UserError(f"weights are not stored in {dtype!r}. There are: {', '.join(words)}.")
        return words[dtype]
    found = set()
    for file in source.glob("*.safetensors"):
        with safe_open(file, "pt") as tensors:
            found |= {tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118
    return next((one for kind, one in known.items() if kind in found), torch.float32)


def _save(core: Core, place: Path, stored: torch.dtype) -> None:
    import torch

    from mmagent.hub import quiet

    with quiet():
        core.model.to(stored).save_pretrained(place)
    core.model.to(torch.float32)
    for file in place.glob("*.safetensors"):  # written for their owner alone, whatever the user's mask
        shutil.copymode(place / "config.json", file)


def _complete(source: Path, place: Path) -> None:
    """Take along what else lies beside the weights: the tokenizer, generation settings, code of its own."""
    for file in source.iterdir():
        weights = file.suffix in WEIGHTS or file.name.endswith(".index.json")
        if file.is_file() and not weights and file.name != "config.json":
            shutil.copyfile(file, place / file.name)


def _same_again(core: Core, place: Path, trust_remote_code: bool) -> str:
    """The fingerprint in fp32 of what was stored, which must be what was to be stored."""
    from mmagent.core import Core as Loader

    again = Loader.load(
        place, device="cpu", dtype="float32", trust_remote_code=trust_remote_code, local_only=True
    )
    found = again.fingerprint()
    if found != core.fingerprint():
        raise RuntimeError(f"the merged core in {place} does not load to the weights that were stored")
    return found


def _write(
    bundle: Bundle, target: Path, entry: AdapterEntry, core: Path, told: dict[str, Any], *, replace: bool
) -> Bundle:
    """The bundle with another core, and without the adapter that is in it now."""
    raw = json.loads((bundle.path / MANIFEST).read_bytes())
    inner = Path(bundle.core)
    parts: dict[str, Any] = {
        name: bundle.path / name
        for name in bundle.files
        if name != entry.weights and not (bundle.path / name).is_relative_to(inner)
    }
    manifest = {name: value for name, value in raw.items() if name not in ("format", "files")}
    name = target.resolve().name
    manifest |= {
        "name": name,
        "description": f"{bundle.name} with its {entry.family} adapter merged into the core",
        "core": {"path": "core"},
        "merged": told,
    }
    card = (
        f"# {name}\n\n"
        f"`{bundle.name}` with the `{entry.family}` adapter of its core merged into the weights, stored in "
        f"{told['dtype']}.\n\n"
        f"- **The core before**: sha256 `{told['core_sha256']}`; now `{told['merged_core_sha256']}` (of the "
        "weights in fp32).\n"
        f"- **How near**: logits of a probe of {PROBE} tokens differ by at most {told['apart']:.1e} of the "
        "largest, before rounding.\n\n"
        f"What follows is the card of `{bundle.name}`. Its scores were measured before the merge.\n\n"
        f"{bundle.card().strip()}\n"
    )
    return Bundle.write(target, manifest, {**parts, "core": core}, card=card, replace=replace)
