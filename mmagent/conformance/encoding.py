"""Encoding: shapes, batches, the same again and elsewhere, other numbers and devices, invariances."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from mmagent.conformance.check import Failed, Skipped, demand
from mmagent.conformance.subject import Subject
from mmagent.modality import Features

__all__ = [
    "TOLERANCE",
    "another_process",
    "batched",
    "deterministic",
    "devices",
    "difference",
    "dtypes",
    "invariances",
    "shapes",
]

TOLERANCE = 1e-5  # of a feature, relative to the largest one where that is above 1
ALIKE = 0.98  # least cosine of a pooled feature computed in 16 bits to that in float32
SEEDS = (0, 1, 2)


def shapes(subject: Subject) -> str:
    """(B, n, d), (B, n) and (B, d): float32, bool where real, zeros elsewhere, finite, without a gradient."""
    found, b, d = subject.features, len(subject.raws), subject.encoder.d_encoder
    values, mask, pooled = found.values, found.mask, found.pooled
    demand(
        values.ndim == 3 and values.shape[::2] == (b, d),
        f"values are {tuple(values.shape)}, not ({b}, n, {d}).",
    )
    n = values.shape[1]
    demand(mask.shape == (b, n), f"the mask is {tuple(mask.shape)}, and values {tuple(values.shape)}.")
    demand(pooled.shape == (b, d), f"pooled is {tuple(pooled.shape)}, not ({b}, {d}).")
    demand(
        values.dtype == pooled.dtype == torch.float32,
        f"features are {values.dtype} and {pooled.dtype}, not float32.",
    )
    demand(mask.dtype == torch.bool, f"the mask is {mask.dtype}, not bool.")
    demand(bool(mask.any(1).all()), "a sample has no real feature: its row of the mask is all False.")
    demand(not bool(values[~mask].any()), "values are not zero where the mask is False.")
    demand(bool(values.isfinite().all() and pooled.isfinite().all()), "a feature is NaN or infinite.")
    demand(
        not (values.requires_grad or pooled.requires_grad),
        "features carry a gradient: the encoder is not frozen.",
    )
    demand(
        re.fullmatch(r"[0-9a-f]{64}", subject.encoder.id),
        "`id` must be the 64 hexadecimal digits of a sha256.",
    )
    _nothing_else_pooled(subject)
    return f"values {tuple(values.shape)}, of which {int(mask.sum())} real"


def batched(subject: Subject) -> str:
    """A sample in a batch, whatever stands beside it, has the features it has alone."""
    worst = 0.0
    for order in (range(len(subject.raws)), range(len(subject.raws))[::-1]):
        rows = list(order)
        together = subject.encoder.encode([subject.raws[row] for row in rows])
        for at, row in enumerate(rows):
            alone = subject.encoder.encode([subject.raws[row]])
            worst = max(worst, _apart(_row(together, at), _row(alone, 0), f"sample {row} in a batch"))
    demand(
        worst <= TOLERANCE,
        f"features in a batch differ from those alone by {worst:.1e} (at most {TOLERANCE:g}).",
    )
    return f"largest difference {worst:.1e}"


def deterministic(subject: Subject) -> str:
    """Encoding twice, with others between, and by another encoder of the same place, changes nothing."""
    first = subject.encoder.encode(subject.raws)
    subject.encoder.encode(subject.raws[::-1][:1])
    fresh = subject.load_encoder()
    demand(fresh.id == subject.encoder.id, "`id` differs between two encoders of the same place.")
    for who, other in (
        ("the same encoder", subject.encoder.encode(subject.raws)),
        ("another", fresh.encode(subject.raws)),
    ):
        same = all(
            torch.equal(getattr(first, key), getattr(other, key)) for key in ("values", "mask", "pooled")
        )
        demand(same, f"{who} gives other features for the same inputs.")
    return "bit for bit"


def another_process(subject: Subject) -> str:
    """A process of its own gives the same `id`, fingerprints and features: caches depend on it."""
    found = subject.probe
    demand(
        found["id"] == subject.encoder.id,
        "`id` differs between processes; hash() and id() do, sha256 does not.",
    )
    raws = [subject.reader.load(file) for file in subject.files]
    here = [subject.reader.fingerprint(raw) for raw in raws]
    demand(found["fingerprints"] == here, "`fingerprint` differs between processes; hash() and id() do, too.")
    pooled = subject.encoder.encode(raws).pooled
    worst = difference(pooled, torch.tensor(found["pooled"]))
    demand(worst <= TOLERANCE, f"features differ between processes by {worst:.1e}.")
    return f"largest difference {worst:.1e}"


def dtypes(subject: Subject) -> str:
    """Loaded for 16-bit numbers, the encoder gives float32 features that mean the same."""
    told = []
    for name in ("bfloat16", "float16"):
        pooled = subject.load_encoder(name).encode(subject.raws).pooled
        demand(pooled.dtype == torch.float32, f"loaded in {name}, features are {pooled.dtype}, not float32.")
        alike = float(torch.cosine_similarity(pooled, subject.features.pooled).min())
        demand(
            alike >= ALIKE, f"loaded in {name}, features have a cosine of {alike:.3f} to those in float32."
        )
        told.append(f"{name} {alike:.4f}")
    return f"cosine to float32: {', '.join(told)}"


def devices(subject: Subject) -> str:
    """Loaded on another device, the encoder gives its features there, and the same ones."""
    there = [
        name for name, module in (("cuda", torch.cuda), ("mps", torch.backends.mps)) if module.is_available()
    ]
    if not there:
        on = subject.features.pooled.device
        demand(on.type == "cpu", f"an encoder that was loaded on the CPU gives features on {on}.")
        raise Skipped("this machine has no other device than the CPU; there features are where they belong.")
    for name in there:
        found = subject.load_encoder(device=name).encode(subject.raws)
        demand(found.pooled.device.type == name, f"loaded on {name}, features are on {found.pooled.device}.")
        alike = float(torch.cosine_similarity(found.pooled.cpu(), subject.features.pooled).min())
        demand(alike >= ALIKE, f"features on {name} have a cosine of {alike:.3f} to those on the CPU.")
    return ", ".join(there)


def invariances(subject: Subject) -> str:
    """What is declared to change nothing gives equal features, pooled and one by one in any order."""
    if not subject.invariances:
        raise Skipped(
            "none is declared: the reader's `invariances` maps a name to a function of a value and a seed."
        )
    worst = 0.0
    for name, change in subject.invariances.items():
        for at, raw in enumerate(subject.raws):
            for seed in SEEDS:
                before, after = (subject.encoder.encode([one]) for one in (raw, change(raw, seed)))
                apart = max(
                    difference(before.pooled, after.pooled),
                    _as_sets(before.values[0][before.mask[0]], after.values[0][after.mask[0]], name),
                )
                demand(
                    apart <= TOLERANCE,
                    f"{name}: features of sample {at} change by {apart:.1e} with seed {seed}.",
                )
                worst = max(worst, apart)
    return f"{', '.join(subject.invariances)}: largest difference {worst:.1e}"


def _nothing_else_pooled(subject: Subject) -> None:
    """Different samples have different pooled features."""
    prints = {subject.reader.fingerprint(raw) for raw in subject.raws}
    if len(prints) > 1:
        same = bool((subject.features.pooled == subject.features.pooled[0]).all())
        demand(not same, "all samples have the same pooled feature, so nothing can be learnt from it.")


def _row(features: Features, at: int) -> tuple[Tensor, Tensor]:
    """The real features of one row, and its pooled one."""
    return features.values[at][features.mask[at]], features.pooled[at]


def _apart(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor], what: str) -> float:
    demand(one[0].shape == other[0].shape, f"{what} has {len(one[0])} features, and {len(other[0])} alone.")
    return max(difference(one[0], other[0]), difference(one[1], other[1]))


def difference(one: Tensor, other: Tensor) -> float:
    """The largest difference, relative to the largest feature where that is above 1."""
    if one.shape != other.shape:
        raise Failed(f"features are {tuple(one.shape)} and {tuple(other.shape)}.")
    scale = max(1.0, *(float(tensor.abs().max()) for tensor in (one, other))) if one.numel() else 1.0
    return float((one - other).abs().max()) / scale if one.numel() else 0.0


def _as_sets(one: Tensor, other: Tensor, name: str) -> float:
    """How far the features (n, d) of two values are apart, each from the nearest of the others."""
    demand(one.shape == other.shape, f"{name}: {len(one)} features become {len(other)}.")
    scale = max(1.0, float(one.abs().max()))
    near: Any = (one[:, None] - other[None]).abs().amax(-1)  # (n, n)
    return float(torch.maximum(near.amin(0).max(), near.amin(1).max())) / scale
