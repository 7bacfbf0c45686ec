"""New characters made of two real ones: thousands of them, every stroke drawn by a real hand.

Real alphabets are few, and an encoder that has met few characters tells only those apart. Character number w
of this kind is two real characters, each turned or mirrored, shrunk and set in its own corner; each drawing
of it takes other people's drawings of the two.
"""

from __future__ import annotations

import random

import numpy as np
import torch
from augment import compose, symmetries, to_tensor
from pictures import Source
from torch import Tensor

N_COMPOSED = 3000  # those that the encoder is trained on; higher numbers are never drawn in training


class Composer:
    """Draws composed characters from the drawings in `letters`."""

    def __init__(self, letters: Source) -> None:
        self.pictures = letters.pictures
        names = letters.names()
        labels = np.array([names.index(label) for label in letters.labels])
        self.drawings = [np.flatnonzero(labels == c).tolist() for c in range(len(names))]

    def draw(self, which: list[int], rng: random.Random) -> Tensor:
        """(B, 3, S, S) in -1..1: one new drawing of each numbered character."""
        halves, places = [], []
        for half in range(2):
            made = [random.Random(f"composed {half} {w}") for w in which]
            chars = [m.randrange(len(self.drawings)) for m in made]
            turns = torch.tensor([m.randrange(8) for m in made])
            bounds = ((0.5, 0.95), (-0.4, 0.4), (-0.4, 0.4))
            places.append(torch.tensor([[m.uniform(*b) for b in bounds] for m in made]))
            at = [rng.choice(self.drawings[c]) for c in chars]
            halves.append(symmetries(to_tensor(self.pictures[at]), turns))
        return compose(halves, places)
