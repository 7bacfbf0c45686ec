"""What the encoder is trained on: a batch of pictures of every source, with the words of their captions."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    resize,
    symmetries,
    to_tensor,
)
from pictures import Source, caltech101, cifar10, easy_vqa, mnist, omniglot, twemoji
from scenes import COLOURS, COLUMNS, ROWS, SHAPES, Scene, draw, random_scene
from strokes import FIRST_UNSEEN, Strokes
from torch import Tensor

PLACES = tuple("middle" if r == c == "middle" else f"{r} {c}" for r in ROWS for c in COLUMNS)
MIX = {
    "cifar10": 70,
    "caltech101": 34,
    "omniglot": 12,
    "twins": 48,
    "mnist": 3,
    "easy_vqa": 3,
    "scene": 13,
    "twemoji": 2,
}


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


@dataclass
class Mixture:
    """Draws one training batch: pictures of every source at the asked size, with their targets."""

    data: dict[str, Source]
    views: dict[str, np.ndarray]  # type: ignore[type-arg]
    seed: int

    def __post_init__(self) -> None:
        self.index = {k: {w: i for i, w in enumerate(s.names())} for k, s in self.data.items()}
        self.targets = {k: np.array([self.index[k][w] for w in s.labels]) for k, s in self.data.items()}
        self.strokes = Strokes(self.data["omniglot"])
        letters = self.data["omniglot"]
        self.drawings: dict[str, dict[str, list[int]]] = {}  # alphabet -> character -> rows
        for row, (name, info) in enumerate(zip(letters.labels, letters.info, strict=True)):
            self.drawings.setdefault(info["alphabet"], {}).setdefault(name, []).append(row)
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
            parts[kind] = (slice(start, start + len(x)), target)
            start += len(x)
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

    def _twins(self, n: int, side: int, np_rng: Any, rng: Any, gen: Any) -> Any:
        """Two drawings, by two people, of each of n // 2 new characters: near misses made of real strokes,
        and for a third real characters of one alphabet, all under one symmetry of the square. Rows: first
        drawings, then second ones.
        """
        real = max(1, n // 6)
        made = max(1, n // 2 - real)
        alphabet = self.drawings[rng.choice(sorted(self.drawings))]
        names = rng.sample(sorted(alphabet), min(real, len(alphabet)))
        rows = np.array([rng.sample(alphabet[name], 2) for name in names]).T.reshape(-1)
        which = torch.full((len(rows),), rng.randrange(8))
        letters = symmetries(to_tensor(self.data["omniglot"].pictures[rows]), which).chunk(2)
        bases = [rng.randrange(FIRST_UNSEEN // 2) for _ in range((made + 1) // 2)]
        new = [self.strokes.character(2 * b + odd) for b in bases for odd in (0, 1)][:made]
        pictures = [
            to_tensor(np.stack([np.asarray(self.strokes.draw(c, rng)) for c in new])) for _ in range(2)
        ]
        x = torch.cat([letters[0], pictures[0], letters[1], pictures[1]])
        return invert_some(affine(x, side, gen, **DRAWING), gen, 0.1), {"twins": torch.tensor(len(x) // 2)}  # type: ignore[arg-type]

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
