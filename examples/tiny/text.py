"""The text the core reads, written by program: pictures told in words, questions, new names, facts, peers.

A document is a list of spans (text, weight); the weight is that span's share in the loss. Answers count
fully, what merely sets the scene counts little, and what nobody could predict (the words of a look, the
first mention of an invented name) not at all. Spans break only where a token does, so that "Answer:" + "
frog" in training is the very sequence of tokens that a prompt and its answer make.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from names import invented_name
from scene_questions import NEEDS_PLACE, SCENE_FORMS, caption, description, scene_question, told
from scenes import NUMBERS, SHAPES, random_scene
from sight_words import Look, noise_profile
from things import QA, THING_FORMS, Thing, a, ask, by_name, closed, thing_question, things

Doc = list[tuple[str, float]]
SET_SCENE, ANSWER = 0.15, 1.0


def thing_caption(name: str) -> str:
    """What 'Caption:' is answered with for a photograph of the thing."""
    return f"a photo of {a(name)}."


def thing_description(thing: Thing, rng: random.Random) -> str:
    """A thing as text stands where its picture will."""
    n = a(thing.name)
    plain = (
        f"a photo of {n}.",
        f"a photo of {n}",
        f"a picture of {n}",
        n,
        f"{n}.",
        thing.name,
        f"this photo shows {n}",
        f"there is {n} in the picture",
        f"an image with {n} in it",
        f"I see {n}",
        f"{n} {thing.found}",
        f"{a(f'{thing.size} {thing.name}')}",
        f"{a(f'{rng.choice(thing.colours)} {thing.name}')}",
    )
    return rng.choice(plain)


def noise_words(rng: random.Random, share: float) -> str:
    """Now and then the words of some look behind a description, as a real picture will have them."""
    return Look(rng, noise_profile(rng, 0.5)).example(rng) if rng.random() < share else ""


class Pen:
    """Writes documents; `hardness` in 0..1 is how far along the training is, below 0 there are only lists."""

    def __init__(self, seed: str, hardness: float = 1.0) -> None:
        self.rng = random.Random(seed)
        self.hardness = hardness

    def picture(self, words: str, looks: float = 0.35) -> Doc:
        """The picture's place in the prompt, told in words, with or without the words of a look."""
        seen = noise_words(self.rng, looks)
        return [("Picture:", 0.0), (f" {words}", SET_SCENE), *([(seen, 0.0)] if seen else []), ("\n", 0.0)]

    def answer(self, qa: QA, weight: float = ANSWER) -> Doc:
        """A question and its answer, sometimes with a peer's view or with choices."""
        rng = self.rng
        out: Doc = [("Question:", 0.0), (f" {qa.question}", SET_SCENE / 3), ("\n", 0.0)]
        chance = rng.random()
        if chance < 0.05:
            out += self._peers(qa)
        elif chance < 0.13:
            out.append((f"Choices: {', '.join(self._choices(qa))}\n", 0.0))
        return [*out, ("Answer:", 0.0), (f" {qa.answer}", weight), ("\n", weight)]

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
        out = self.picture(thing_description(thing, rng))
        chance = rng.random()
        if chance < 0.15:
            return [*out, ("Caption:", 0.0), (f" {thing_caption(thing.name)}", ANSWER), ("\n", ANSWER)]
        if chance < 0.3:
            return [*out, ("This is", 0.0), (f" {a(thing.name)}.", ANSWER), ("\n", ANSWER)]
        for _ in range(rng.choices((1, 2, 3, 5), weights=(6, 3, 2, 1))[0]):
            form = rng.choice(
                (*THING_FORMS, "name", "is_name", "can", "can", "has", "is_kind", "made_of", "describe")
            )
            if form == "describe":
                qa: QA | None = QA(
                    "describe", ask("describe", rng), thing_caption(thing.name).removesuffix(".")
                )
            else:
                qa = thing_question(thing, form, rng)
            if qa is not None:
                out += self.answer(qa)
        return out

    def _some_thing(self) -> Thing:
        every = things()
        # The first 110 rows are things that pictures exist of: they come up twice as often.
        return self.rng.choice(every[:110]) if self.rng.random() < 0.5 else self.rng.choice(every)

    def scene_block(self) -> Doc:
        """A scene in words, then its full caption or questions."""
        rng = self.rng
        scene = random_scene(rng, pairs="any")
        words = description(scene, rng) if rng.random() < 0.7 else caption(scene)
        full = told(scene, words)
        out = self.picture(words)
        if full and rng.random() < 0.2:
            return [*out, ("Caption:", 0.0), (f" {caption(scene)}", ANSWER), ("\n", ANSWER)]
        for _ in range(rng.choices((1, 2, 3, 4), weights=(3, 3, 2, 2))[0]):
            form = rng.choice((*SCENE_FORMS, "describe"))
            if form in NEEDS_PLACE and not full:
                continue
            qa = scene_question(scene, form, rng)
            if qa is not None:
                out += self.answer(qa)
        return out

    def sign_block(self) -> Doc:
        """A digit, a character or an emoji in words, then questions."""
        rng = self.rng
        kind = rng.random()
        if kind < 0.55:
            digit = rng.choice(NUMBERS[:10])
            lead = rng.choice(
                (
                    "the digit",
                    "a handwritten",
                    "the number",
                    "a photo of the digit",
                    "a picture of the number",
                )
            )
            out = self.picture(f"{lead} {digit}{rng.choice(('.', ''))}")
            other = digit if rng.random() < 0.5 else rng.choice([n for n in NUMBERS[:10] if n != digit])
            return (
                out
                + rng.choice(
                    (
                        lambda: self.answer(QA("digit", ask("digit", rng), digit)),
                        lambda: self.answer(
                            QA(
                                "is_digit",
                                ask("is_digit", rng, digit=other),
                                "yes" if other == digit else "no",
                            )
                        ),
                        lambda: self.answer(QA("digit", ask("name", rng), f"the digit {digit}")),
                        lambda: [("Caption:", 0.0), (f" the digit {digit}.", ANSWER), ("\n", ANSWER)],
                        lambda: [("This is", 0.0), (f" the digit {digit}.", ANSWER), ("\n", ANSWER)],
                    )
                )()
            )
        if kind < 0.8:
            out = self.picture("a handwritten character.", 1.0)
            form = rng.choice(("character_kind", "name", "describe"))
            if rng.random() < 0.4:
                return [*out, ("Caption:", 0.0), (" a handwritten character.", ANSWER), ("\n", ANSWER)]
            return out + self.answer(QA(form, ask(form, rng), "a handwritten character"))
        name = rng.choice(things()).name
        out = self.picture(rng.choice((f"an emoji of {a(name)}.", f"the emoji {name}", f"an emoji: {name}")))
        if rng.random() < 0.4:
            return [*out, ("Caption:", 0.0), (f" an emoji of {a(name)}.", ANSWER), ("\n", ANSWER)]
        return out + self.answer(QA("emoji", ask(rng.choice(("emoji", "name")), rng), name))

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

    def episode(self) -> Doc:
        """New names for looks or described things, a few shots of each, then more of the same, unnamed.

        From the second mention on, every name is an answer: it can be known from the shots before it.
        """
        rng = self.rng
        easy = rng.random() > self.hardness
        ways = rng.choices((2, 3, 4, 5), weights=(6, 2, 1, 1))[0]
        shots = rng.choices((1, 2, 3, 5), weights=(3, 2, 2, 3))[0]
        if easy:
            ways, shots = rng.choice((2, 2, 3)), rng.choice((1, 2))
        total = min(10, ways * shots)
        names = self._names(ways)
        profile = noise_profile(rng, 0.65 * self.hardness * (0.3 if easy else 1.0))
        look = rng.choices(("words", "look", "both", "same"), weights=(2, 6, 1, 4))[0]
        described = self._descriptions(ways)
        same = rng.choice(
            ("a handwritten character.", "a handwritten character.", "a picture", "a drawing of something")
        )
        looks = [Look(rng, profile) for _ in range(ways)]
        naming, question = rng.random() < 0.4, ask("name", rng)
        order = [i % ways for i in range(total)]
        rng.shuffle(order)
        order += [rng.randrange(ways) for _ in range(rng.randint(1, 4) if total < 7 else 1)]
        out: Doc = []
        met: set[int] = set()
        for i, way in enumerate(order):
            words = (
                f" {described[way]()}" if look in ("words", "both") else f" {same}" if look == "same" else ""
            )
            codes = looks[way].example(rng) if look != "words" else ""
            lead = "This is a" if naming else "Question:"
            name = (f" {names[way]}.", "\n") if naming else (f" {names[way]}", "\n")
            middle: Doc = [] if naming else [(f" {question}\n", 0.0), ("Answer:", 0.0)]
            weight = ANSWER if way in met and len(met) > 1 else 0.0
            out += [
                ("\n" if i else "", 0.0),
                ("Picture:", 0.0),
                (words, 0.0),
                (codes, 0.0),
                ("\n", 0.0),
                (lead, 0.0),
                *middle,
            ]
            out += [(name[0], weight), (name[1], 0.3 * weight)]
            met.add(way)
        return [span for span in out if span[0]]

    def echo(self) -> Doc:
        """Words without sense, said twice: the plainest copying, from which comparing grows."""
        rng = self.rng
        words = [
            rng.choice((invented_name(rng), rng.choice(things()).name)) for _ in range(rng.randint(4, 10))
        ]
        text = " " + ", ".join(words)
        if rng.random() < 0.5:
            text = noise_words(rng, 1.0) + text
        return [(f"{text}\n", 0.0), (text, ANSWER), ("\n", ANSWER)]

    def glossary(self) -> Doc:
        """Keys and their new names, listed over and over; a key is a word, words of a look, or a description.

        With one-word keys this is the plainest associative recall; longer keys and wider gaps lead on to
        episodes.
        """
        rng = self.rng
        ways = rng.choice((2, 3, 4))
        names = self._names(ways)
        kind, gap = rng.random(), rng.choice((" ", ": ", " is ", "\nThis is a ", "\nAnswer: ")).rstrip(" ")
        kind = kind * 0.6 if self.hardness < 0 else kind
        if kind < 0.35:
            keys = [" " + thing.name for thing in rng.sample(things(), ways)]
        elif kind < 0.85:
            size, start = (
                rng.choice((1, 2) if self.hardness < 0 else (1, 2, 4, 8, 16)),
                rng.choice((0, 0, 4, 8)),
            )
            clean = noise_profile(rng, 0.0)
            whole = [Look(rng, clean).example(rng).split(">")[:-1] for _ in range(ways)]
            keys = ["".join(word + ">" for word in words[start : start + size]) for words in whole]
        else:
            keys = [f" {describe()}" for describe in self._descriptions(ways)]
        out: Doc = []
        met: set[int] = set()
        order = [*rng.sample(range(ways), ways), *(rng.randrange(ways) for _ in range(rng.randint(4, 10)))]
        for way in order:
            out += [(keys[way] + gap, 0.0), (f" {names[way]}", ANSWER if way in met else 0.0), ("\n", 0.0)]
            met.add(way)
        return out

    def _names(self, ways: int) -> list[str]:
        rng = self.rng
        if rng.random() < 0.2:
            return rng.sample([t.name for t in things()], ways)
        names: set[str] = set()
        while len(names) < ways:
            names.add(invented_name(rng))
        return rng.sample(sorted(names), ways)

    def _descriptions(self, ways: int) -> list[Callable[[], str]]:
        rng = self.rng
        if rng.random() < 0.6:
            chosen = rng.sample(things(), ways)
            return [lambda t=t: thing_description(t, rng) for t in chosen]  # type: ignore[misc]
        scenes = [random_scene(rng, pairs="any", at_most=1) for _ in range(ways)]
        return [lambda s=s: description(s, rng) for s in scenes]  # type: ignore[misc]

    def facts(self) -> Doc:
        """Plain sentences about a thing, or questions about it by name, without a picture."""
        rng = self.rng
        thing = self._some_thing()
        n = a(thing.name)
        if rng.random() < 0.4:
            lines = [
                f"{n} is {a(thing.kind)}.",
                f"{n} is found {thing.found}.",
                f"{n} is made of {thing.made_of}.",
                thing.says,
            ]
            lines += [f"{n} can {verb}." for verb in thing.can[:4]] + [
                f"{n} has {part}." for part in thing.has[:4]
            ]
            lines += [f"{n} cannot {rng.choice([v for v in closed('can') if v not in thing.can])}."]
            rng.shuffle(lines)
            return [(" ".join(line[0].upper() + line[1:] for line in lines[:5]) + "\n", 0.4)]
        form = rng.choice(("can", "has", "is_kind", "made_of", "kind", "legs", "found"))
        qa = thing_question(thing, form, rng)
        assert qa is not None
        question = f"about {n}: {qa.question}"
        return [
            (f"Question: {question}\n", 0.05),
            ("Answer:", 0.0),
            (f" {qa.answer}", ANSWER),
            ("\n", ANSWER),
        ]

    def document(self) -> Doc:
        """One document of the mixture."""
        if self.hardness < 0:
            return self.glossary() if self.rng.random() < 0.9 else self.echo()
        kinds = (self.blocks, self.episode, self.facts, self.echo, self.glossary)
        early = 1.0 - self.hardness
        weights = (52 - 22 * early, 33 + 5 * early, 10 - 5 * early, 2 + 4 * early, 3 + 32 * early)
        doc = self.rng.choices(kinds, weights=weights)[0]()
        if self.rng.random() < 0.8:  # in most documents only answers count: the same learning for less work
            doc = [(span, weight if weight > SET_SCENE else 0.0) for span, weight in doc]
        return doc


def known_names() -> tuple[str, ...]:
    """Every thing that has facts."""
    return tuple(by_name())
