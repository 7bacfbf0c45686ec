"""Documents that bind: new names for looks or described things, from plain copying to few-shot episodes."""

from __future__ import annotations

import random
from collections.abc import Callable

import soft
from names import invented_name
from scene_questions import description
from scenes import random_scene
from sight_words import Look, noise_profile
from soft import Soft
from spans import ANSWER, Doc, look_words
from things import practise, thing_description, things


class Episodes:
    """The part of the pen that writes them."""

    rng: random.Random
    hardness: float

    def episode(self) -> Doc:
        """New names for looks or described things, a few shots of each, then more of the same, unnamed.

        From the second mention on, every name is an answer: it can be known from the shots before it.
        """
        rng = self.rng
        easy = rng.random() > self.hardness
        ways = rng.choices((2, 3, 4, 5), weights=(6, 2, 1, 1))[0]
        shots = rng.choices((1, 2, 3, 5), weights=(3, 2, 2, 4))[0]
        if easy:
            ways, shots = rng.choice((2, 2, 3)), rng.choice((1, 2))
        total = min(10, ways * shots)
        names = self._names(ways)
        profile = noise_profile(rng, 0.65 * self.hardness * (0.3 if easy else 1.0))
        look = rng.choices(("words", "look", "both", "same", "folded"), weights=(2, 2, 1, 2, 9))[0]
        described = self._descriptions(ways)
        same = rng.choice(
            ("a handwritten character.", "a handwritten character.", "a picture", "a drawing of something")
        )
        looks = [Look(rng, profile) for _ in range(ways)]
        kept = rng.choice(things()).name  # all shots may look like one known thing
        one = rng.choice((soft.character, soft.character, lambda: soft.photo(kept)))()
        naming, question = rng.random() < 0.3, practise("name", rng)
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
            place: Doc = [(words, 0.0)] if words else []
            if look == "folded":
                place = [(Soft(one.bags, rng.uniform(0, 0.5)), 0.0)]
            out += [("\n", 0.0)] if i else []
            out += [("Picture:", 0.0), *place, *([(codes, 0.0)] if codes else []), ("\n", 0.0), (lead, 0.0)]
            out += [*middle, (name[0], weight), (name[1], 0.3 * weight)]
            met.add(way)
        return out

    def echo(self) -> Doc:
        """Words without sense, said twice: the plainest copying, from which comparing grows."""
        rng = self.rng
        words = [
            rng.choice((invented_name(rng), rng.choice(things()).name)) for _ in range(rng.randint(4, 10))
        ]
        text = " " + ", ".join(words)
        if rng.random() < 0.5:
            text = look_words(rng) + text
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
