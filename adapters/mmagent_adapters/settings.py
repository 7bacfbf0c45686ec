"""Settings of an adapter family: known names, sensible values, and an error that says which are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmagent.errors import UserError, did_you_mean


def settings(
    family: str, config: Mapping[str, Any], defaults: Mapping[str, Any], names: Sequence[str] = ()
) -> dict[str, Any]:
    """`defaults` overlaid with `config`; each value has the type of its default.

    An int must be positive, a float from 0 up to but not including 1 (a dropout). A default `int` stands for
    a number that has to be given, None for one that may be left out. The settings in `names` are lists of
    names (one name may stand without a list), None where they are left out. Raises `UserError`.
    """
    known = [*defaults, *names]
    unknown = sorted(config.keys() - set(known))
    if unknown:
        near = did_you_mean(unknown[0], known)
        raise UserError(
            f"adapter family {family!r} has no setting {unknown[0]!r}. It has: {', '.join(known)}.{near}"
        )
    full = {name: config.get(name, default) for name, default in defaults.items()}
    return {**_checked(family, full, defaults), **{name: _list(family, name, config) for name in names}}


def _list(family: str, name: str, config: Mapping[str, Any]) -> list[str] | None:
    """A setting that is a list of names."""
    given = config.get(name)
    if given is None:
        return None
    words = [given] if isinstance(given, str) else given
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) and word for word in words):
        raise UserError(f"adapter family {family!r}: {name} is {given!r}; it must be a list of names.")
    return list(dict.fromkeys(words))


def _checked(family: str, full: dict[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers, each of the kind of its default."""
    for name, value in full.items():
        if isinstance(value, type):
            raise UserError(f"adapter family {family!r} needs the setting {name!r}. Set it in its config.")
        kind = type(defaults[name]) if isinstance(defaults[name], int | float) else int
        if value is None and defaults[name] is None:
            continue
        if kind is int and (type(value) is not int or value < 1):
            raise UserError(
                f"adapter family {family!r}: {name} is {value!r}; it must be a whole number from 1."
            )
        if kind is float and (type(value) not in (int, float) or not 0 <= value < 1):
            raise UserError(f"adapter family {family!r}: {name} is {value!r}; it must lie from 0 up to 1.")
    return full
