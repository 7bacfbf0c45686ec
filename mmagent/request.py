"""What is asked: a request, its shots, and how they are read from a row of JSON."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmagent.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from mmagent.modality import Modality

__all__ = ["Media", "Request", "Shot", "as_shot", "in_order", "parse_shot", "request_from_row", "sources_of"]

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
        object.__setattr__(self, "answer", answer)
        object.__setattr__(self, "source", self.source or _files(self.media))
        object.__setattr__(self, "question", " ".join((self.question or "").split()) or None)


@dataclass(frozen=True)
class Request:
    """One question with its media, shots and choices.

    question  None: describe what was given
    choices   None: the answer is generated; otherwise the likeliest of these is the answer
    """

    question: str | None = None
    media: Media = field(default_factory=dict)
    shots: Sequence[Shot] = ()
    choices: Sequence[str] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "question", (self.question or "").strip() or None)
        if self.choices is not None:
            object.__setattr__(self, "choices", _checked_choices(self.choices))


def in_order(media: Media) -> list[tuple[str, object]]:
    """Modality and source of all media, as they stand in a prompt: by modality, each in the order given.

    So what is learned and what is asked read alike, however the inputs were named.
    """
    return [(name, source) for name in sorted(media) for source in media[name]]


def sources_of(value: object) -> list[object]:
    """One source or several: a list or tuple is several, anything else is one."""
    return list(value) if isinstance(value, list | tuple) else [value]


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
    if pieces[0].strip() or len(pieces) < 3:
        word = text.partition("=")[0].strip()
        raise UserError(
            f"cannot read the shot {text!r}: it begins with {word!r}. Write it like "
            f"{known[0]}=FILE,answer=WORD; there are: {', '.join(known)}.{did_you_mean(word, known)}"
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
        raise UserError(f"the shot {text!r} has no answer. Write it like {known[0]}=FILE,answer=WORD.")
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


def _checked_choices(choices: Sequence[str]) -> tuple[str, ...]:
    if isinstance(choices, str):
        choices = choices.split(",")
    cleaned = [" ".join(str(choice).split()) for choice in choices]
    if not cleaned or not all(cleaned):
        raise UserError("choices must be a list of texts, none of them empty, such as red,blue.")
    twice = sorted({choice for choice in cleaned if cleaned.count(choice) > 1})
    if twice:
        raise UserError(f"the choice {twice[0]!r} is given twice.")
    return tuple(cleaned)


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
