"""What the text says of everyday things, read from `things.tsv`, and the wordings of questions, from
`wordings.toml`.
"""

from __future__ import annotations

import csv
import random
import re
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
N_PICTURED = 110  # the first rows are things that there are pictures of
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
    """One wording of the question, its placeholders filled; split '0' is the first training wording."""
    if split.isdecimal():
        return wordings()[form]["train"][int(split)].format(**words)
    return rng.choice(wordings()[form][split]).format(**words)


def plain(question: str) -> str:
    """The question as it is compared with another: no case, no stops."""
    return " ".join("".join(c if c.isalnum() or c in " '" else " " for c in question.lower()).split())


@cache
def kept_back() -> re.Pattern[str]:
    """Matches every wording that is kept for testing, whatever fills its placeholders."""
    forms = [plain(re.sub(r"{\w+}", "xslotx", w)) for form in wordings().values() for w in form["test"]]
    return re.compile("|".join(f"(?:{re.escape(w).replace('xslotx', '.+')})" for w in sorted(set(forms))))


ALIKE = (
    ("picture", "image", "photo", "photograph", "snapshot"),
    ("show", "display", "contain", "depict"),
    ("shown", "displayed", "visible", "pictured"),
    ("thing", "object", "item"),
    ("tell me", "say", "let me know", "please say"),
    ("what is", "what's", "what would be"),
    ("do you see", "can you see", "do you notice", "can you make out"),
    ("name the", "give the", "state the", "what is the"),
    ("kind", "sort", "type"),
    ("able to", "in a position to"),
    ("is there", "is there maybe", "do you find"),
    ("how many", "what number of"),
)
BEFORE = (
    "please; so; ok; now; and; look; hey; well; here; hello; just tell me; I wonder; tell me; one question; "
    "in this picture; in the image; looking at this; from what you see; in your view; I would like to know; "
    "in short; quickly; a question"
).split("; ")
AFTER = (
    " please",
    " here",
    " then",
    ", please",
    " in this picture",
    " right now",
    ", roughly",
    ", in a word",
    " now",
    " exactly",
)


def reworded(question: str, rng: random.Random) -> str:
    """The question as another person might put it; never a wording that is kept for testing."""
    said = question
    for group in ALIKE:
        for word in group:
            if word in said and rng.random() < 0.5:
                said = re.sub(rf"\b{word}\b", rng.choice(group), said, count=1)
                break
    end = said[-1] if said[-1] in "?." else ""
    body = said.removesuffix(end)
    if rng.random() < 0.3:
        body = rng.choice(BEFORE) + rng.choice((", ", ": ", " ", ", ")) + body[0].lower() + body[1:]
    if rng.random() < 0.15:
        body += rng.choice(AFTER)
    if rng.random() < 0.3:
        body = body[0].swapcase() + body[1:]
    if rng.random() < 0.25:
        end = rng.choice(("", "?", " ?", "."))
    said = body + end
    return question if kept_back().search(plain(said)) else said


def practise(form: str, rng: random.Random, **words: str) -> str:
    """A training wording, half of the time put in yet other words."""
    question = ask(form, rng, **words)
    return reworded(question, rng) if rng.random() < 0.5 else question


@dataclass(frozen=True)
class QA:
    """A question with its one right answer; `form` names the kind of question."""

    form: str
    question: str
    answer: str


@cache
def _holders(field: str) -> dict[str, int]:
    """How many pictured things each value is true of."""
    return {
        w: sum(
            w == v or (isinstance(v, tuple) and w in v)
            for v in (getattr(t, field) for t in things()[:N_PICTURED])
        )
        for w in closed(field)
    }


def _yes_no(rng: random.Random, field: str, true: tuple[str, ...]) -> tuple[str, str]:
    """A word of the column to ask of a thing, and whether it is true of it.

    Words are drawn so that over all pictured things each is as often true as false: its answer must be
    known, not guessed from the word.
    """
    held, n = _holders(field), N_PICTURED
    weights = [
        1 / max(1, held[w]) if w in true else 1 / max(1, n - held[w]) if held[w] else 0.3 / n for w in held
    ]
    word = rng.choices(list(held), weights=weights)[0]
    return word, "yes" if word in true else "no"


def thing_question(
    thing: Thing, form: str, rng: random.Random, split: str = "train", practice: bool = False
) -> QA | None:
    """A question of the form about the thing, None where it makes no sense of it.

    `practice`: in the many words of `practise`, for training.
    """
    words: dict[str, str] = {}
    if form == "name":
        answer = thing.name
    elif form == "is_name":
        name = thing.name if rng.random() < 0.5 else rng.choice([t for t in things() if t is not thing]).name
        words, answer = {"a_name": a(name), "name": name}, "yes" if name == thing.name else "no"
    elif form == "kind":
        answer = thing.kind
    elif form == "is_kind":
        kind, answer = _yes_no(rng, "kind", (thing.kind,))
        if rng.random() < 0.35:  # the commonest question is about animals
            kind, answer = "animal", "yes" if thing.kind == "animal" else "no"
        words = {"kind": kind, "a_kind": a(kind)}
    elif form == "can":
        verb, answer = _yes_no(rng, "can", thing.can)
        words = {"verb": verb}
    elif form == "has":
        part, answer = _yes_no(rng, "has", thing.has)
        words = {"part": part}
    elif form == "legs":
        answer = thing.legs
    elif form == "made_of":
        answer = thing.made_of
    elif form == "is_made_of":
        material, answer = _yes_no(rng, "made_of", (thing.made_of,))
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
    question = (
        practise(form, rng, **words) if split == "train" and practice else ask(form, rng, split, **words)
    )
    return QA(form, question, answer)


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
