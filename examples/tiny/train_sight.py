"""Stage `sight`: the image encoder learns to see, before the core ever looks through it.

One residual net (He et al. 2016; transformers' ResNetModel) over a mixture of pictures. Its targets are the
words of the captions, as in Joulin et al. 2016 ("Learning visual features from large weakly supervised
data"): the name of a photograph, of a digit, of a character; for scenes the phrases of the caption (Li et
al. 2017, visual n-grams): which shape, of which colour, where, how many. On photographs the features also
follow a teacher's (`teacher.py`).
"""

from __future__ import annotations

import json
import math
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from augment import (
    DIGIT,
    DRAWING,
    PHOTO,
    SCENE,
    SMALL_PHOTO,
    affine,
    invert_some,
    light,
    resize,
    symmetries,
    to_tensor,
)
from characters import character, draw_character
from composed import N_COMPOSED, Composer
from pictures import Source, caltech101, cifar10, easy_vqa, mnist, omniglot, twemoji
from scenes import COLOURS, COLUMNS, ROWS, SHAPES, Scene, draw, random_scene
from torch import Tensor, nn
from transformers import ResNetConfig, ResNetModel

PLACES = tuple("middle" if r == c == "middle" else f"{r} {c}" for r in ROWS for c in COLUMNS)
N_INVENTED = 2400
MIX = {
    "cifar10": 64,
    "caltech101": 34,
    "omniglot": 14,
    "composed": 18,
    "invented": 8,
    "mnist": 3,
    "easy_vqa": 3,
    "scene": 12,
    "twemoji": 2,
}


def new_encoder() -> ResNetModel:
    """The untrained encoder: 5.1 M weights, 96 x 96 pixels to a 3 x 3 grid of 384."""
    return ResNetModel(
        ResNetConfig(
            embedding_size=64, hidden_sizes=[64, 128, 256, 384], depths=[2, 2, 2, 1], layer_type="basic"
        )
    )


def phrases(scene: Scene) -> list[str]:
    """Everything a caption may say of a scene, as phrases."""
    out: list[str] = []
    for item in scene:
        out += [
            item.name,
            f"{item.colour} at {item.place}",
            f"{item.shape} at {item.place}",
            f"{item.size} {item.shape}",
        ]
    for word, of in [(c, "colour") for c in COLOURS] + [(s, "shape") for s in SHAPES]:
        n = sum(getattr(item, of) == word for item in scene)
        out += [f"{k} {word}" for k in range(1, n + 1)]
    return out + [f"{k} in all" for k in range(1, len(scene) + 1)]


def all_phrases() -> list[str]:
    """The closed list that `phrases` draws from."""
    out = [f"{c} {s}" for c in COLOURS for s in SHAPES]
    out += [f"{w} at {p}" for w in (*COLOURS, *SHAPES) for p in PLACES]
    out += [f"{size} {s}" for size in ("small", "big") for s in SHAPES]
    out += [f"{k} {w}" for w in (*COLOURS, *SHAPES) for k in range(1, 5)]
    return out + [f"{k} in all" for k in range(1, 5)]


class Heads(nn.Module):
    """Throw-away classifiers on the pooled feature (photographs, digits, characters) and on the grid
    (scenes).
    """

    def __init__(self, d: int, sizes: dict[str, int], n_grid: int = 9, d_teacher: int = 1280) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(d, affine=False)
        self.names = nn.ModuleDict({k: nn.Linear(d, sizes[k]) for k in ("cifar10", "caltech101", "mnist")})
        self.looks = nn.ParameterDict(
            {
                k: nn.Parameter(torch.randn(sizes[k], d))
                for k in ("omniglot", "composed", "invented", "twemoji")
            }
        )
        self.teacher = nn.Linear(d, d_teacher)
        self.scene = nn.Sequential(nn.Linear(n_grid * d, 512), nn.GELU(), nn.Linear(512, sizes["scene"]))

    def name_logits(self, kind: str, pooled: Tensor) -> Tensor:
        """(B, d) standardised features to (B, n_names); characters by cosine, so that near means alike."""
        if kind in self.names:
            return self.names[kind](pooled)  # type: ignore[no-any-return]
        return 20 * F.normalize(pooled, dim=-1) @ F.normalize(self.looks[kind], dim=-1).T


@dataclass
class Mixture:
    """Draws one training batch: pictures of every source at the asked size, with their targets."""

    data: dict[str, Source]
    views: dict[str, np.ndarray]  # type: ignore[type-arg]
    seed: int

    def __post_init__(self) -> None:
        self.index = {k: {w: i for i, w in enumerate(s.names())} for k, s in self.data.items()}
        self.targets = {k: np.array([self.index[k][w] for w in s.labels]) for k, s in self.data.items()}
        self.composer = Composer(self.data["omniglot"])
        self.phrase_index = {p: i for i, p in enumerate(all_phrases())}
        photos = self.views["where"][:, 0] == 0
        self.photo_rows = np.flatnonzero(photos)
        share = self.targets["caltech101"][self.views["where"][self.photo_rows, 1]]
        counts = np.bincount(share, minlength=len(self.index["caltech101"]))
        weight = 1.0 / np.sqrt(counts[share])  # rare classes oftener, common ones not forgotten
        self.photo_chance = weight / weight.sum()

    def sizes(self) -> dict[str, int]:
        """How many names each source has."""
        out = {k: len(v) for k, v in self.index.items()}
        return out | {
            "omniglot": 8 * out["omniglot"],
            "composed": N_COMPOSED,
            "invented": N_INVENTED,
            "scene": len(self.phrase_index),
        }

    def batch(
        self, step: int, side: int, scale: float = 1.0
    ) -> tuple[Tensor, dict[str, tuple[slice, dict[str, Tensor]]]]:
        """Batch number `step` (the same for the same seed). Returns (B, 3, side, side) and per source its
        slice.
        """
        np_rng, rng = np.random.default_rng((self.seed, step)), random.Random(f"{self.seed} {step}")
        gen = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        pictures, parts, start = [], {}, 0
        for kind, share in MIX.items():
            n = max(2, round(share * scale))
            x, target = getattr(self, "_" + kind)(n, side, np_rng, rng, gen)
            pictures.append(x)
            parts[kind] = (slice(start, start + n), target)
            start += n
        return torch.cat(pictures).contiguous(memory_format=torch.channels_last), parts

    def _pick(self, kind: str, n: int, np_rng: Any) -> tuple[Tensor, Tensor]:
        at = np_rng.integers(0, len(self.data[kind]), n)
        return to_tensor(self.data[kind].pictures[at]), torch.from_numpy(self.targets[kind][at])

    def _cifar10(self, n: int, side: int, np_rng: Any, rng: Any, gen: Any) -> Any:
        x, y = self._pick("cifar10", n, np_rng)
        return light(affine(x, side, gen, **SMALL_PHOTO), gen, 0.15), {"name": y}  # type: ignore[arg-type]

    def _caltech101(self, n: int, side: int, np_rng: Any, rng: Any, gen: Any) -> Any:
        at = np_rng.choice(self.photo_rows, n, p=self.photo_chance)
        y = self.targets["caltech101"][self.views["where"][at, 1]]
        x = light(affine(to_tensor(self.views["pictures"][at]), side, gen, **PHOTO), gen, 0.25)  # type: ignore[arg-type]
        return x, {
            "name": torch.from_numpy(y),
            "teacher": torch.from_numpy(self.views["features"][at]).float(),
        }

    def _twemoji(self, n: int, side: int, np_rng: Any, rng: Any, gen: Any) -> Any:
        x, y = self._pick("twemoji", n, np_rng)
        return light(affine(x, side, gen, **(DRAWING | {"turn": 0.1})), gen, 0.1), {"name": y}  # type: ignore[arg-type]

    def _mnist(self, n: int, side: int, np_rng: Any, rng: Any, gen: Any) -> Any:
        x, y = self._pick("mnist", n, np_rng)
        return invert_some(affine(x, side, gen, **DIGIT), gen, 0.25), {"name": y}  # type: ignore[arg-type]

    def _omniglot(self, n: int, side: int, np_rng: Any, rng: Any, gen: Any) -> Any:
        x, y = self._pick("omniglot", n, np_rng)
        which = torch.randint(0, 8, (n,), generator=gen)
        x = affine(symmetries(x, which), side, gen, **DRAWING)  # type: ignore[arg-type]
        return invert_some(x, gen, 0.1), {"name": y * 8 + which}

    def _composed(self, n: int, side: int, np_rng: Any, rng: Any, gen: Any) -> Any:
        """Two real characters in one: thousands of new ones, each stroke by a real hand."""
        which = [rng.randrange(N_COMPOSED) for _ in range(n)]
        x = affine(self.composer.draw(which, rng), side, gen, **DRAWING)  # type: ignore[arg-type]
        return invert_some(x, gen, 0.1), {"name": torch.tensor(which)}

    def _invented(self, n: int, side: int, np_rng: Any, rng: Any, gen: Any) -> Any:
        which = [rng.randrange(N_INVENTED) for _ in range(n)]
        drawn = np.stack([np.asarray(draw_character(character(w), rng)) for w in which])
        return invert_some(resize(to_tensor(drawn), side), gen, 0.1), {"name": torch.tensor(which)}

    def _easy_vqa(self, n: int, side: int, np_rng: Any, rng: Any, gen: Any) -> Any:
        at = np_rng.integers(0, len(self.data["easy_vqa"]), n)
        target = torch.zeros(n, len(self.phrase_index))
        known = torch.zeros_like(target)
        n_pairs = len(COLOURS) * len(SHAPES)
        for i, row in enumerate(at):
            phrase = self.data["easy_vqa"].labels[row]
            if phrase in self.phrase_index:
                target[i, self.phrase_index[phrase]] = 1
                known[i, :n_pairs] = 1
        x = affine(to_tensor(self.data["easy_vqa"].pictures[at]), side, gen, **SCENE)  # type: ignore[arg-type]
        return x, {"phrases": target, "known": known}

    def _scene(self, n: int, side: int, np_rng: Any, rng: Any, gen: Any) -> Any:
        scenes = [random_scene(rng) for _ in range(n)]
        target = torch.zeros(n, len(self.phrase_index))
        for i, scene in enumerate(scenes):
            target[i, [self.phrase_index[p] for p in phrases(scene)]] = 1
        drawn = np.stack([np.asarray(draw(scene, rng)) for scene in scenes])
        return affine(resize(to_tensor(drawn), side), side, gen, **SCENE), {
            "phrases": target,
            "known": torch.ones_like(target),
        }  # type: ignore[arg-type]


def losses(heads: Heads, grid: Tensor, pooled: Tensor, parts: dict[str, Any]) -> dict[str, Tensor]:
    """Per source a mean loss; grid (B, 9, d), pooled (B, d) before standardising."""
    pooled = heads.norm(pooled)
    out: dict[str, Tensor] = {}
    for kind, (rows, target) in parts.items():
        if "name" in target:
            smooth = 0.0 if kind in heads.looks else 0.1
            out[kind] = F.cross_entropy(
                heads.name_logits(kind, pooled[rows]), target["name"], label_smoothing=smooth
            )
        if "teacher" in target:
            told = F.normalize(heads.teacher(pooled[rows]), dim=-1)
            want = F.normalize(target["teacher"] - target["teacher"].mean(1, keepdim=True), dim=-1)
            out["teacher"] = 1 - (told * want).sum(-1).mean()
        if "phrases" in target:
            bce = F.binary_cross_entropy_with_logits(
                heads.scene(grid[rows].flatten(1)), target["phrases"], reduction="none"
            )
            out[kind] = 40 * (bce * target["known"]).sum() / target["known"].sum().clamp(min=1)
    return out


SHARE = {
    "cifar10": 1.0,
    "caltech101": 0.6,
    "teacher": 4.0,
    "omniglot": 0.5,
    "composed": 0.6,
    "invented": 0.3,
    "mnist": 0.12,
    "easy_vqa": 0.15,
    "scene": 0.35,
    "twemoji": 0.05,
}


def load_mixture(data: Path, views: Path, seed: int, limit: int | None) -> Mixture:
    """Read every training source into memory."""
    sources = {
        "cifar10": cifar10(data, "train", limit),
        "caltech101": caltech101(data, "train", 32, limit),
        "mnist": mnist(data, "train", limit),
        "omniglot": omniglot(data, "train"),
        "easy_vqa": easy_vqa(data, "train", limit),
        "twemoji": twemoji(data),
    }
    with np.load(views) as file:
        return Mixture(sources, {k: file[k] for k in file.files}, seed)


@dataclass(frozen=True)
class Round:
    """One cosine from `peak` down: `steps` steps, the first `small` of them on 64 x 64 pixels."""

    steps: int
    small: int
    peak: float

    def rate(self, step: int) -> float:
        """The learning rate of step `step` of this round."""
        warm = max(1, self.steps // 20)
        falling = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return self.peak * min(1, (step + 1) / warm) * falling


@torch.no_grad()
def head_scores(whole: nn.Module, data: Path, limit: int | None) -> dict[str, float]:
    """Share of development pictures that the throw-away heads name right."""
    out = {}
    sources = {"cifar10": cifar10(data, "train", limit), "caltech101": caltech101(data, "train", 32, limit)}
    whole.eval()
    for kind, split in (
        ("cifar10", cifar10(data, "dev", limit)),
        ("caltech101", caltech101(data, "dev", 96, limit)),
    ):
        names, hits = sources[kind].names(), 0
        for i in range(0, len(split), 100):
            seen = whole["encoder"](resize(to_tensor(split.pictures[i : i + 100]), 96))  # type: ignore[index]
            heads = whole["heads"]  # type: ignore[index]
            told = heads.name_logits(kind, heads.norm(seen.pooler_output.flatten(1))).argmax(-1)
            hits += sum(names[t] == w for t, w in zip(told.tolist(), split.labels[i : i + 100], strict=True))
        out[kind] = hits / len(split)
    return out


def train_sight(
    data: Path,
    views: Path,
    out: Path,
    *,
    rounds: tuple[Round, ...],
    seed: int,
    dtype: torch.dtype,
    limit: int | None = None,
    scale: float = 1.0,
    every: int = 200,
) -> None:
    """Train round after round (warm restarts, Loshchilov and Hutter 2017), each with small pictures first
    (progressive resizing, Howard 2018), and save.

    Writes `out`/state.pt while it runs (to resume) and `out`/encoder in transformers layout at the end.
    """
    torch.manual_seed(seed)
    mixture = load_mixture(data, views, seed, limit)
    encoder = new_encoder().to(memory_format=torch.channels_last).train()
    heads = Heads(384, mixture.sizes())
    whole = nn.ModuleDict({"encoder": encoder, "heads": heads})
    decay = [p for p in whole.parameters() if p.ndim >= 2]
    plain = [p for p in whole.parameters() if p.ndim < 2]
    optimiser = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}],
        betas=(0.9, 0.98),
    )
    average = torch.optim.swa_utils.AveragedModel(
        whole, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995), use_buffers=True
    )
    plan = [(r, s) for r in rounds for s in range(r.steps)]
    out.mkdir(parents=True, exist_ok=True)
    state, start = out / "state.pt", 0
    if state.exists():
        kept = torch.load(state, weights_only=True)
        whole.load_state_dict(kept["whole"]), average.load_state_dict(kept["average"])
        optimiser.load_state_dict(kept["optimiser"])
        start = kept["step"]
    seen: dict[str, float] = {}
    began = time.time()
    for step in range(start, len(plan)):
        now, within = plan[step]
        for group in optimiser.param_groups:
            group["lr"] = now.rate(within)
        x, parts = mixture.batch(step, 64 if within < now.small else 96, scale)
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            told = encoder(x)
        grid = told.last_hidden_state.float()  # (B, d, h, w)
        if grid.shape[-1] != 3:
            grid = F.adaptive_avg_pool2d(F.interpolate(grid, (6, 6)), 3)
        each = losses(heads, grid.flatten(2).transpose(1, 2), told.pooler_output.float().flatten(1), parts)
        loss = sum(SHARE[k] * v for k, v in each.items())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[union-attr]
        torch.nn.utils.clip_grad_norm_(whole.parameters(), 5.0)
        optimiser.step(), average.update_parameters(whole)
        for k, v in each.items():
            seen[k] = 0.95 * seen.get(k, float(v)) + 0.05 * float(v)
        if (step + 1) % 25 == 0:
            told_losses = "  ".join(f"{k} {v:.3f}" for k, v in seen.items())
            pace = (time.time() - began) / (step + 1 - start)
            print(f"step {step + 1}/{len(plan)}  {pace:.2f} s  {told_losses}", flush=True)
        if (step + 1) % every == 0 or step + 1 == len(plan):
            save = {
                "whole": whole.state_dict(),
                "average": average.state_dict(),
                "optimiser": optimiser.state_dict(),
                "step": step + 1,
            }
            torch.save(save, state.with_suffix(".part"))
            state.with_suffix(".part").rename(state)
        if (step + 1) % (5 * every) == 0 or step + 1 == len(plan):
            scores = head_scores(average.module, data, limit)
            print(f"step {step + 1}  dev by head: {scores}", flush=True)
            (out / "report.json").write_text(json.dumps({"step": step + 1} | scores))
    average.module["encoder"].eval().to(memory_format=torch.contiguous_format).save_pretrained(
        out / "encoder"
    )
    torch.save(average.module["heads"].state_dict(), out / "heads.pt")
