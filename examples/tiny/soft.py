"""Pictures as the core meets them in text: a few positions, each the sum of the words that are true there.

A prefix hands the core vectors, not tokens, and a small core that has only ever read tokens makes little of
vectors between them. So in training a description in words is now and then folded: the words for the whole
picture share one position, the words for each cell of a 3 x 3 grid share another, and a position's
embedding is the normalised sum of its words' embeddings. That is text still, the core's own words at fewer
places. The adapter is started from the same positions (`train_prefix.warm_start`), so that what the core has
read about folded text holds for pictures too. (Position-wise sums: Mikolov et al. 2013; soft words as model
input: Qin and Eisner 2021.)
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from scenes import COLUMNS, ROWS, Scene

N_SOFT = 1 + len(ROWS) * len(COLUMNS)
PLACES = tuple("middle" if r == c == "middle" else f"{r} {c}" for r in ROWS for c in COLUMNS)
EMPTY = {" nothing": 1.0}
Bag = dict[str, float]  # words with a blank before them, and their shares


@dataclass(frozen=True)
class Soft:
    """`N_SOFT` positions, the whole first, then the cells row by row; `noise` is its length relative to the
    words'.
    """

    bags: tuple[Bag, ...]
    noise: float = 0.0


def bag(phrase: str) -> Bag:
    """Every word once: 'red circle' to {' red': 1, ' circle': 1}."""
    return {f" {word}": 1.0 for word in phrase.split()}


def whole(phrase: str, cells: tuple[Bag, ...] = (EMPTY,) * (N_SOFT - 1), noise: float = 0.0) -> Soft:
    """A picture with something to say of it as a whole."""
    return Soft((bag(phrase), *cells), noise)


def photo(name: str) -> Soft:
    """A photograph of one thing; the name stays one phrase, so that its pieces are those of the answer."""
    return Soft(({" photo": 1.0, f" {name}": 1.0}, *(EMPTY,) * (N_SOFT - 1)))


def emoji(name: str) -> Soft:
    """An emoji with its Unicode name."""
    return Soft(({" emoji": 1.0, f" {name}": 1.0}, *(EMPTY,) * (N_SOFT - 1)))


def digit(word: str) -> Soft:
    """A handwritten digit."""
    return whole(f"digit {word}")


def character() -> Soft:
    """A handwritten character that has no name yet."""
    return whole("handwritten character")


def scene(items: Scene) -> Soft:
    """Shapes: each fills the cell its centre lies in; two in one cell share it."""
    return written("scene", scene_line(items))


def doubtful(clear: Soft, other: Soft, rng: random.Random) -> Soft:
    """As an encoder sees it, not quite sure: some noise, and often a little of another picture's whole."""
    noise = rng.uniform(0.0, 0.8)
    if rng.random() < 0.5:
        return Soft(clear.bags, noise)
    share = rng.uniform(0.05, 0.42)
    mixed = {word: (1 - share) * x for word, x in clear.bags[0].items()}
    for word, x in other.bags[0].items():
        mixed[word] = mixed.get(word, 0.0) + share * x
    return Soft((mixed, *clear.bags[1:]), noise)


def written(kind: str, of: str = "") -> Soft:
    """The picture that a line such as 'photo|frog' or 'scene|small red circle top left/...' stands for."""
    if kind == "scene":
        cells: list[Bag] = [{} for _ in PLACES]
        for item in of.split("/"):
            size, colour, shape, place = item.split(" ", 3)
            cell = cells[PLACES.index(place)]
            for word in (size, colour, shape, *place.split()):
                cell[f" {word}"] = cell.get(f" {word}", 0.0) + 1.0
        return Soft((bag("shapes"), *(cell or EMPTY for cell in cells)))
    return {"photo": photo, "emoji": emoji, "digit": digit}[kind](of) if of else character()


def scene_line(items: Scene) -> str:
    """The line that `written` reads as this scene."""
    return "/".join(f"{i.size} {i.colour} {i.shape} {i.place}" for i in items)
