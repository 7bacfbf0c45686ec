"""Invented words: names for things that have none."""

from __future__ import annotations

import random

from mmagent.evaluation.episodes.words import INVENTED

KNOWN = ("dax", "blicket", "wug", "toma", "fep", "zav", "modi", "gazzer", "perpo", "kiki", "bouba", "slint")
"""Words that studies of word learning have used, or that sound as if they had."""
KEPT_BACK = frozenset(INVENTED) - frozenset(KNOWN)
"""Words that episodes are measured with; no text that is trained on has them."""

ONSETS = tuple(
    "b c d f g h j k l m n p r s t v w y z bl br ch cl cr dr fl fr gl gr kl kr pl pr qu sc sh sk sl sm sn sp"
    " st str sw th tr tw vl vr zw".split()
)
SIMPLE = ONSETS[:19]
VOWELS = tuple("a e i o u a e i o u ai ea ee ie oo ou oy y".split())
CODAS = tuple(
    "b ck d f ff g k l ll m n nd ng nk nt p r rb rd rk rm rn rt s sh sk ss st t tt v x zz lf lk lm lp lt mb"
    " mp ft".split()
)
ENDINGS = tuple("a o i y e le er et it in en on us ix um ia el ul ar or".split())
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def invented_name(rng: random.Random) -> str:
    """A word that means nothing: dax, blicket, wug, or one built from syllables or from letters.

    One in eight is only letters, so that whatever is asked to be called something can be.
    """
    while True:
        if rng.random() < 0.08:
            return rng.choice(KNOWN)
        name = _letters(rng) if rng.random() < 0.12 else _syllables(rng)
        if name not in KEPT_BACK:
            return name


def _syllables(rng: random.Random) -> str:
    n, parts = rng.choice((1, 2, 2, 2, 3)), []
    for at in range(n):
        last = at + 1 == n
        parts.append(rng.choice(ONSETS if at == 0 else SIMPLE + ONSETS) if at or rng.random() < 0.9 else "")
        parts.append(rng.choice(VOWELS if n == 1 else "aeiou"))
        if last and rng.random() < 0.7:
            parts.append(rng.choice(CODAS))
        elif not last and rng.random() < 0.3:
            parts.append(rng.choice("nlrmsxp"))
    if 1 < n < 3 and rng.random() < 0.3:
        parts += [rng.choice(SIMPLE), rng.choice(ENDINGS)]
    return "".join(parts)


def _letters(rng: random.Random) -> str:
    return "".join(rng.choice(LETTERS) for _ in range(rng.randint(3, 8)))
