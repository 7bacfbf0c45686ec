"""What documents are made of: spans of text, each with its share in the loss."""

from __future__ import annotations

import random

from sight_words import Look, noise_profile
from soft import Soft

Doc = list[tuple[str | Soft, float]]
ANSWER, END = 1.0, 0.3  # the share of an answer's tokens, and of the line end behind it


def look_words(rng: random.Random) -> str:
    """The words of some look, as a real picture will have them."""
    return Look(rng, noise_profile(rng, 0.5)).example(rng)


def text_of(doc: Doc) -> str:
    """What can be read of it; folded words stand as dots."""
    return "".join(span if isinstance(span, str) else "." * len(span.bags) for span, _ in doc)
