"""A statement about a set, read into counts: how many groups or elements, and of which kind.

"There are exactly two towers with a black block at the top" is a count of groups (exactly 2) that each have
a count of elements (at least 1) that are black and topmost. Words for kinds are the set's own: whatever its
elements are called. This is the reading of a small grammar and not of English; what it cannot read stays
out, and how far it may be trusted is learned (see `truth`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

__all__ = ["Claim", "Phrase", "Quantity", "is_statement", "read", "tokens"]

NUMBERS = {
    "a": 1, "an": 1, "one": 1, "single": 1, "two": 2, "both": 2, "three": 3, "four": 4, "five": 5, "six": 6,
    "seven": 7, "eight": 8, "nine": 9, "ten": 10, "no": 0, "none": 0, "zero": 0,
}  # fmt: skip
GROUPS = {"box", "tower", "grey", "gray", "group", "set", "cluster"}
THINGS = {"block", "item", "object", "thing", "element", "shape", "one"}
JOINTS = {
    "with",
    "which",
    "that",
    "has",
    "have",
    "having",
    "contain",
    "where",
    "who",
    "includ",
    "include",
    "and",
    ",",
}
RELATIONS = {
    "over": "above",
    "above": "above",
    "on": "on",
    "below": "below",
    "under": "below",
    "beneath": "below",
}
SIDES = {
    "wall": "any", "edge": "any", "side": "any", "corner": "corner", "base": "bottom", "bottom": "bottom",
    "top": "top", "left": "left", "right": "right",
}  # fmt: skip
KNOWN = {
    *NUMBERS, *GROUPS, *THINGS, *JOINTS, *RELATIONS, *SIDES, "exactly", "least", "most", "only", "all",
    "each", "every", "any", "not", "there", "is", "are", "of", "the", "touching", "touch", "color", "same",
    "different", "closely", "more", "than", "less", "fewer", "other", "another", "stacked", "together",
    "small", "medium", "big", "middle", "second", "between", "directly", "without", "multiple", "its", "it",
    "them", "in", "at", "height",
}  # fmt: skip
OPEN = {
    "what", "which", "who", "whose", "where", "when", "why", "how", "name", "describe", "tell",
    "count", "list",
}  # fmt: skip
"""How a question begins that is not answered by yes or no."""
SYNONYMS = {"colour": "color", "gray": "grey", "large": "big", "rectangle": "square", "atleast": "least"}


@dataclass(frozen=True)
class Quantity:
    """How many are said to be there.

    how  "exactly", "least", "most", "all"; "" where the statement gives a bare number
    many None where it gives none
    """

    how: str = ""
    many: int | None = None

    def holds(self, count: int, *, bare: str = "least") -> bool:
        """Whether so many are what was said; `bare` is how a number alone is taken."""
        wanted = 1 if self.many is None else self.many
        how = self.how or ("exactly" if wanted == 0 else bare if self.many is not None else "least")
        return {"exactly": count == wanted, "least": count >= wanted, "most": count <= wanted}.get(
            how, count >= wanted
        )


@dataclass(frozen=True)
class Phrase:
    """A part of a statement about things of one kind.

    quantity  of them;  kinds  what they are called, alternatives together;  of_group  whether boxes are meant
    side, touching  where they are;  relation, other  what they are to things of another kind
    only      nothing else is there;  negated  it is said not to be so;  colours  "same", "different" or ""
    """

    quantity: Quantity
    kinds: tuple[frozenset[str], ...]
    of_group: bool = False
    side: str = ""
    touching: bool = False
    relation: str = ""
    other: tuple[frozenset[str], ...] = ()
    only: bool = False
    negated: bool = False
    colours: str = ""


@dataclass(frozen=True)
class Claim:
    """A statement, read: its first phrase, and what the rest says of the same groups or things."""

    head: Phrase
    rest: tuple[Phrase, ...] = ()
    cues: frozenset[str] = field(default_factory=frozenset)


def is_statement(text: str) -> bool:
    """Whether a text may be true or false, as a statement or a question for yes or no is."""
    first = re.match(r"\s*(?:in |of |at |to |from )?([a-z]+)", text.lower())
    return first is not None and first[1] not in OPEN


def tokens(text: str, own: Collection[str]) -> list[str]:
    """Words of a statement in the singular, misspelt ones as the nearest word that is known here."""
    known = KNOWN | set(own)
    found = []
    for word in re.findall(r"[a-z]+|\d+|,", text.lower()):
        word = SYNONYMS.get(word, word)
        if word not in known and word.endswith("es") and word[:-2] in known:
            word = word[:-2]
        elif word not in known and word.endswith("s") and word[:-1] in known:
            word = word[:-1]
        elif word not in known and len(word) > 4:
            near = get_close_matches(word, sorted(known), n=1, cutoff=0.8)
            near += get_close_matches(word.removesuffix("s"), sorted(known), n=1, cutoff=0.8)
            word = near[0] if near else word
        word = SYNONYMS.get(word, word)
        found.append(word)
    return found


def read(text: str, kinds: Sequence[Collection[str]]) -> Claim | None:
    """The claim in a statement, None where there is nothing of the set's in it.

    kinds: for each of the set's attributes the words it has, such as {"black", "blue"} and {"square"}.
    """
    own = {word for group in kinds for word in group}
    words = tokens(text, own)
    if not any(word in own or word in GROUPS or word in THINGS for word in words):
        return None
    parts: list[list[str]] = [[]]
    for at, word in enumerate(words):
        if word in JOINTS and not (word == "and" and _joins_kinds(parts[-1], words[at + 1 : at + 3], own)):
            parts.append([])
        else:
            parts[-1].append(word)
    phrases = [
        _phrase(part, kinds) for part in parts if any(word not in ("it", "is", "are", "the") for word in part)
    ]
    return Claim(phrases[0], tuple(phrases[1:]), frozenset(words))


def _joins_kinds(before: Sequence[str], after: Sequence[str], own: Collection[str]) -> bool:
    """Whether an "and" stands between two words for kinds: "only black and blue blocks"."""
    return bool(before) and before[-1] in own and _number(after[0] if after else "") is None


def _phrase(part: Sequence[str], kinds: Sequence[Collection[str]]) -> Phrase:
    relation = next((RELATIONS[word] for word in part if word in RELATIONS and not _is_place(part, word)), "")
    cut = next(
        (at for at, word in enumerate(part) if relation and RELATIONS.get(word) == relation), len(part)
    )
    first, second = part[:cut], part[cut + 1 :]
    things = {word for group in kinds for word in group} | THINGS - {"one"}
    group = max((at for at, word in enumerate(first) if word in GROUPS), default=-1)
    of_group = group >= 0 and not any(word in things for word in first[:group])
    side = next((SIDES[word] for word in part if word in SIDES), "")
    return Phrase(
        quantity=_quantity(first),
        kinds=_kinds(first, kinds),
        of_group=of_group,
        side=side,
        touching=any(word.startswith("touch") for word in part),
        relation=relation if second else "",
        other=_kinds(second, kinds) if relation else (),
        only="only" in part,
        negated="not" in part or "without" in part,
        colours=next((word for word in ("same", "different") if word in part), ""),
    )


def _is_place(part: Sequence[str], word: str) -> bool:
    """Whether "on" leads to a place ("on the top", "on top of it") or a side and not to a thing."""
    after = [one for one in part[list(part).index(word) + 1 :] if one not in ("the", "a", "its")]
    return word == "on" and bool(after) and after[0] in SIDES and "of" not in after[1:2]


def _quantity(words: Sequence[str]) -> Quantity:
    number = next((found for word in words if (found := _number(word)) is not None), None)
    if "exactly" in words or ("only" in words and number is not None):
        return Quantity("exactly", number)
    if "least" in words:
        return Quantity("least", number)
    if "most" in words:
        return Quantity("most", number)
    if "more" in words and number is not None:
        return Quantity("least", number + 1)
    if ("less" in words or "fewer" in words) and number is not None:
        return Quantity("most", number - 1)
    if any(word in words for word in ("all", "each", "every")):
        return Quantity("all", None)
    if "multiple" in words:
        return Quantity("least", 2)
    article = number == 1 and not any(word in ("one", "1", "single") for word in words)
    return Quantity("least" if article else "", number)


def _number(word: str) -> int | None:
    return int(word) if word.isdecimal() and len(word) < 4 else NUMBERS.get(word)


def _kinds(words: Sequence[str], kinds: Sequence[Collection[str]]) -> tuple[frozenset[str], ...]:
    """For each attribute that is named, the words of it: any one of them will do."""
    found = (frozenset(word for word in words if word in group) for group in kinds)
    return tuple(one for one in found if one)
