"""Stage `sight`: the image encoder learns to see, before the core ever looks through it.

One residual net (He et al. 2016; transformers' ResNetModel) over a mixture of pictures. Its targets are the
words of the captions, as in Joulin et al. 2016 ("Learning visual features from large weakly supervised
data"): the name of a photograph, of a digit, of a character; for scenes the phrases of the caption (Li et
al. 2017, visual n-grams): which shape, of which colour, where, how many. On photographs the features also
follow a teacher's (`teacher.py`).
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from augment import resize, to_tensor
from mixture import load_mixture
from pictures import SIDE, caltech101, cifar10
from torch import Tensor, nn
from transformers import ResNetConfig, ResNetModel
from turning import ConvMuon

SMALL_SIDE = 80


def new_encoder() -> ResNetModel:
    """The untrained encoder: 5.1 M weights, 96 x 96 pixels to a 3 x 3 grid of 384."""
    return ResNetModel(
        ResNetConfig(
            embedding_size=64, hidden_sizes=[64, 128, 256, 384], depths=[2, 2, 2, 1], layer_type="basic"
        )
    )


class Heads(nn.Module):
    """Throw-away classifiers on the pooled feature (photographs, digits, characters) and on the grid
    (scenes).
    """

    def __init__(self, d: int, sizes: dict[str, int], n_grid: int = 9, d_teacher: int = 1280) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(d, affine=False)
        self.names = nn.ModuleDict({k: nn.Linear(d, sizes[k]) for k in ("cifar10", "caltech101", "mnist")})
        self.looks = nn.ParameterDict(
            {k: nn.Parameter(torch.randn(sizes[k], d)) for k in ("omniglot", "twemoji")}
        )
        self.teacher = nn.Linear(d, d_teacher)
        self.scene = nn.Sequential(nn.Linear(n_grid * d, 512), nn.GELU(), nn.Linear(512, sizes["scene"]))

    def name_logits(self, kind: str, pooled: Tensor) -> Tensor:
        """(B, d) standardised features to (B, n_names); characters by cosine, so that near means alike."""
        if kind in self.names:
            return self.names[kind](pooled)  # type: ignore[no-any-return]
        return 20 * F.normalize(pooled, dim=-1) @ F.normalize(self.looks[kind], dim=-1).T


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
        if "twins" in target:  # which second drawing shows the same character as this first one, and back
            first, second = F.normalize(pooled[rows], dim=-1).chunk(2)
            alike, own = 12 * first @ second.T, torch.arange(len(first))
            out[kind] = (F.cross_entropy(alike, own) + F.cross_entropy(alike.T, own)) / 2
            out["found"] = (alike.detach().argmax(1) == own).float().mean()
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
    "twins": 1.0,
    "mnist": 0.12,
    "easy_vqa": 0.15,
    "scene": 0.35,
    "twemoji": 0.05,
}


@dataclass(frozen=True)
class Round:
    """From `peak` straight down to nothing: `steps` steps, the first `small` of them on small pictures."""

    steps: int
    small: int
    peak: float

    def rate(self, step: int) -> float:
        """The angle turned in step `step` of this round, radians."""
        return self.peak * min(1, (step + 1) / max(1, self.steps // 40)) * (1 - step / self.steps)


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
    (progressive resizing, Howard 2018), and save. Filters by `ConvMuon`, all else by AdamW.

    Writes `out`/state.pt while it runs (to resume) and `out`/encoder in transformers layout at the end.
    """
    torch.manual_seed(seed)
    mixture = load_mixture(data, views, seed, limit)
    encoder = new_encoder().to(memory_format=torch.channels_last).train()
    heads = Heads(384, mixture.sizes())
    whole = nn.ModuleDict({"encoder": encoder, "heads": heads})
    opts: list[torch.optim.Optimizer] = [
        ConvMuon([p for p in encoder.parameters() if p.ndim == 4], rounds[0].peak, dtype=dtype),
        torch.optim.AdamW(
            [
                {"params": [p for p in heads.parameters() if p.ndim == 2], "weight_decay": 0.05},
                {"params": [p for p in whole.parameters() if p.ndim < 2], "weight_decay": 0.0},
            ],
            betas=(0.9, 0.98),
        ),
    ]
    average = torch.optim.swa_utils.AveragedModel(
        whole, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995), use_buffers=True
    )
    plan = [(r, s) for r in rounds for s in range(r.steps)]
    out.mkdir(parents=True, exist_ok=True)
    state, start = out / "state.pt", 0
    if state.exists():
        kept = torch.load(state, weights_only=True)
        whole.load_state_dict(kept["whole"]), average.load_state_dict(kept["average"])
        for opt, saved in zip(opts, kept["optimisers"], strict=True):
            opt.load_state_dict(saved)
        start = kept["step"]
    seen: dict[str, float] = {}
    began = time.time()
    for step in range(start, len(plan)):
        now, within = plan[step]
        for opt, share in zip(opts, (1.0, 0.06), strict=True):
            for group in opt.param_groups:
                group["lr"] = share * now.rate(within)
            opt.zero_grad(set_to_none=True)
        x, parts = mixture.batch(step, SMALL_SIDE if within < now.small else SIDE, scale)
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            told = encoder(x)
        grid = told.last_hidden_state.float()  # (B, d, 3, 3), at either size
        each = losses(heads, grid.flatten(2).transpose(1, 2), told.pooler_output.float().flatten(1), parts)
        loss = sum(share * each[k] for k, share in SHARE.items())
        loss.backward()  # type: ignore[union-attr]
        torch.nn.utils.clip_grad_norm_(whole.parameters(), 5.0)
        for opt in opts:
            opt.step()
        average.update_parameters(whole)
        for k, v in each.items():
            now_lost = float(v.detach())
            seen[k] = 0.95 * seen.get(k, now_lost) + 0.05 * now_lost
        if (step + 1) % 25 == 0:
            told_losses = "  ".join(f"{k} {v:.3f}" for k, v in seen.items())
            pace = (time.time() - began) / (step + 1 - start)
            print(f"step {step + 1}/{len(plan)}  {pace:.2f} s  {told_losses}", flush=True)
        if (step + 1) % every == 0 or step + 1 == len(plan):
            save = {
                "whole": whole.state_dict(),
                "average": average.state_dict(),
                "optimisers": [opt.state_dict() for opt in opts],
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
