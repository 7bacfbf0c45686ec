"""Invented words: names for things that have none."""

from __future__ import annotations

import random

KNOWN = ("dax", "blicket", "wug", "toma", "fep", "zav", "modi", "gazzer", "perpo", "kiki", "bouba", "slint")
"""Words that studies of word learning have used, or that sound as if they had."""


def invented_name(rng: random.Random) -> str:
    """A word that means nothing: dax, blicket, wug, or one built from syllables."""
    if rng.random() < 0.12:
        return rng.choice(KNOWN)
    onset = tuple("b d f g k l m n p r s t v w z bl dr fl gr sk sn tr sh ch".split())
    coda = ("", "", "x", "ck", "p", "t", "n", "m", "g", "ff", "sh", "zz", "b", "d", "l", "r")
    return "".join(
        rng.choice(onset)
        + rng.choice("aeiou")
        + (rng.choice(coda) if i == n - 1 else rng.choice(("", "", "n", "l")))
        for n in [rng.choice((1, 2, 2, 3))]
        for i in range(n)
    )
