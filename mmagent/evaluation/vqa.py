"""The official VQA accuracy (Antol et al. 2015, sec. 4; the evaluation script of the VQA challenge).

Ten people answered each question. An answer is worth min(matches / 3, 1), averaged over the ten ways to
leave one person out. Texts are normalised first, and only where the ten do not all agree: that is what the
script does, so that text read off a picture is compared to the letter. Its quirks are kept, because a number
from a better script could not be compared:

- a sign between two letters becomes a blank, but where it touches a blank anywhere in the text, or where the
  text holds a number such as 1,000, every one of it is deleted;
- a full stop stays only before a digit (the script's look-behind is misspelt and never fails), and at most
  32 are removed (a flag is passed where the count belongs);
- "none" becomes 0; "lets" and "shes" stay as they are; "somebody'd" loses its apostrophe;
- "I'm" without its apostrophe is not mended: the map's key has a capital, and texts are lower-cased first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from mmagent.errors import UserError
from mmagent.evaluation.metric import Floats, same_length

__all__ = ["CONTRACTIONS", "ENOUGH", "normalise", "vqa_accuracy", "vqa_right"]

ENOUGH = 4
"""Fewer wanted answers than this could never make an answer fully right."""

_SIGNS = ';/[]"{}()=+\\_-><@`,?!'
_STOP = re.compile(r"\.(?!\d)")
_STOPS_REMOVED = 32
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_NUMBERS = {
    "none": "0",
    **{
        word: str(number)
        for number, word in enumerate("zero one two three four five six seven eight nine ten".split())
    },
}
_ARTICLES = frozenset(("a", "an", "the"))

# The right-hand sides of the script's map. A text that lacks exactly one of its apostrophes is mended.
_CONTRACTED = (
    "ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't"
    " he'd he'd've he's how'd how'll how's I'd've I'm I've isn't it'd it'd've it'll ma'am mightn't"
    " mightn't've might've mustn't must've needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've"
    " shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've someone'll someone's"
    " something'd something'd've something'll that's there'd there'd've there're there's they'd they'd've"
    " they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've when's"
    " where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't"
    " wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've"
).split()


def _lacking_one(word: str) -> list[str]:
    return [word[:at] + word[at + 1 :] for at, letter in enumerate(word) if letter == "'"]


CONTRACTIONS: dict[str, str] = {short: word for word in _CONTRACTED for short in _lacking_one(word)} | {
    "somebody'd": "somebodyd",
    "let's": "let's",
    "she's": "she's",
}
"""The script's map of contractions, whole."""


def normalise(text: str) -> str:
    """A text as the official script compares it: signs, full stops, case, numbers, articles, contractions."""
    out = _blanks(text)
    before = out
    in_number = _COMMA_IN_NUMBER.search(before) is not None
    for sign in _SIGNS:
        at_a_blank = f"{sign} " in before or f" {sign}" in before
        out = out.replace(sign, "" if at_a_blank or in_number else " ")
    out = _STOP.sub("", out, count=_STOPS_REMOVED)
    words = (_NUMBERS.get(word, word) for word in out.lower().split())
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def vqa_right(got: str, wanted: Sequence[str], *, always_normalise: bool = False) -> float:
    """What one answer is worth, 0 to 1, against the answers of several people (ten in VQA).

    always_normalise  also where all people agree; not the official number, which then compares to the letter

    Raises UserError for fewer than four wanted answers.
    """
    if len(wanted) < ENOUGH:
        raise UserError(
            f"VQA accuracy compares with the answers of several people (ten in VQA), and a row has "
            f"{len(wanted)}. Use exact match."
        )
    said, people = _blanks(got), [_blanks(text) for text in wanted]
    if always_normalise or len(set(people)) > 1:
        said, people = normalise(said), [normalise(text) for text in people]
    matches = sum(text == said for text in people)
    n = len(people)
    without_a_match, without_another = min((matches - 1) / 3, 1.0), min(matches / 3, 1.0)
    return (matches * without_a_match + (n - matches) * without_another) / n


def vqa_accuracy(
    got: Sequence[str], wanted: Sequence[Sequence[str]], *, always_normalise: bool = False
) -> Floats:
    """(n,) what each answer is worth; their mean is the VQA accuracy."""
    same_length(got=got, wanted=wanted)
    pairs = zip(got, wanted, strict=True)
    return np.array([vqa_right(said, right, always_normalise=always_normalise) for said, right in pairs])


def _blanks(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()
