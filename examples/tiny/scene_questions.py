"""Sentences and questions about a scene, each with the one answer that is true of it."""

from __future__ import annotations

import random

from scenes import COLOURS, NUMBERS, SHAPES, Item, Scene
from things import QA, a, ask, practise

AXES = {"left": ("x", -1), "right": ("x", 1), "above": ("y", -1), "below": ("y", 1)}


def plural(word: str) -> str:
    """'crosses' of 'cross', 'circles' of 'circle'."""
    return word + ("es" if word.endswith(("s", "x")) else "s")


def _at(place: str) -> str:
    return "in the middle" if place == "middle" else f"at the {place}"


def caption(scene: Scene) -> str:
    """The full caption: every shape from left to right with size, colour and place."""
    said = [f"{a(item.size)} {item.name} {_at(item.place)}" for item in sorted(scene, key=lambda i: i.x)]
    return (said[0] if len(said) == 1 else ", ".join(said[:-1]) + " and " + said[-1]) + "."


def description(scene: Scene, rng: random.Random) -> str:
    """The same in other words and any order, as text stands where a picture will."""
    items = list(scene)
    rng.shuffle(items)
    said = []
    size, place = rng.random() < 0.85, rng.random() < 0.85
    for item in items:
        words = f"{item.size} {item.name}" if size else item.name
        where = rng.choice((_at(item.place), f"on the {item.place}", f"({item.place})")) if place else ""
        said.append(f"{a(words)} {where}".strip())
    body = rng.choice((", ", " and ", "; ")).join(said)
    lead = rng.choice(("", "", "a picture of ", "the image shows ", "there is ", "I see "))
    return lead + body + rng.choice((".", "", "."))


def unique(scene: Scene) -> list[Item]:
    """Items whose colour and shape no other item shares."""
    return [i for i in scene if sum(i.name == o.name for o in scene) == 1]


def told(scene: Scene, text: str) -> bool:
    """Whether the description names sizes and places too."""
    return all(item.place in text and item.size in text for item in scene)


def _beside(item: Item, scene: Scene, side: str) -> Item | None:
    """The only item clearly on that side of `item`, None if there is none or more than one."""
    axis, sign = AXES[side]
    there = [o for o in scene if o is not item and sign * (getattr(o, axis) - getattr(item, axis)) > 0]
    clear = [o for o in there if sign * (getattr(o, axis) - getattr(item, axis)) > 0.2]
    return clear[0] if len(there) == 1 and len(clear) == 1 else None


def scene_question(
    scene: Scene, form: str, rng: random.Random, split: str = "train", practice: bool = False
) -> QA | None:
    """A question of the form about the scene, None where it has no single clear answer.

    `practice`: in the many words of `practise`, for training.
    """
    one = scene[0] if len(scene) == 1 else None
    alone = unique(scene)
    words: dict[str, str] = {}
    if form in ("shape", "colour"):
        if one is None:
            return None
        answer = getattr(one, form)
    elif form in ("colour_of_shape", "shape_of_colour"):
        asked, wanted = ("shape", "colour") if form == "colour_of_shape" else ("colour", "shape")
        fits = [i for i in scene if sum(getattr(o, asked) == getattr(i, asked) for o in scene) == 1]
        if not fits:
            return None
        item = rng.choice(fits)
        words, answer = {asked: getattr(item, asked)}, getattr(item, wanted)
    elif form in ("is_shape", "no_shape", "is_colour", "no_colour"):
        field, every = ("shape", SHAPES) if form.endswith("shape") else ("colour", tuple(COLOURS))
        present = [getattr(i, field) for i in scene]
        word = (
            rng.choice(present) if rng.random() < 0.5 else rng.choice([w for w in every if w not in present])
        )
        words = {field: word, f"a_{field}": a(word)}
        answer = "yes" if (word in present) == form.startswith("is") else "no"
    elif form == "is_thing":
        names = {i.name for i in scene}
        mixed = [f"{i.colour} {o.shape}" for i in scene for o in scene] + [
            f"{rng.choice(list(COLOURS))} {scene[0].shape}"
        ]
        wrong = [m for m in mixed if m not in names] or [f"{rng.choice(list(COLOURS))} {rng.choice(SHAPES)}"]
        name = rng.choice(sorted(names)) if rng.random() < 0.5 else rng.choice(wrong)
        words, answer = {"thing": name, "a_thing": a(name)}, "yes" if name in names else "no"
    elif form.startswith("count"):
        word, count = _count(scene, form, rng)
        words, answer = word, NUMBERS[count]
    elif form == "where_thing":
        if not alone:
            return None
        item = rng.choice(alone)
        words, answer = {"thing": item.name}, item.place
    elif form.startswith("is_"):
        axis, sign = AXES[form[3:]]
        pairs = [
            (i, o)
            for i in alone
            for o in alone
            if i is not o and abs(getattr(i, axis) - getattr(o, axis)) > 0.2
        ]
        if not pairs:
            return None
        item, other = rng.choice(pairs)
        words = {"thing": item.name, "other": other.name}
        answer = "yes" if sign * (getattr(item, axis) - getattr(other, axis)) > 0 else "no"
    elif form.endswith("_of") and form != "size_of":
        fits = [(i, o) for i in alone if (o := _beside(i, scene, form.removesuffix("_of"))) is not None]
        if not fits:
            return None
        item, beside = rng.choice(fits)
        words, answer = {"thing": item.name}, a(beside.name)
    elif form == "size_of":
        if not alone:
            return None
        item = rng.choice(alone)
        words, answer = {"thing": item.name}, item.size
    elif form == "bigger":
        if len(scene) != 2 or len(alone) != 2 or scene[0].size == scene[1].size:
            return None
        answer = "the " + max(scene, key=lambda i: i.r).name
    elif form == "describe":
        answer = caption(scene).removesuffix(".")
    else:
        raise KeyError(form)
    question = (
        practise(form, rng, **words) if split == "train" and practice else ask(form, rng, split, **words)
    )
    return QA(form, question, answer)


def _count(scene: Scene, form: str, rng: random.Random) -> tuple[dict[str, str], int]:
    if form == "count_all":
        return {}, len(scene)
    item = rng.choice(scene)
    colour, shape = item.colour, item.shape
    if rng.random() < 0.15:
        colour, shape = rng.choice(list(COLOURS)), rng.choice(SHAPES)
    if form == "count_shape":
        return {"shapes": plural(shape)}, sum(i.shape == shape for i in scene)
    if form == "count_colour":
        return {"colour": colour}, sum(i.colour == colour for i in scene)
    return {"things": plural(f"{colour} {shape}")}, sum(i.name == f"{colour} {shape}" for i in scene)


SCENE_FORMS = (
    "shape",
    "colour",
    "colour_of_shape",
    "shape_of_colour",
    "is_shape",
    "is_colour",
    "no_shape",
    "no_colour",
    "is_thing",
    "count_all",
    "count_shape",
    "count_colour",
    "count_thing",
    "where_thing",
    "is_left",
    "is_right",
    "is_above",
    "is_below",
    "left_of",
    "right_of",
    "above_of",
    "below_of",
    "size_of",
    "bigger",
)
NEEDS_PLACE = frozenset(
    {
        "where_thing",
        "is_left",
        "is_right",
        "is_above",
        "is_below",
        "left_of",
        "right_of",
        "above_of",
        "below_of",
        "size_of",
        "bigger",
        "describe",
    }
)
