"""Stage `teacher`: what a real ImageNet encoder sees in crops of the photographs, written down once.

A net of 5 M weights cannot learn photographs from 6,000 of them. A frozen MobileNetV2 can tell it which
crops look alike (Hinton et al. 2015, "Distilling the knowledge in a neural network"; the features, as in
FitNets, Romero et al. 2015). Only its outputs are used; none of its weights enter the bundle.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch
from pictures import SIDE, caltech101
from PIL import Image
from torch import Tensor
from tqdm import tqdm
from transformers import AutoModel

TEACHER_SIDE = 224


def crop(picture: np.ndarray, view: int, rng: random.Random) -> Image.Image:  # type: ignore[type-arg]
    """View 0 is the whole picture; the others are random crops of 45 to 100 % of its area, half of them
    mirrored.
    """
    image = Image.fromarray(picture)
    if view == 0:
        return image
    side = image.width
    area, ratio = rng.uniform(0.45, 1.0), rng.uniform(0.85, 1.18)
    w, h = min(side, side * (area * ratio) ** 0.5), min(side, side * (area / ratio) ** 0.5)
    x, y = rng.uniform(0, side - w), rng.uniform(0, side - h)
    image = image.resize((160, 160), Image.Resampling.BILINEAR, box=(x, y, x + w, y + h))
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else image


def write_views(
    data: Path, models: Path, out: Path, *, views: int, limit: int | None, dtype: torch.dtype
) -> None:
    """Write `out`: pictures (N, 96, 96, 3) uint8, (0, row) of each, teacher features (N, 1280) float16."""
    if out.exists():
        return
    source = caltech101(data, "train", 160, limit)
    teacher = (
        AutoModel.from_pretrained(models / "mobilenet_v2_1.0_224")
        .eval()
        .to(memory_format=torch.channels_last)
    )
    rng = random.Random(0)
    jobs = [(row, view) for view in range(views) for row in range(len(source))]
    small, features, where = [], [], []
    for start in tqdm(range(0, len(jobs), 64), desc="teacher"):
        batch = jobs[start : start + 64]
        images = [crop(source.pictures[row], view, rng) for row, view in batch]
        small += [np.asarray(i.resize((SIDE, SIDE), Image.Resampling.BILINEAR)) for i in images]
        features.append(_features(teacher, images, dtype))
        where += [(0, row) for row, _ in batch]
    part = out.with_suffix(".part.npz")
    np.savez(
        part, pictures=np.stack(small), where=np.array(where), features=torch.cat(features).half().numpy()
    )
    part.rename(out)


@torch.no_grad()
def _features(teacher: torch.nn.Module, images: list[Image.Image], dtype: torch.dtype) -> Tensor:
    big = [np.asarray(i.resize((TEACHER_SIDE, TEACHER_SIDE), Image.Resampling.BILINEAR)) for i in images]
    x = (torch.from_numpy(np.stack(big)).permute(0, 3, 1, 2).float() - 128) / 128
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        out: Tensor = teacher(x.contiguous(memory_format=torch.channels_last)).pooler_output
    return out.float()
