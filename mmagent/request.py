"""What is asked: a request, its shots, and how they are read from a row of JSON."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmagent.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from mmagent.modality import Modality

__all__ = [
    "Media",
    "Request",
    "Shot",
    "as_shot",
    "check_choices",
    "demand_whole",
    "in_order",
    "parse_shot",
    "request_from_row",
    "sources_of",
]

Media = Mapping[str, Sequence[object]]
"""Sources by modality, such as ``{"image": ["a.png", "b.png"]}``; each is whatever the modality reads."""


@dataclass(frozen=True)
class Shot:
    """An answered example: it stands in the prompt, and it votes in the shot memory.

    question  None: it answers whatever is asked
    source    where it came from, for people; its files, unless given
    """

    answer: str
    question: str | None = None
    media: Media = field(default_factory=dict)
    source: str = ""

    def __post_init__(self) -> None:
        answer = " ".join(str(self.answer).split())
        if not answer:
            raise UserError(f"a shot{f' ({self.source})' if self.source else ''} has an empty answer.")
        demand_whole(answer, "the answer of a shot")
        question = _asked(self.question, "the question of a shot")
        object.__setattr__(self, "answer", answer)
        object.__setattr__(self, "media", _sources(self.media))
        object.__setattr__(self, "source", self.source or _files(self.media))
        object.__setattr__(self, "question", " ".join(question.split()) or None)


@dataclass(frozen=True)
class Request:
    """One question with its media, shots and choices.

    question  None: describe what was given
    choices   None: the answer is generated; otherwise the likeliest of these, two or more, is the answer
    """

    question: str | None = None
    media: Media = field(default_factory=dict)
    shots: Sequence[Shot] = ()
    choices: Sequence[str] | None = None

    def __post_init__(self) -> None:
        question = _asked(self.question, "the question")
        object.__setattr__(self, "question", question.strip() or None)
        object.__setattr__(self, "media", _sources(self.media))
        if self.choices is not None:
            object.__setattr__(self, "choices", check_choices(self.choices))


def check_choices(choices: Sequence[str], said: str | None = None) -> tuple[str, ...]:
    """Two answers or more to choose among, blanks put right; text is split at commas.

    `said`: the option and its text, where they came with one. Raises UserError.
    """
    if isinstance(choices, str):
        choices = choices.split(",")
    if not isinstance(choices, Sequence):
        raise UserError(f"choices is {choices!r:.60}; give a list of answers.")
    for choice in choices:
        if isinstance(choice, bool) or not isinstance(choice, str | int | float):
            raise UserError(f"the choice {choice!r:.40} is neither text nor a number.")
    cleaned = [" ".join(str(choice).split()) for choice in choices]
    given = said or f"choices {list(choices)!r:.60}"
    example = f"{said.split()[0]} red,blue" if said else '["red", "blue"]'
    write = f"Give two or more, none of them empty: {example}."
    if len(cleaned) > 1 and not all(cleaned):
        raise UserError(f"{given} has an empty choice, number {cleaned.index('') + 1}. {write}")
    if len(cleaned) < 2:
        raise UserError(f"{given} names fewer than two answers. {write}")
    for choice in cleaned:
        demand_whole(choice, "a choice")
    twice = sorted({choice for choice in cleaned if cleaned.count(choice) > 1})
    if twice:
        raise UserError(f"{f'{said}: ' if said else ''}the choice {twice[0]!r} is given twice.")
    return tuple(cleaned)


def _asked(question: object, what: str) -> str:
    """A question as text, "" for none. Raises UserError."""
    if not isinstance(question, str | None):
        raise UserError(f"{what} is {question!r:.60}; it must be text.")
    demand_whole(question or "", what)
    return question or ""


def _sources(media: object) -> dict[str, list[object]]:
    """Media by modality, a single source as a list of one. Raises UserError."""
    if not isinstance(media, Mapping):
        raise UserError(f'media is {media!r:.60}; give sources by modality, such as {{"image": ["a.png"]}}.')
    return {name: value if _several(value) else sources_of(value) for name, value in media.items()}


def in_order(media: Media) -> list[tuple[str, object]]:
    """Modality and source of all media, as they stand in a prompt: by modality, each in the order given.

    So what is learned and what is asked read alike, however the inputs were named.
    """
    return [(name, source) for name in sorted(media) for source in media[name]]


def _several(value: object) -> bool:
    """Whether this is a list or tuple of sources already."""
    return isinstance(value, list | tuple) and not _are_records(value) and not _is_sampled(value)


def sources_of(value: object) -> list[object]:
    """One source or several: a list or tuple is several, anything else is one.

    One is also a list of records, ``[{"town": "Oslo", "people": 7}, ...]``, and an array with its rate,
    ``(samples, 16000)``.
    """
    return list(value) if _several(value) else [value]  # type: ignore[call-overload]


def _are_records(values: Sequence[object]) -> bool:
    """Whether all are mappings of names to plain values, and no files ``{"bytes": ...}``."""
    return bool(values) and all(
        isinstance(one, Mapping) and not set(one) <= {"bytes", "path"} and all(map(_is_plain, one.values()))
        for one in values
    )


def _is_plain(value: object) -> bool:
    return not isinstance(value, bytes | bytearray | Mapping | Set | list | tuple) and not (
        getattr(value, "ndim", 0) or hasattr(value, "read")
    )


def _is_sampled(values: Sequence[object]) -> bool:
    """Whether these are an array and a number."""
    return len(values) == 2 and bool(getattr(values[0], "ndim", 0)) and isinstance(values[1], Real)


def as_shot(shot: Shot | Mapping[str, Any], modalities: Mapping[str, Modality], number: int) -> Shot:
    """A shot, given as one or as a mapping like ``{"image": "a.png", "answer": "dax"}``. Raises UserError."""
    if isinstance(shot, Shot):
        return shot
    if not isinstance(shot, Mapping):
        raise UserError(f"shot {number} is {shot!r:.60}; it must be a Shot or a mapping with an answer.")
    known = [*modalities, "question", "answer"]
    for key in shot:
        if key not in known:
            raise UserError(
                f"shot {number} has an entry {key!r}. There are: {', '.join(known)}."
                f"{did_you_mean(key, known)}"
            )
    return shot_from_row(shot, modalities, None, f"shot {number}")


def shot_from_row(
    row: Mapping[str, Any], modalities: Mapping[str, Modality], base: Path | None, where: str
) -> Shot:
    """A shot from a row; other keys are left alone. Paths are relative to `base`. Raises UserError."""
    answer, question = row.get("answer"), row.get("question")
    if isinstance(answer, bool) or not isinstance(answer, str | int | float) or not str(answer).strip():
        found = "has no answer" if answer is None or answer == "" else f"has the answer {answer!r:.40}"
        raise UserError(f'{where} {found}; a shot needs "answer" as text.')
    media = media_from_row(row, modalities, base, where)
    return Shot(str(answer), _text(question, "question", where), media)


def parse_shot(text: str, modalities: Collection[str]) -> dict[str, Any]:
    """Read ``image=a.png,question=what?,answer=dax``; a comma before a key separates. Raises UserError."""
    known = [*modalities, "question", "answer"]
    keys = "|".join(map(re.escape, known))
    pieces = re.split(rf"(?:^|,)\s*({keys})\s*=", text)
    named = next((key for key in pieces[1::2] if key in modalities), None)
    example = f"{named or ('image' if 'image' in modalities else known[0])}=FILE,answer=WORD"
    if pieces[0].strip() or len(pieces) < 3:
        word = text.partition("=")[0].strip()
        raise UserError(
            f"cannot read the shot {text!r}: it begins with {word!r}. Write it like {example}; "
            f"there are: {', '.join(known)}.{did_you_mean(word, known)}"
        )
    shot: dict[str, Any] = {}
    for key, value in zip(pieces[1::2], pieces[2::2], strict=True):
        if key in modalities:
            shot.setdefault(key, []).append(value.strip())
        elif key in shot:
            raise UserError(f"the shot {text!r} gives {key} twice.")
        else:
            shot[key] = value.strip()
    if not shot.get("answer"):
        raise UserError(f"the shot {text!r} has no answer. Write it like {example}.")
    return shot


def request_from_row(row: Mapping[str, Any], modalities: Mapping[str, Modality], base: Path) -> Request:
    """A request from a row of a batch file; keys that mean nothing here are left alone.

    `question`, `choices` (a list), `shots` (a list of such rows with `answer`) and each modality's name (a
    path or a list of paths, relative to `base`; of some an input written out, as SMILES are). Raises
    UserError saying which entry is wrong.
    """
    shots = row.get("shots")
    if shots is not None and not (isinstance(shots, list) and all(isinstance(one, dict) for one in shots)):
        raise UserError('"shots" must be a list of rows, each with an "answer".')
    choices = row.get("choices")
    if choices is not None and not isinstance(choices, list):
        raise UserError('"choices" must be a list of texts.')
    return Request(
        question=_text(row.get("question"), "question", "the row"),
        media=media_from_row(row, modalities, base, "the row"),
        shots=[
            shot_from_row(one, modalities, base, f"shot {at}") for at, one in enumerate(shots or [], start=1)
        ],
        choices=choices,
    )


def media_from_row(
    row: Mapping[str, Any], modalities: Mapping[str, Modality], base: Path | None, where: str
) -> dict[str, list[object]]:
    """The media of a row by modality, in the row's order; paths are joined to `base` if there is one.

    A modality that is null is missing from the row. A text that is no file may be the input itself, where
    the modality says so (`Modality.written`).
    """
    media: dict[str, list[object]] = {}
    for key in (key for key in row if key in modalities and row[key] is not None):
        sources = sources_of(row[key])
        if base is None:
            media[key] = sources
            continue
        for source in sources:
            if not isinstance(source, str) or not source.strip():
                raise UserError(f'{where}: "{key}" must be a path or a list of paths, not {source!r:.60}.')
            if "\0" in source:
                raise UserError(f'{where}: "{key}" is no path: it holds a null character.')
        media[key] = [modalities[key].source(str(source), base) for source in sources]
    return {key: sources for key, sources in media.items() if sources}


def demand_whole(text: str, what: str) -> None:
    """Raise UserError for text with a piece of a character in it, which nothing can read or write."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        odd = text[error.start]
        raise UserError(
            f"{what} is no text: it holds {odd!r}, which is a piece of a character and cannot be written as "
            "UTF-8. Write it anew."
        ) from error


def _text(value: object, key: str, where: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise UserError(f'{where}: "{key}" must be text, not {value!r:.60}.')


def _files(media: Media) -> str:
    """The files behind some media, to call a shot by; empty where there are none."""
    paths = (
        str(source) for sources in media.values() for source in sources if isinstance(source, str | Path)
    )
    return " + ".join(paths)
