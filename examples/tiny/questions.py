"""The questions of the table: pictures never trained on, questions in wordings trained on and in wordings
kept back.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from names import KNOWN
from pictures import Source, caltech101, cifar10, easy_vqa, mnist, omniglot
from scene_questions import SCENE_FORMS, caption, scene_question
from scenes import draw, random_scene
from things import a, ask, by_name, closed, thing_question, wordings

Picture = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Asked:
    """One question about one picture; `told` is the picture in words, for the oracle control."""

    picture: Picture
    question: str
    answer: str
    told: str


def naming(
    source: Source, split: str, form: str = "name", lead: str = "a photo of ", limit: int | None = None
) -> list[Asked]:
    """'What is this?' of every picture; digits are told as 'the digit seven'."""
    rng = random.Random(f"naming {split}")
    out = []
    for picture, label in zip(source.pictures[:limit], source.labels[:limit], strict=True):
        told = f"the digit {label}." if form == "digit" else f"{lead}{a(label)}."
        out.append(Asked(picture, ask(form, rng, split), label, told))
    return out


def knowledge(sources: list[Source], split: str, per_word: int = 12, limit: int | None = None) -> list[Asked]:
    """What was only told in text: yes/no questions, each word asked of as many things with yes as with no.

    'What is it made of?' is asked evenly over the materials.
    """
    rng = random.Random(f"knowledge {split}")
    photos = [(p, label) for s in sources for p, label in zip(s.pictures, s.labels, strict=True)]
    facts = by_name()
    out: list[Asked] = []

    def put(picture: Picture, label: str, question: str, answer: str) -> None:
        out.append(Asked(picture, question, answer, f"a photo of {a(label)}."))

    words = [("can", "verb", verb, lambda t, w: w in t.can) for verb in closed("can")]
    words += [
        ("has", "part", part, lambda t, w: w in t.has)
        for part in ("wings", "wheels", "fur", "feathers", "an engine", "legs")
    ]
    words += [
        ("is_kind", "kind", k, lambda t, w: t.kind == w) for k in ("animal", "vehicle", "musical instrument")
    ]
    words += [("is_made_of", "material", m, lambda t, w: t.made_of == w) for m in ("metal", "wood", "flesh")]
    for form, slot, word, true in words:
        by_answer: dict[bool, list[tuple[Picture, str]]] = defaultdict(list)
        for picture, label in photos:
            by_answer[true(facts[label], word)].append((picture, label))
        n = min(per_word, len(by_answer[True]), len(by_answer[False]))
        for good in (True, False):
            for picture, label in rng.sample(by_answer[good], n):
                question = rng.choice(wordings()[form][split]).format(**{slot: word, "a_kind": a(word)})
                put(picture, label, question, "yes" if good else "no")
    by_material: dict[str, list[tuple[Picture, str]]] = defaultdict(list)
    for picture, label in photos:
        by_material[facts[label].made_of].append((picture, label))
    for material, those in sorted(by_material.items()):
        for picture, label in (
            rng.sample(those, min(4 * per_word, len(those))) if len(those) >= per_word else []
        ):
            qa = thing_question(facts[label], "made_of", rng, split)
            assert qa is not None
            put(picture, label, qa.question, material)
    rng.shuffle(out)
    return out[:limit]


def easy(source: Source, split: str, limit: int | None = None) -> list[Asked]:
    """easy-VQA's own questions, as they are ('train'), or the same asked in wordings kept back ('test')."""
    rng = random.Random(f"easy {split}")
    out = []
    for picture, label, row in zip(source.pictures, source.labels, source.info, strict=True):
        told = f"{a(label)}." if label else "a shape."
        for question, answer in zip(row["questions"], row["answers"], strict=True):
            worded = question if split == "train" else _reworded(question, rng)
            out.append(Asked(picture, worded, answer, told))
    rng.shuffle(out)
    return out[:limit]


def _reworded(question: str, rng: random.Random) -> str:
    """The same question in a wording kept for testing."""
    words = question.replace("?", "").split()
    shape = next((w for w in words if w in ("circle", "rectangle", "triangle")), "")
    colours = [w for w in words if w in ("black", "blue", "brown", "gray", "green", "red", "teal", "yellow")]
    colour = colours[0] if colours else ""
    negated = "not" in words or "no" in words
    if words[0] in ("is", "does"):
        field = "colour" if colour else "shape"
        value = colour or shape
        return ask(
            f"{'no' if negated else 'is'}_{field}", rng, "test", **{field: value, f"a_{field}": a(value)}
        )
    if "color" in words:
        return ask("colour_of_shape", rng, "test", shape=shape) if shape else ask("colour", rng, "test")
    return ask("shape_of_colour", rng, "test", colour=colour) if colour else ask("shape", rng, "test")


def scenes(n: int, split: str, *, pairs: str = "held-out", seed: str = "table") -> list[Asked]:
    """Drawn scenes with a colour and shape never seen together: counting, placing, relations."""
    rng = random.Random(f"scenes {seed} {split}")
    forms = [
        f
        for f in SCENE_FORMS
        if f.startswith(("count", "where", "is_left", "is_right", "is_above", "is_below"))
        or f.endswith("_of")
    ]
    forms = [f for f in forms if f not in ("shape_of_colour", "colour_of_shape", "size_of")]
    out: list[Asked] = []
    while len(out) < n:
        scene = random_scene(rng, pairs=pairs)
        form = rng.choice(forms)
        qa = scene_question(scene, form, rng, split)
        if qa is not None:
            out.append(Asked(np.asarray(draw(scene, rng)), qa.question, qa.answer, caption(scene)))
    return out


@dataclass(frozen=True)
class Episode:
    """Shots of new characters with their new names, and one more drawing of one of them."""

    shots: list[tuple[Picture, str]]
    query: Picture
    answer: str
    classes: list[str]


NEW_NAMES = (*KNOWN, "tulver", "goop", "lorp", "pimwit", "nuz", "vek", "sarn", "dree")


def episodes(
    source: Source, n: int, ways: int, shots: int, seed: int = 0, names: tuple[str, ...] = NEW_NAMES
) -> list[Episode]:
    """`n` episodes over the characters of `source`; the query is a drawing that is no shot."""
    rng = random.Random(f"episodes {ways} {shots} {seed}")
    by_class: dict[str, list[Picture]] = defaultdict(list)
    for picture, label in zip(source.pictures, source.labels, strict=True):
        by_class[label].append(picture)
    out = []
    for _ in range(n):
        classes = rng.sample(sorted(by_class), ways)
        called = rng.sample(names[:ways], ways)
        drawn = [
            rng.sample(by_class[c], shots + 1) if len(by_class[c]) > shots else by_class[c] for c in classes
        ]
        rows = [(drawn[w][s], called[w]) for s in range(shots) for w in rng.sample(range(ways), ways)]
        wanted = rng.randrange(ways)
        out.append(Episode(rows, drawn[wanted][-1], called[wanted], classes))
    return out


def held_out(data: Path, part: str, limit: int | None = None) -> dict[str, Source]:
    """The pictures of the table (part 'test') or of the choices made while building (part 'dev')."""
    return {
        "cifar10": cifar10(data, part, limit),
        "caltech101": caltech101(data, part, 160, limit),
        "mnist": mnist(data, part, limit),
        "easy_vqa": easy_vqa(data, part, limit),
        "omniglot": omniglot(data, "test" if part == "test" else "train", 105),
    }


def easy_captions(source: Source) -> list[str | None]:
    """The full caption of each easy-VQA picture, where its questions tell colour and shape."""
    from captions import easy_vqa_scenes

    return [caption(scene) if scene else None for scene in easy_vqa_scenes(source)]
