"""Which column stands for what: by its name, by a usual other name, or because the user says so.

Nothing is guessed twice: two columns that could both be the same thing are an error that asks which.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mmagent.errors import UserError, did_you_mean

__all__ = ["KINDS", "Columns", "map_columns"]

KINDS = ("answer", "label", "caption")
PLAIN = ("question", *KINDS, "answers", "choices", "split", "group")
ROLES = ("question", "answer", "answers", "choices", "split", "group")
OTHER_NAMES = {
    "question": ("prompt", "instruction", "query", "question_text"),
    "answer": ("multiple_choice_answer", "target", "response", "output"),
    "label": ("labels", "label_name", "class", "class_name", "category"),
    "caption": ("captions", "text", "description", "sentence", "sentences"),
    "answers": (),
    "choices": ("options", "candidates"),
    "split": ("subset", "partition"),
    "group": ("groups", "speaker", "speaker_id", "patient", "patient_id", "subject_id"),
}
MEDIA_NAMES = {
    "image": ("img", "picture", "photo", "pixel_values"),
    "audio": ("sound", "wav", "speech"),
    "video": ("clip", "movie"),
    "series": ("signal", "time_series", "timeseries"),
    "graph": ("smiles", "molecule"),
}
ANY_FILE = ("file_name", "filename", "file", "file_path", "filepath", "path")


@dataclass(frozen=True)
class Columns:
    """What the columns stand for; None where there is none.

    media   modality -> column
    kind    what the answers are: "answer", "label" or "caption"
    group   where rows of one speaker, patient or place are to stay on one side of every split
    """

    media: Mapping[str, str]
    kind: str
    answer: str | None
    answers: str | None
    question: str | None
    choices: str | None
    split: str | None
    group: str | None

    def by_role(self) -> dict[str, str]:
        """Column by what it stands for, for people."""
        plain = {name: getattr(self, name) for name in ROLES}
        return {**self.media, **{name: column for name, column in plain.items() if column is not None}}


def map_columns(
    fields: Sequence[str],
    modalities: Iterable[str],
    where: str,
    *,
    given: Mapping[str, str] | None = None,
    modality_of: Callable[[str], str | None] = lambda column: None,
) -> Columns:
    """What each column stands for.

    given: columns by what they stand for, as the user says; they come before any name.
    modality_of: the modality of a column of files whose name does not tell.
    Raises UserError for a role or column there is not, for two columns that could be the same, and where
    there is no column of answers or of media.
    """
    known = list(modalities)
    given = dict(given or {})
    _check_given(given, known, fields, where)
    free = [name for name in fields if name not in given.values()]
    found: dict[str, str] = dict(given)
    for role in PLAIN:
        if role not in found and not (role in (*KINDS, "answers") and given.keys() & {*KINDS, "answers"}):
            column = _one(role, (role,), OTHER_NAMES[role], free, where)
            if column is not None:
                found[role] = column
    media = {name: found[name] for name in known if name in found}
    for name in known:
        column = None if name in media else _one(name, (name, f"{name}s"), _media_names(name), free, where)
        if column is not None:
            media[name] = column
    if not media:
        media = _any_file(free, known, where, modality_of)
    kind = _kind(found, fields, where)
    if not media:
        raise UserError(
            f"{where} has no column of media. Its columns are: {', '.join(fields)}. Call one "
            f"{' or '.join(known)}, or say which it is: --column {known[0] if known else 'image'}=NAME."
            f"{_near(fields, found, known)}"
        )
    return Columns(
        media=media,
        kind=kind,
        answer=found.get(kind),
        answers=found.get("answers"),
        question=found.get("question"),
        choices=found.get("choices"),
        split=found.get("split"),
        group=found.get("group"),
    )


def _check_given(given: Mapping[str, str], known: Sequence[str], fields: Sequence[str], where: str) -> None:
    roles = [*known, *PLAIN]
    for role, column in given.items():
        if role not in roles:
            raise UserError(
                f"a column cannot stand for {role!r}. There are: {', '.join(roles)}."
                f"{did_you_mean(role, roles)}"
            )
        if column not in fields:
            raise UserError(
                f"{where} has no column {column!r} for the {role}. Its columns are: {', '.join(fields)}."
                f"{did_you_mean(column, fields)}"
            )


def _one(
    role: str, names: Sequence[str], others: Sequence[str], fields: Sequence[str], where: str
) -> str | None:
    """The column with a role's name, else the only one with a usual other name."""
    plain = {name: _plain(name) for name in fields}
    for name in names:
        exact = [column for column in fields if plain[column] == name]
        if exact:
            return exact[0]
    near = [column for column in fields if plain[column] in others]
    if len(near) > 1:
        raise UserError(
            f"in {where} the columns {', '.join(near)} could all be the {role}. "
            f"Say which it is: --column {role}={near[0]}."
        )
    return near[0] if near else None


def _media_names(modality: str) -> list[str]:
    words = (modality, *MEDIA_NAMES.get(modality, ()))
    endings = ("_path", "_file", "_file_name", "_filename", "_filepath")
    names = [*MEDIA_NAMES.get(modality, ()), *(f"{word}{end}" for word in words for end in endings)]
    return [*names, *(f"{end[1:]}_{modality}" for end in ("_path", "_file"))]


def _any_file(
    free: Sequence[str], known: Sequence[str], where: str, modality_of: Callable[[str], str | None]
) -> dict[str, str]:
    """A column of files that does not say of which kind, as Hugging Face's `file_name`."""
    column = _one("file", (), ANY_FILE, free, where)
    if column is None:
        return {}
    found = known[0] if len(known) == 1 else modality_of(column)
    if found is None:
        raise UserError(
            f"{where} has files in the column {column!r}, of which kind its name does not say. "
            f"Say it: --column {known[0] if known else 'image'}={column}. There are: {', '.join(known)}."
        )
    return {found: column}


def _kind(found: Mapping[str, str], fields: Sequence[str], where: str) -> str:
    """What the answers are. Raises UserError where there are none, or two kinds of them."""
    kinds = [kind for kind in KINDS if kind in found]
    if "answer" in kinds or "answers" in found:
        return "answer"
    if len(kinds) > 1:
        first, second = (found[kind] for kind in kinds[:2])
        raise UserError(
            f"in {where} the columns {first!r} and {second!r} could both be the answer. "
            f"Say which it is: --column {kinds[0]}={first} or --column {kinds[1]}={second}."
        )
    if not kinds:
        raise UserError(
            f"{where} has no column of answers. Its columns are: {', '.join(fields)}. Call one answer, label "
            f"or caption, or say which it is: --column answer=NAME.{_near(fields, found, KINDS)}"
        )
    return kinds[0]


def _near(fields: Sequence[str], found: Mapping[str, str], words: Sequence[str]) -> str:
    """The word that a column without a meaning is nearest to, as the end of a sentence."""
    hints = (did_you_mean(name, words) for name in fields if name not in found.values())
    return next((hint for hint in hints if hint), "")


def _plain(name: str) -> str:
    return re.sub(r"[\s\-]+", "_", name.strip().lower())
