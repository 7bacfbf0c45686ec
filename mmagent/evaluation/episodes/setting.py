"""What a few-shot episode is made of, as numbers, and how they are written on one line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

from mmagent.errors import UserError, did_you_mean

__all__ = ["EXAMPLE", "Setting", "parse_settings"]

EXAMPLE = "ways=2,shots=1,3,5,repeats=0,5"
_LEAST = {"ways": 2, "shots": 1, "repeats": 0, "queries": 1}
_UNLESS_GIVEN: Mapping[str, list[int]] = {"repeats": [0], "queries": [1]}


@dataclass(frozen=True)
class Setting:
    """One kind of episode, in the terms of Tsimpoukelli et al. (2021, section 4.1).

    ways     classes, each with a name of its own
    shots    different examples of each that are shown (their "inner shots")
    repeats  how often the same shots are shown once more; 0: they are shown once
    queries  further examples of each class that are asked about, one by one, after the same shots
    """

    ways: int
    shots: int
    repeats: int = 0
    queries: int = 1

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise UserError(f"{name}={getattr(self, name)}: episodes need at least {name}={least}.")

    @property
    def n_shots(self) -> int:
        """Shots in the prompt, repeated ones included."""
        return self.ways * self.shots * (self.repeats + 1)

    @property
    def chance(self) -> float:
        """How often a guess among the names is right."""
        return 1.0 / self.ways

    @property
    def name(self) -> str:
        """``2-way 5-shot, 1 repeat``, as a report calls it."""
        again = f", {self.repeats} repeat{'' if self.repeats == 1 else 's'}" if self.repeats else ""
        return f"{self.ways}-way {self.shots}-shot{again}"


def parse_settings(text: str) -> tuple[Setting, ...]:
    """Every combination of ``ways=2,shots=1,3,5,repeats=0,5``. Raises UserError saying what is wrong."""
    given: dict[str, list[int]] = {}
    name = ""
    for piece in text.split(","):
        key, equals, value = (part.strip() for part in piece.rpartition("="))
        if equals:
            name = _known(key, text)
            if name in given:
                raise _wrong(text, f"{name} is given twice")
            given[name] = []
        elif not name:
            raise _wrong(text, f"it begins with {piece.strip()!r}, and a number needs a name before it")
        given[name].append(_number(name, value, text))
    for name in ("ways", "shots"):
        if name not in given:
            raise _wrong(text, f"it does not say how many {name}")
    values = [list(dict.fromkeys(given.get(name) or _UNLESS_GIVEN[name])) for name in _LEAST]
    return tuple(Setting(*numbers) for numbers in product(*values))


def _known(key: str, text: str) -> str:
    if key not in _LEAST:
        raise _wrong(
            text, f"there is no {key!r}; there are {', '.join(_LEAST)}", did_you_mean(key, list(_LEAST))
        )
    return key


def _number(name: str, value: str, text: str) -> int:
    if not value.isdecimal():
        what = repr(value) if value else "nothing"
        raise _wrong(text, f"{name} is {what}, and it must be a number")
    if int(value) < _LEAST[name]:
        raise _wrong(text, f"{name}={int(value)} is too few; at least {name}={_LEAST[name]}")
    return int(value)


def _wrong(text: str, what: str, hint: str = "") -> UserError:
    return UserError(f"cannot read --episodes {text!r}: {what}. Write it like {EXAMPLE}.{hint}")
