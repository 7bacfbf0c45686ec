"""The text the core reads, written by program: pictures told in words, questions, new names, facts, peers.

A document is a list of spans (text, weight); the weight is that span's share in the loss. Answers count
fully; what merely sets the scene, and what nobody could predict (the words of a look, the first mention of
an invented name), counts nothing. Spans break only where a token does, so that "Answer:" + " frog" in
training is the very sequence of tokens that a prompt and its answer make. A picture's place is taken by a
description in words or by the same words folded (`soft.py`), with the words of a look behind.
"""

from __future__ import annotations

import random

import soft
from episodes import Episodes
from scene_questions import NEEDS_PLACE, SCENE_FORMS, caption, description, scene_question, told
from scenes import NUMBERS, SHAPES, random_scene
from soft import Soft, doubtful
from spans import ANSWER, END, Doc, look_words
from things import (
    N_PICTURED,
    QA,
    Thing,
    a,
    closed,
    practise,
    thing_description,
    thing_question,
    things,
)

THING_WEIGHTS = {
    "name": 3.0,
    "is_name": 1.5,
    "kind": 0.8,
    "is_kind": 2.0,
    "can": 5.0,
    "has": 3.0,
    "legs": 0.6,
    "made_of": 2.0,
    "is_made_of": 1.5,
    "found": 0.6,
    "used_for": 0.3,
    "colour_of_thing": 0.4,
    "alive": 0.7,
    "either_name": 0.5,
    "either_kind": 0.4,
    "describe": 0.6,
}
DRILLS = (  # what a small core finds hard comes up oftener
    ("is_shape", "no_shape"),
    ("is_colour", "no_colour"),
    ("is_thing",),
    ("is_thing", "colour_of_shape"),
    ("count_shape",),
    ("count_shape",),
    ("count_shape", "count_all"),
    ("count_all", "where_thing"),
    ("count_colour",),
    ("count_colour",),
    ("count_thing", "count_shape"),
    ("count_thing", "count_colour"),
    ("is_left", "is_right"),
    ("left_of", "right_of", "is_left", "is_right"),
    ("is_above",),
    ("is_below",),
    ("is_above", "is_below"),
    ("where_thing", "is_above", "is_below"),
    ("above_of", "below_of"),
    ("above_of", "below_of", "is_above", "is_below"),
    ("is_name",),
    ("can",),
    ("can",),
    ("has",),
    ("is_kind", "is_made_of"),
)


def thing_caption(name: str) -> str:
    """What 'Caption:' is answered with for a photograph of the thing."""
    return f"a photo of {a(name)}."


class Pen(Episodes):
    """Writes documents; `hardness` in 0..1 is how far along the training is, below 0 there are only lists.

    `folded` is the share of pictures that are told in folded words.
    """

    def __init__(self, seed: str, hardness: float = 1.0, folded: float = 0.6) -> None:
        self.rng = random.Random(seed)
        self.hardness = hardness
        self.folded = folded

    def picture(self, words: str, clear: Soft, other: Soft | None = None) -> Doc:
        """The picture's place in the prompt: plain words, now and then with a look, or folded words with
        one.

        `other` is what a doubtful encoder could mistake it for.
        """
        rng = self.rng
        if rng.random() < self.folded:
            seen = doubtful(clear, other or clear, rng)
            return [("Picture:", 0.0), (seen, 0.0), (look_words(rng), 0.0), ("\n", 0.0)]
        look: Doc = [(look_words(rng), 0.0)] if rng.random() < 0.25 else []
        return [("Picture:", 0.0), (f" {words}", 0.0), *look, ("\n", 0.0)]

    def answer(self, qa: QA) -> Doc:
        """A question and its answer, sometimes with a peer's view or with choices."""
        rng = self.rng
        out: Doc = [("Question:", 0.0), (f" {qa.question}\n", 0.0)]
        chance = rng.random()
        if chance < 0.05:
            out += self._peers(qa)
        elif chance < 0.12:
            out.append((f"Choices: {', '.join(self._choices(qa))}\n", 0.0))
        return [*out, ("Answer:", 0.0), (f" {qa.answer}", ANSWER), ("\n", END)]

    def _said(self, lead: str, sentence: str) -> Doc:
        return [(lead, 0.0), (f" {sentence}", ANSWER), ("\n", END)]

    def _wrong(self, qa: QA) -> str:
        fields = {
            "name": "name",
            "kind": "kind",
            "made_of": "made_of",
            "found": "found",
            "legs": "legs",
            "either_name": "name",
        }
        pool: tuple[str, ...]
        if qa.answer in ("yes", "no"):
            return "no" if qa.answer == "yes" else "yes"
        if qa.form in fields:
            pool = closed(fields[qa.form])
        elif qa.answer in NUMBERS:
            pool = NUMBERS
        elif qa.form in ("shape", "shape_of_colour"):
            pool = SHAPES
        else:
            pool = closed("colours")
        return self.rng.choice([w for w in pool if w != qa.answer])

    def _choices(self, qa: QA) -> list[str]:
        choices = {qa.answer} | {self._wrong(qa) for _ in range(self.rng.randint(1, 3))}
        return self.rng.sample(sorted(choices), len(choices))

    def _peers(self, qa: QA) -> Doc:
        """What others answered: often right, sometimes not; the picture decides."""
        said = [
            qa.answer if self.rng.random() < 0.5 else self._wrong(qa) for _ in range(self.rng.randint(1, 2))
        ]
        return [(f"Another says: {word}\n", 0.0) for word in said]

    # -- one block about one picture ------------------------------------------------------------------

    def thing_block(self, thing: Thing | None = None) -> Doc:
        """A thing in words, then its caption, its name or questions about it."""
        rng = self.rng
        thing = thing or self._some_thing()
        other = soft.photo(self._some_thing().name)
        out = self.picture(thing_description(thing, rng), soft.photo(thing.name), other)
        chance = rng.random()
        if chance < 0.1:
            return out + self._said("Caption:", thing_caption(thing.name))
        if chance < 0.18:
            return out + self._said("This is", f"{a(thing.name)}.")
        n = rng.choices((1, 2, 4, 6), weights=(4, 3, 4, 4))[0]
        for form in rng.choices(list(THING_WEIGHTS), weights=list(THING_WEIGHTS.values()), k=n):
            if form == "describe":
                said = thing_caption(thing.name).removesuffix(".")
                qa: QA | None = QA("describe", practise("describe", rng), said)
            else:
                qa = thing_question(thing, form, rng, practice=True)
            if qa is not None:
                out += self.answer(qa)
        return out

    def drill(self) -> Doc:
        """One picture and many questions of the same one or two forms, in few words: how a small core comes
        to compare what is asked with what is there.
        """
        rng = self.rng
        forms = rng.choice(DRILLS)
        thing, scene = self._some_thing(), random_scene(rng, pairs="any", at_most=rng.randint(2, 4))
        while len(scene) < (3 if forms[0].startswith("count") else 2):
            scene = random_scene(rng, pairs="any")
        if forms[0] in THING_WEIGHTS:
            out = self.picture(thing_description(thing, rng), soft.photo(thing.name))
        else:
            out = self.picture(caption(scene), soft.scene(scene))
        asked: set[str] = set()
        wording = str(rng.randrange(4))
        for _ in range(rng.randint(6, 16)):
            form = rng.choice(forms)
            if form in THING_WEIGHTS:
                qa = thing_question(thing, form, rng, wording)
            else:
                qa = scene_question(scene, form, rng, wording)
            if qa is not None and qa.question not in asked:
                out += self.answer(qa)
                asked.add(qa.question)
        return out

    def _some_thing(self) -> Thing:
        every = things()
        return self.rng.choice(every[:N_PICTURED]) if self.rng.random() < 0.85 else self.rng.choice(every)

    def scene_block(self) -> Doc:
        """A scene in words, then its full caption or questions."""
        rng = self.rng
        scene = random_scene(rng, pairs="any")
        words = description(scene, rng) if rng.random() < 0.5 else caption(scene)
        out = self.picture(words, soft.scene(scene))
        full = isinstance(out[1][0], Soft) or told(scene, words)
        if full and rng.random() < 0.15:
            return out + self._said("Caption:", caption(scene))
        for _ in range(rng.choices((1, 3, 5, 7), weights=(3, 3, 4, 3))[0]):
            form = rng.choice((*SCENE_FORMS, "describe"))
            if form in NEEDS_PLACE and not full:
                continue
            qa = scene_question(scene, form, rng, practice=True)
            if qa is not None:
                out += self.answer(qa)
        return out

    def sign_block(self) -> Doc:
        """A digit, a character or an emoji in words, then a question or a caption."""
        rng = self.rng
        kind = rng.random()
        if kind < 0.55:
            return self._digit_block(rng.choice(NUMBERS[:10]))
        if kind < 0.8:
            out = self.picture("a handwritten character.", soft.character())
            if rng.random() < 0.4:
                return out + self._said(rng.choice(("Caption:", "This is")), "a handwritten character.")
            form = rng.choice(("character_kind", "name", "describe"))
            return out + self.answer(QA(form, practise(form, rng), "a handwritten character"))
        name = self._some_thing().name
        told_so = rng.choice((f"an emoji of {a(name)}.", f"the emoji {name}", f"an emoji: {name}"))
        out = self.picture(told_so, soft.emoji(name), soft.emoji(self._some_thing().name))
        if rng.random() < 0.4:
            return out + self._said("Caption:", f"an emoji of {a(name)}.")
        return out + self.answer(QA("emoji", practise(rng.choice(("emoji", "name")), rng), name))

    def _digit_block(self, digit: str) -> Doc:
        rng = self.rng
        leads = (
            "the digit",
            "a handwritten",
            "the number",
            "a photo of the digit",
            "a picture of the number",
        )
        other = rng.choice([n for n in NUMBERS[:10] if n != digit])
        words = f"{rng.choice(leads)} {digit}{rng.choice(('.', ''))}"
        out = self.picture(words, soft.digit(digit), soft.digit(other))
        form = rng.choice(("digit", "digit", "is_digit", "name", "caption"))
        if form == "caption":
            return out + self._said(rng.choice(("Caption:", "This is")), f"the digit {digit}.")
        if form == "is_digit":
            shown = digit if rng.random() < 0.5 else other
            question = practise("is_digit", rng, digit=shown)
            return out + self.answer(QA(form, question, "yes" if shown == digit else "no"))
        answer = digit if form == "digit" else f"the digit {digit}"
        return out + self.answer(QA(form, practise(form, rng), answer))

    # -- several blocks ------------------------------------------------------------------------------

    def blocks(self) -> Doc:
        """One to three pictures in a row, each with its own questions."""
        rng = self.rng
        n = rng.choices((1, 2, 3), weights=(7, 2, 1))[0]
        out: Doc = []
        for i in range(n):
            block = rng.choices((self.thing_block, self.scene_block, self.sign_block), weights=(10, 8, 2))[0]
            out += ([("\n", 0.0)] if i else []) + block()
        return out

    def facts(self) -> Doc:
        """Plain sentences about a thing, or questions about it by name, without a picture."""
        rng = self.rng
        thing = self._some_thing()
        n = a(thing.name)
        if rng.random() < 0.5:
            unable = [verb for verb in closed("can") if verb not in thing.can]
            lines = [
                f"{n} is {a(thing.kind)}.",
                f"{n} is found {thing.found}.",
                f"{n} is made of {thing.made_of}.",
                f"{n} can {_list(thing.can, rng)}." if thing.can else f"{n} can do nothing.",
                f"{n} has {_list(thing.has, rng)}." if thing.has else f"{n} has no parts.",
                f"{n} cannot {_list(rng.sample(unable, 4), rng, 'or')}.",
            ]
            rng.shuffle(lines)
            return [("".join(f" {line}" for line in lines[:4]).strip() + "\n", 0.3)]
        form = rng.choice(("can", "has", "is_kind", "made_of", "kind", "legs", "found"))
        qa = thing_question(thing, form, rng, practice=True)
        assert qa is not None
        question = f"about {n}: {qa.question}"
        return [(f"Question: {question}\n", 0.0), *self._said("Answer:", qa.answer)]

    def document(self) -> Doc:
        """One document of the mixture."""
        if self.hardness < 0:
            return self.glossary() if self.rng.random() < 0.9 else self.echo()
        kinds = (self.blocks, self.drill, self.episode, self.facts, self.echo, self.glossary)
        early = 1.0 - self.hardness
        weights = (52 - 22 * early, 32, 9 + 9 * early, 5 - 3 * early, 0.5 + 4 * early, 1.5 + 32 * early)
        return self.rng.choices(kinds, weights=weights)[0]()


def _list(words: tuple[str, ...] | list[str], rng: random.Random, join: str = "and") -> str:
    """'a, b and c', in any order."""
    some = rng.sample(list(words), len(words))
    return some[0] if len(some) == 1 else f"{', '.join(some[:-1])} {join} {some[-1]}"
