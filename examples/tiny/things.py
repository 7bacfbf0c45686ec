"""What the text says of everyday things, read from `things.tsv`, and the wordings of questions, from
`wordings.toml`.
"""

from __future__ import annotations

import csv
import random
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
NO_ARTICLE = frozenset(
    (
        "binoculars headphones scissors bread cheese broccoli fire milk rice corn garlic butter honey "
        "popcorn money trousers glasses shorts socks jeans gloves pants spaghetti chocolate rain snow water "
        "Buddha Garfield Snoopy pajamas sunglasses"
    ).split()
) | {"ice cream"}
WITH_THE = frozenset({"sun", "moon"})
EXTINCT = frozenset({"brontosaurus", "stegosaurus", "trilobite"})


def a(phrase: str) -> str:
    """The phrase with its article: 'a cat', 'an ant', 'the sun', 'scissors'."""
    if phrase in NO_ARTICLE:
        return phrase
    if phrase in WITH_THE:
        return f"the {phrase}"
    vowel = phrase[0].lower() in "aeio" or phrase.startswith(("um", "un", "ug", "hour"))
    return f"an {phrase}" if vowel and not phrase.startswith(("ewe", "eu", "one")) else f"a {phrase}"


@dataclass(frozen=True)
class Thing:
    """One row of facts. What a closed list does not name is false of it."""

    name: str
    kind: str
    can: tuple[str, ...]
    has: tuple[str, ...]
    legs: str
    made_of: str
    found: str
    used_for: str
    colours: tuple[str, ...]
    size: str
    says: str

    @property
    def alive(self) -> bool | None:
        """None where it would be a matter of taste (foods, body parts, extinct animals)."""
        if self.kind in ("animal", "plant"):
            return None if self.name in EXTINCT else True
        return None if self.kind in ("food", "body part", "nature", "character") else False


def _many(cell: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in cell.split(";") if part.strip() not in ("", "-"))


@cache
def things() -> tuple[Thing, ...]:
    """Every row of things.tsv."""
    with (HERE / "things.tsv").open(encoding="utf8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    many = ("can", "has", "colours")
    return tuple(Thing(**{k: _many(v) if k in many else v for k, v in row.items()}) for row in rows)


@cache
def by_name() -> dict[str, Thing]:
    """Things by their name."""
    return {t.name: t for t in things()}


@cache
def closed(field: str) -> tuple[str, ...]:
    """Every value that the column takes."""
    out: set[str] = set()
    for thing in things():
        value = getattr(thing, field)
        out |= set(value) if isinstance(value, tuple) else {value}
    return tuple(sorted(out - {"-"}))


@cache
def wordings() -> dict[str, dict[str, list[str]]]:
    """form -> {'train': [...], 'test': [...]}; the test wordings never stand in any training text."""
    with (HERE / "wordings.toml").open("rb") as file:
        return tomllib.load(file)


def ask(form: str, rng: random.Random, split: str = "train", **words: str) -> str:
    """One wording of the question, its placeholders filled."""
    return rng.choice(wordings()[form][split]).format(**words)


@dataclass(frozen=True)
class QA:
    """A question with its one right answer; `form` names the kind of question."""

    form: str
    question: str
    answer: str


def _yes_no(rng: random.Random, yes: tuple[str, ...], every: tuple[str, ...]) -> tuple[str, str]:
    """A word from the list answered 'yes' or one from outside it answered 'no', evenly where both exist."""
    no = [w for w in every if w not in yes]
    if yes and (not no or rng.random() < 0.5):
        return rng.choice(yes), "yes"
    return rng.choice(no), "no"


def thing_question(thing: Thing, form: str, rng: random.Random, split: str = "train") -> QA | None:
    """A question of the form about the thing, None where it makes no sense of it."""
    words: dict[str, str] = {}
    if form == "name":
        answer = thing.name
    elif form == "is_name":
        name = thing.name if rng.random() < 0.5 else rng.choice([t for t in things() if t is not thing]).name
        words, answer = {"a_name": a(name), "name": name}, "yes" if name == thing.name else "no"
    elif form == "kind":
        answer = thing.kind
    elif form == "is_kind":
        kind, answer = _yes_no(rng, (thing.kind,), closed("kind"))
        if rng.random() < 0.35:  # the commonest question is about animals
            kind, answer = "animal", "yes" if thing.kind == "animal" else "no"
        words = {"kind": kind, "a_kind": a(kind)}
    elif form == "can":
        verb, answer = _yes_no(rng, thing.can, closed("can"))
        words = {"verb": verb}
    elif form == "has":
        part, answer = _yes_no(rng, thing.has, closed("has"))
        words = {"part": part}
    elif form == "legs":
        answer = thing.legs
    elif form == "made_of":
        answer = thing.made_of
    elif form == "is_made_of":
        material, answer = _yes_no(rng, (thing.made_of,), closed("made_of"))
        words = {"material": material}
    elif form == "found":
        answer = thing.found
    elif form == "used_for":
        if thing.used_for == "-":
            return None
        answer = thing.used_for
    elif form == "colour_of_thing":
        answer = thing.colours[0]
    elif form == "alive":
        if thing.alive is None:
            return None
        answer = "yes" if thing.alive else "no"
    elif form in ("either_name", "either_kind"):
        field = form.split("_")[1]
        answer = getattr(thing, field)
        other = rng.choice([w for w in closed(field) if w != answer])
        first, second = rng.sample([answer, other], 2)
        words = {"first": a(first), "second": a(second)}
    else:
        raise KeyError(form)
    return QA(form, ask(form, rng, split, **words), answer)


THING_FORMS = (
    "name",
    "is_name",
    "kind",
    "is_kind",
    "can",
    "has",
    "legs",
    "made_of",
    "is_made_of",
    "found",
    "used_for",
    "colour_of_thing",
    "alive",
    "either_name",
    "either_kind",
)
