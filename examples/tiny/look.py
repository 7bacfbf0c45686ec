"""Stage `look`: the frozen encoder looks at every training picture once; what it saw is kept on disk.

Also the visual words: the directions in which unseen characters and things differ most, against how much
drawings of one character differ among themselves (Fisher 1936), cut into equally likely levels.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import captions as say
import numpy as np
import torch
from augment import (
    DIGIT,
    DRAWING,
    PHOTO,
    SCENE,
    SMALL_PHOTO,
    affine,
    invert_some,
    light,
    symmetries,
    to_tensor,
)
from pictures import SIDE, Source, caltech101, cifar10, easy_vqa, mnist, omniglot, twemoji
from scenes import Scene, draw, random_scene
from sight_words import N_LEVELS
from soft import scene_line
from strokes import FIRST_UNSEEN, Strokes
from torch import Tensor
from tqdm import tqdm
from transformers import ResNetModel

Told = tuple[str, list[say.Statement]]  # what the picture shows, as `soft.written` reads it, and sentences


@torch.no_grad()
def see(encoder: ResNetModel, x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """(B, 3, 96, 96) to grid (B, 9, d) and pooled (B, d), float32."""
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        told = encoder(x.contiguous(memory_format=torch.channels_last))
    return told.last_hidden_state.float().flatten(2).transpose(1, 2), told.pooler_output.float().flatten(1)


def _looks(data: Path, counts: dict[str, int], views: Path) -> Iterator[tuple[str, Tensor, list[Told]]]:
    """(source, pictures, what is true of each) in batches, each source as many times as `counts` says."""
    gen, rng = torch.Generator().manual_seed(1), random.Random("looks")

    def cut(name: str, n: int, make: Any) -> Iterator[Any]:
        for start in range(0, n, 128):
            yield (name, *make(np.arange(start, min(n, start + 128))))

    photos = cifar10(data, "train")
    cifar_words = [(f"photo|{w}", say.thing_statements(w)) for w in photos.labels]
    yield from cut(
        "cifar10",
        counts["cifar10"],
        lambda at: (
            light(affine(to_tensor(photos.pictures[at % len(photos)]), SIDE, gen, **SMALL_PHOTO), gen, 0.1),
            [cifar_words[i % len(photos)] for i in at],
        ),
    )
    with np.load(views) as file:
        where, pictures = file["where"], file["pictures"]
    words = [(f"photo|{w}", say.thing_statements(w)) for w in caltech101(data, "train", 32).labels]
    rows = np.flatnonzero(where[:, 0] == 0)
    yield from cut(
        "caltech101",
        counts["caltech101"],
        lambda at: (
            light(affine(to_tensor(pictures[rows[at % len(rows)]]), SIDE, gen, **PHOTO), gen, 0.15),
            [words[where[rows[i % len(rows)], 1]] for i in at],
        ),
    )

    def scene_batch(at: Any) -> Any:
        scenes = [random_scene(rng) for _ in at]
        drawn = np.stack([np.asarray(draw(s, rng)) for s in scenes])
        return affine(to_tensor(drawn), SIDE, gen, **SCENE), [scene_told(s) for s in scenes]

    yield from cut("scene", counts["scene"], scene_batch)
    shapes = easy_vqa(data, "train")
    told = say.easy_vqa_scenes(shapes)
    keep = np.array([i for i, scene in enumerate(told) if scene])
    yield from cut(
        "easy_vqa",
        counts["easy_vqa"],
        lambda at: (
            affine(to_tensor(shapes.pictures[keep[at % len(keep)]]), SIDE, gen, **SCENE),
            [scene_told(told[keep[i % len(keep)]]) for i in at],
        ),
    )
    digits = mnist(data, "train")
    yield from cut(
        "mnist",
        counts["mnist"],
        lambda at: (
            invert_some(affine(to_tensor(digits.pictures[at % len(digits)]), SIDE, gen, **DIGIT), gen, 0.25),
            [digit_told(digits.labels[i % len(digits)]) for i in at],
        ),
    )
    letters = omniglot(data, "train")
    yield from cut(
        "omniglot",
        counts["omniglot"],
        lambda at: (
            affine(
                symmetries(
                    to_tensor(letters.pictures[at % len(letters)]),
                    torch.randint(0, 8, (len(at),), generator=gen),
                ),
                SIDE,
                gen,
                **DRAWING,
            ),
            [("character|", say.character_statements()) for _ in at],
        ),
    )
    strokes = Strokes(letters)
    yield from cut(
        "made",
        counts["made"],
        lambda at: (
            affine(drawings(strokes, at.tolist(), rng), SIDE, gen, **DRAWING),
            [("character|", say.character_statements()) for _ in at],
        ),
    )
    emoji = twemoji(data)
    yield from cut(
        "twemoji",
        counts["twemoji"],
        lambda at: (
            light(
                affine(to_tensor(emoji.pictures[at % len(emoji)]), SIDE, gen, **(DRAWING | {"turn": 0.1})),
                gen,
                0.1,
            ),
            [emoji_told(emoji.labels[i % len(emoji)]) for i in at],
        ),
    )


def scene_told(scene: Scene) -> Told:
    """A drawn scene."""
    return f"scene|{scene_line(scene)}", say.scene_statements(scene)


def digit_told(word: str) -> Told:
    """A handwritten digit."""
    return f"digit|{word}", say.digit_statements(word)


def emoji_told(name: str) -> Told:
    """An emoji."""
    return f"emoji|{name}", say.emoji_statements(name)


def look_all(
    data: Path, views: Path, encoder: ResNetModel, out: Path, counts: dict[str, int], dtype: torch.dtype
) -> None:
    """Write one .npz of features and one .json of what each picture shows per source to `out`.

    Features in half precision: grid (N, 9, d) and pooled (N, d).
    """
    out.mkdir(parents=True, exist_ok=True)
    if (out / "done").exists():
        return
    kept: dict[str, tuple[list[Any], list[Any], list[Any]]] = {}
    for name, x, told in tqdm(
        _looks(data, counts, views), desc="look", total=sum(counts.values()) // 128, mininterval=10
    ):
        grid, pooled = see(encoder, x, dtype)
        parts = kept.setdefault(name, ([], [], []))
        (
            parts[0].append(grid.half().numpy()),
            parts[1].append(pooled.half().numpy()),
            parts[2].extend(told),
        )
    for name, (grids, pools, told) in kept.items():
        np.savez(out / f"{name}.npz", grid=np.concatenate(grids), pooled=np.concatenate(pools))
        (out / f"{name}.json").write_text(json.dumps(told))
    (out / "done").write_text("all sources written\n")


def unseen_characters(
    encoder: ResNetModel, letters: Source, n: int, each: int, dtype: torch.dtype, first: int = FIRST_UNSEEN
) -> Tensor:
    """Pooled features (n, each, d) of characters that no training step has drawn."""
    rng, gen, strokes = random.Random("unseen"), torch.Generator().manual_seed(2), Strokes(letters)
    out = []
    for i in range(first, first + n):
        x = affine(drawings(strokes, [i] * each, rng), SIDE, gen, **DRAWING)  # type: ignore[arg-type]
        out.append(see(encoder, x, dtype)[1])
    return torch.stack(out)


def drawings(strokes: Strokes, numbers: list[int], rng: random.Random) -> Tensor:
    """(B, 3, 96, 96) in -1..1: a new drawing of each numbered character made of strokes."""
    drawn = [np.asarray(strokes.draw(strokes.character(n), rng, SIDE)) for n in numbers]
    return to_tensor(np.stack(drawn))


def scatter(classes: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Between-class and within-class covariance (d, d) and the mean (d,) of one kind of picture."""
    means = torch.stack([c.mean(0) for c in classes])
    centred = torch.cat([c - c.mean(0) for c in classes])
    freedom = max(1, len(centred) - len(classes))
    middle = means.mean(0)
    return (means - middle).T @ (means - middle) / (len(means) - 1), centred.T @ centred / freedom, middle


def directions(
    domains: list[list[Tensor]], shares: list[float], n: int, shrink: float = 0.02
) -> tuple[Tensor, Tensor]:
    """Fisher's discriminant directions (d, n) over several kinds of pictures, and the common mean (d,).

    What merely tells one kind from another (photographs from characters) is projected out first: it would
    spend words on what every shot of an episode has in common. Each direction has unit variance within a
    kind.
    """
    stats = [scatter(classes) for classes in domains]
    between = sum(share * s[0] for share, s in zip(shares, stats, strict=True))
    within = sum(share * s[1] for share, s in zip(shares, stats, strict=True))
    assert isinstance(between, Tensor)
    assert isinstance(within, Tensor)
    middle = torch.stack([s[2] for s in stats])
    d = len(between)
    apart = middle[1:] - middle[:1]
    keep = torch.eye(d) - torch.linalg.pinv(apart) @ apart if len(apart) else torch.eye(d)
    ridge = within + shrink * within.trace() / d * torch.eye(d)
    values, vectors = torch.linalg.eigh(ridge)
    whiten = vectors / values.sqrt()
    side = keep @ whiten
    _, best = torch.linalg.eigh(side.T @ between @ side)
    found = keep @ whiten @ best.flip(1)[:, :n]  # (d, n), best first
    total = ((found.T @ (between + within)) * found.T).sum(1).sqrt()
    return found / total, middle.mean(0)


def quantiser(projection: Tensor, mean: Tensor, pooled: Tensor) -> dict[str, Tensor]:
    """Offset and thresholds that make every level equally likely on `pooled` (N, d)."""
    offset = -(mean @ projection)
    placed = pooled @ projection + offset
    cuts = torch.arange(1, N_LEVELS) / N_LEVELS
    return {
        "projection": projection,
        "offset": offset,
        "thresholds": torch.quantile(placed, cuts, dim=0).T.contiguous(),
    }
