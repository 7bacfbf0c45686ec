"""Whether a claim holds in a scene, by several readings at once, as numbers that a linear model weighs.

After the structured features of Suhr et al. 2017, "A Corpus of Natural Language for Visual Reasoning": what
a statement counts is counted in the scene and compared. English is loose ("there are two" may be exactly
two), so each way of taking it is one reading, and each reading stands beside the words that may decide it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmagent_set.claims import Claim, Phrase, read
from mmagent_set.elements import Elements, Floats
from mmagent_set.scene import MOST_RELATED, Scene, Truths, plain_word

__all__ = ["CUES", "READINGS", "WIDTH", "held"]

CUES = (
    "exactly", "least", "most", "only", "all", "not", "no", "touching", "top", "base", "bottom", "wall",
    "corner", "over", "above", "on", "same", "different", "and", "or", "tower", "box", "with", "has", "of",
)  # fmt: skip
READINGS = tuple(
    (scope, bare, loose)
    for scope in ("said", "things")
    for bare in ("least", "exactly")
    for loose in (False, True)
)
"""Whose number counts (groups where the statement names them, or things always), how a bare number is taken,
and whether places are taken loosely."""
SIZE_WORDS = frozenset(("small", "medium", "big"))
COUNTS = 6
WIDTH = len(READINGS) + 1 + COUNTS + 2 * len(CUES)


def held(elements: Elements) -> Floats:
    """(WIDTH,) how the set's statement stands to it; zeros where it has none or none that can be read."""
    row = np.zeros(WIDTH)
    if not elements.statement or elements.n > MOST_RELATED:
        return row
    scene = Scene(elements)
    kinds = [
        {word for text in set(texts) for word in plain_word(text).split()}
        for _, texts in sorted(elements.words.items())
    ]
    claim = read(elements.statement, [*(group | _usual(group) for group in kinds), SIZE_WORDS])
    if claim is None:
        return row
    said = [1.0 if _judge(scene, claim, *reading) else -1.0 for reading in READINGS]
    first = said[0]
    row[: len(said)] = said
    row[len(said)] = float(np.mean(said))
    row[len(said) + 1 : len(said) + 1 + COUNTS] = _counts(scene, claim)
    cues = np.array([word in claim.cues for word in CUES], dtype=np.float64)
    row[-2 * len(CUES) :] = np.concatenate([cues * first, cues * said[2]])
    return row


def _usual(group: set[str]) -> set[str]:
    """Words that a statement may use for an attribute although no element has them now."""
    colours = {"black", "blue", "yellow", "red", "green", "white", "orange", "purple", "pink"}
    shapes = {"square", "circle", "triangle"}
    return next((usual for usual in (colours, shapes) if group & usual), set())


def _judge(scene: Scene, claim: Claim, scope: str, bare: str, loose: bool) -> bool:
    """Whether the claim holds by one reading."""
    head, rest = claim.head, claim.rest
    if head.of_group and scope == "said":
        good = [
            group
            for group in range(scene.elements.n_groups)
            if all(_in_group(scene, phrase, group, bare, loose) for phrase in rest or (head,))
        ]
        count, total = len(good), scene.elements.n_groups
    else:
        found = _matching(scene, head, loose)
        for phrase in rest:
            found &= (
                _matching(scene, phrase, loose) if phrase.kinds or phrase.side or phrase.relation else found
            )
        count, total = int(found.sum()), scene.elements.n
    if head.quantity.how == "all":
        return count == total
    return head.quantity.holds(count, bare=bare)


def _in_group(scene: Scene, phrase: Phrase, group: int, bare: str, loose: bool) -> bool:
    """Whether a group is as a phrase says."""
    own = scene.elements.groups == group
    found = _matching(scene, phrase, loose) & own
    count, total = int(found.sum()), int(own.sum())
    if phrase.colours:
        shown = {word for at in np.flatnonzero(own) for word in _colour(scene, int(at))}
        alike = (
            len(shown) == 1 if phrase.colours == "same" else len(shown) == max(phrase.quantity.many or 2, 2)
        )
        return total > 0 and alike
    if phrase.only and (phrase.kinds and phrase.quantity.many is None):
        named = {word for kinds in phrase.kinds for word in kinds}
        seen = {word for at in np.flatnonzero(own) for word in scene.words[int(at)]}
        return total > 0 and count == total and (loose or named <= seen)
    if phrase.quantity.how == "all":
        return total > 0 and count == total
    if phrase.negated and (loose or phrase.side):
        return count == 0
    return phrase.quantity.holds(count, bare=bare)


def _matching(scene: Scene, phrase: Phrase, loose: bool) -> Truths:
    """(n,) which elements are of the kind, at the place and in the relation that a phrase names."""
    found = _of_kinds(scene, phrase.kinds)
    if phrase.negated and phrase.kinds and not phrase.side and not loose:
        found = ~found
    if phrase.side:
        place = _placed(scene, phrase, loose)
        found &= ~place if phrase.negated and phrase.touching else place
    if phrase.relation:
        other = _of_kinds(scene, phrase.other)
        relation = scene.above if loose else scene.on
        linked = (relation.T if phrase.relation == "below" else relation) & other[None]
        found &= linked.any(axis=1)
    elif phrase.touching and not phrase.side:
        found &= scene.beside.any(axis=1)
    return found


def _placed(scene: Scene, phrase: Phrase, loose: bool) -> Truths:
    side = phrase.side
    if phrase.touching or side in ("any", "corner", "left", "right"):
        return scene.touches(side)
    return scene.touches(side) if loose and side == "bottom" else scene.extreme(side)


def _of_kinds(scene: Scene, kinds: Sequence[frozenset[str]]) -> Truths:
    return np.array([all(words & kind for kind in kinds) for words in scene.words], dtype=bool)


def _colour(scene: Scene, at: int) -> set[str]:
    name = next((one for one in ("color", "colour") if one in scene.elements.words), None)
    return {plain_word(scene.elements.words[name][at])} if name else scene.words[at]


def _counts(scene: Scene, claim: Claim) -> list[float]:
    """How many elements and groups there are of what the statement names anywhere, and how that compares."""
    named = [phrase for phrase in (claim.head, *claim.rest) if phrase.kinds]
    each = [_matching(scene, phrase, True) for phrase in named] or [np.ones(scene.elements.n, dtype=bool)]
    counts = [int(found.sum()) for found in each]
    groups = [len(set(scene.elements.groups[found].tolist())) for found in each]
    wanted = [
        phrase.quantity.many for phrase in (claim.head, *claim.rest) if phrase.quantity.many is not None
    ]
    most = float(max(wanted, default=1))
    largest = max(
        int((scene.elements.groups == group)[each[-1]].sum()) for group in range(scene.elements.n_groups)
    )
    equal = [1.0 if value == most else -1.0 for value in (counts[-1], groups[-1], largest)]
    there = 1.0 if min(counts) > 0 else -1.0
    return [there, float(np.log1p(min(counts))), float(np.log1p(min(groups))), *equal]
