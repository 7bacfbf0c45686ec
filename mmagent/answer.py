"""An answer: the text, how sure the agent is of it, what it cost, and which shots spoke."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Answer", "ShotVote", "calibrate", "choice_probabilities", "mean_probability"]


@dataclass(frozen=True)
class ShotVote:
    """One shot's part in an answer: its own answer, its share of all votes (0 to 1), where it came from."""

    answer: str
    weight: float
    source: str


@dataclass(frozen=True)
class Answer:
    """What `ask` returns."""

    text: str
    """The answer, without the blanks and the stop text around it."""
    confidence: float
    """How likely it is right, 0 to 1: length-normalised probability, calibrated where the bundle says how;
    the adapter's or the encoder's own, where one found the answer and the core says it."""
    bundle: str
    """Name of the bundle that answered."""
    seconds: float
    """Wall time from the question to the answer (shared by the questions of one batch)."""
    tokens: int
    """Tokens generated, or scored where there were choices."""
    prompt_tokens: int
    """Tokens read, prefixes included."""
    choices: dict[str, float] | None = None
    """Probability of each choice, where choices were given."""
    supposed: dict[str, float] | None = None
    """What the input may be, likeliest first, where its adapter supposes: the answers that hold nearly all of
    the probability, each with its own."""
    shots_in_context: int = 0
    """How many shots stood in the prompt."""
    shots: list[ShotVote] = field(default_factory=list)
    """The shots that spoke loudest in the shot memory, loudest first."""
    memory_weight: float | None = None
    """The memory's weight against the core on the first token, 0 to 1; None when there was no memory."""
    dtype: str = "float32"
    """In which numbers the core computed: `float32`, `bfloat16`, `4bit in bfloat16`."""
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds per stage: encode, prompt, decode."""

    def to_json(self) -> dict[str, Any]:
        """The same as plain data, for `--json`."""
        return asdict(self)


def mean_probability(logprobs: Sequence[float]) -> float:
    """Geometric mean of the token probabilities: exp(mean log p); 0 when there are no tokens."""
    if not logprobs:
        return 0.0
    return math.exp(min(0.0, math.fsum(logprobs) / len(logprobs)))


def calibrate(probability: float, scale: float = 1.0, bias: float = 0.0) -> float:
    """Platt scaling of a probability (Platt 1999): sigmoid(scale * logit(p) + bias)."""
    p = min(max(probability, 1e-6), 1.0 - 1e-6)
    z = scale * (math.log(p) - math.log1p(-p)) + bias
    return 1.0 / (1.0 + math.exp(-z)) if z >= 0 else math.exp(z) / (1.0 + math.exp(z))


def calibration_for(
    calibration: Mapping[str, Any] | None, kinds: Sequence[str], *, general: bool = True
) -> tuple[float, float]:
    """The (scale, bias) a bundle gives for the first of `kinds` it knows, else its general one, else (1, 0).

    A bundle's calibration is ``{"scale": a, "bias": b}`` and may hold the same under "memory", "choices" or a
    template's name, because those are right at different rates.
    """
    given = calibration or {}
    known = (given[kind] for kind in kinds if isinstance(given.get(kind), Mapping))
    entry = next(known, given if general else {})
    return float(entry.get("scale", 1.0)), float(entry.get("bias", 0.0))


def choice_probabilities(normalised: Mapping[str, float]) -> dict[str, float]:
    """Softmax over length-normalised scores (log-probability per token of each choice)."""
    scores = {choice: max(score, -1e4) for choice, score in normalised.items()}  # log 0 is a number, too
    top = max(scores.values())
    weights = {choice: math.exp(score - top) for choice, score in scores.items()}
    total = math.fsum(weights.values())
    return {choice: weight / total for choice, weight in weights.items()}
