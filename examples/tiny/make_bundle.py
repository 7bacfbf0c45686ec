"""Stage `bundle`: words, memory and confidence are fitted on development pictures, and all is written as one
bundle.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from augment import resize, to_tensor
from look import directions, quantiser, see, unseen_characters
from pictures import SIDE, Source
from sight_words import N_LEVELS, N_WORDS
from torch import Tensor, nn
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast, ResNetModel

PREPROCESSOR = {
    "image_processor_type": "ViTImageProcessor",
    "do_resize": True,
    "size": {"height": SIDE, "width": SIDE},
    "resample": 2,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
}


@torch.no_grad()
def pooled_of(encoder: ResNetModel, source: Source, dtype: torch.dtype, batch: int = 128) -> Tensor:
    """Pooled features (N, d) of a source as it is, no augmentation."""
    parts = [source.pictures[i : i + batch] for i in range(0, len(source), batch)]
    return torch.cat([see(encoder, resize(to_tensor(p), SIDE), dtype)[1] for p in parts])


def by_label(pooled: Tensor, labels: list[str]) -> list[Tensor]:
    """Features grouped by class, classes of at least two."""
    names = sorted(set(labels))
    groups = [pooled[[i for i, label in enumerate(labels) if label == name]] for name in names]
    return [g for g in groups if len(g) > 1]


def domains_of(
    encoder: ResNetModel, photos: Source, letters: Source, dtype: torch.dtype, n_unseen: int
) -> list[list[Tensor]]:
    """Characters (new ones never drawn in training, and alphabets of it) and photographs, by class."""
    unseen = list(unseen_characters(encoder, letters, n_unseen, 10, dtype))
    known = by_label(pooled_of(encoder, letters, dtype), letters.labels)
    return [unseen + known, by_label(pooled_of(encoder, photos, dtype), photos.labels)]


def fit_words(domains: list[list[Tensor]]) -> dict[str, Tensor]:
    """Quantiser of the visual words: characters weigh most, since names for photographs are in the
    captions.
    """
    projection, mean = directions(domains, [0.75, 0.25], N_WORDS)
    every = torch.cat(
        [torch.cat(domains[0]), torch.cat(domains[1])[:: max(1, len(torch.cat(domains[1])) // 2000)]]
    )
    return quantiser(projection, mean, every)


def word_table(core: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> Tensor:
    """(N_WORDS, N_LEVELS, d_core): the core's own embeddings of its visual words."""
    ids = [
        [tokenizer.convert_tokens_to_ids(f"<v{i}.{level}>") for level in range(N_LEVELS)]
        for i in range(N_WORDS)
    ]
    return core.get_input_embeddings().weight.detach()[torch.tensor(ids)].clone()


def fit_memory(domains: list[list[Tensor]]) -> dict[str, Any]:
    """How shots are compared: features whitened within classes, and where 'near' begins.

    `threshold`, where memory and core weigh the same, is the 99.5th percentile of the best similarity, among
    20 shots, of a query from another domain. Printed beside it: the 2nd and 10th percentile of the best
    similarities of queries whose class is among the shots.
    """
    stats = [torch.cat([c - c.mean(0) for c in classes]) for classes in domains]
    within = sum(s.T @ s / len(s) for s in stats) / len(stats)
    assert isinstance(within, Tensor)
    middle = torch.stack([torch.stack([c.mean(0) for c in classes]).mean(0) for classes in domains]).mean(0)
    d = len(middle)
    values, vectors = torch.linalg.eigh(within + 0.05 * within.trace() / d * torch.eye(d))
    whiten = vectors / values.sqrt()
    key = lambda x: nn.functional.normalize((x - middle) @ whiten, dim=-1)  # noqa: E731
    rng = random.Random("memory")
    near, far = [], []
    for at in range(1200):
        home = at % len(domains)
        classes = rng.sample(domains[home], min(20, len(domains[home])))
        picked = [rng.sample(range(len(c)), 2) for c in classes]  # a row for the shot, another for the query
        shots = key(torch.stack([c[rows[0]] for c, rows in zip(classes, picked, strict=True)]))
        near.append(float((shots @ key(classes[0][picked[0][1]][None])[0]).max()))
        other = rng.choice(domains[(home + 1) % len(domains)])
        far.append(float((shots @ key(other[rng.randrange(len(other))][None])[0]).max()))
    low, some = np.quantile(near, (0.02, 0.1)).tolist()
    threshold = float(np.quantile(far, 0.995))
    print(f"memory: near from {low:.3f} (10 % below {some:.3f}), threshold {threshold:.3f}", flush=True)
    return {"mean": middle, "projection": whiten, "threshold": threshold, "slope": 40.0, "beta": 12.0}


def fit_confidence(pairs: list[tuple[float, bool]]) -> tuple[float, float]:
    """Platt's scale and bias (Platt 1999) on (probability, right) of development answers."""
    from sklearn.linear_model import LogisticRegression

    p = np.clip(np.array([c for c, _ in pairs]), 1e-6, 1 - 1e-6)
    y = np.array([r for _, r in pairs])
    if y.all() or not y.any():
        return 1.0, 0.0
    model = LogisticRegression(C=100.0).fit(np.log(p / (1 - p))[:, None], y)
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def write_bundle(
    out: Path,
    core: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    encoder: ResNetModel,
    adapter: nn.Module,
    memory: dict[str, Any],
    calibration: dict[str, Any] | None,
    scores: dict[str, Any],
    card: str,
    staging: Path,
) -> None:
    """Write the bundle, weights in float16, in plain transformers layout."""
    from mmagent.bundle import Bundle

    core_dir, encoder_dir = staging / "core", staging / "encoder"
    core.half().save_pretrained(core_dir), tokenizer.save_pretrained(core_dir)
    encoder.half().save_pretrained(encoder_dir)
    (encoder_dir / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR, indent=2) + "\n")
    core.float(), encoder.float()
    state = {k: v.half() if v.is_floating_point() else v for k, v in adapter.state_dict().items()}
    numbers = {k: v for k, v in memory.items() if not isinstance(v, Tensor)}
    manifest: dict[str, Any] = {
        "name": "tiny",
        "version": "0.1.0",
        "description": (
            "the embedded bundle: a 5 M core that read text only, and an image sense trained on captions only"
        ),
        "core": {"path": "core"},
        "senses": {
            "image": {
                "encoder": "image/encoder",
                "adapter": {
                    "family": "visual-words",
                    "config": adapter.config,
                    "weights": "image/adapter.safetensors",
                },
                "memory": numbers | {"mean": "mean", "projection": "projection"},
            }
        },
        "scores": scores,
        "licence": "Apache-2.0",
    }
    if calibration:
        manifest["calibration"] = calibration
    tensors = {k: v.contiguous() for k, v in memory.items() if isinstance(v, Tensor)}
    parts = {
        "core": core_dir,
        "image/encoder": encoder_dir,
        "image/adapter.safetensors": state,
        "image/memory.safetensors": tensors,
    }
    Bundle.write(out, manifest, parts, card=card, replace=True)
