"""Prompts are data: a Jinja template, strict variables, and media that stand between the words.

`render` turns a question, its media, shots and choices into the parts a core reads: text, medium, text ... A
medium is whatever the caller wants back in that place (the agent hands in prefixes; a test may hand in
strings). While the template is rendered, each medium is a private marker that no question can spell, split
out again afterwards.

A misspelt variable is an error that names it and what there is, wherever in the template it stands; so is a
template that leaves out a picture it was given.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mmagent.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from jinja2 import Environment, Template

__all__ = [
    "PromptShot",
    "Rendered",
    "check_template",
    "render",
    "template_names",
    "template_uses",
    "with_article",
]

M = TypeVar("M")
PACKAGE = "mmagent_prompts"
LABELS = {"image": "Picture"}
FIXED = ("choices", "media", "question", "shots")


@dataclass(frozen=True)
class PromptShot(Generic[M]):
    """An answered example as the template sees it; `media` are (modality, medium) pairs in order."""

    question: str
    answer: str
    media: Sequence[tuple[str, M]] = ()


@dataclass(frozen=True)
class Rendered(Generic[M]):
    """What a template made: the parts of the prompt, and how its answers begin and end."""

    parts: list[str | M]
    stop: tuple[str, ...]
    drop: str
    """What is taken off the end of an answer (the full stop of "a dax.")."""
    write_answer: Callable[[str], str]
    """How an answer is written after the prompt, without the leading space: "dax" -> "a dax."."""
    text: str = field(repr=False, default="")
    """The rendered text with ``<image>`` where a medium stands, for people."""


class _Item:
    """One medium inside a template: `.label` ("Picture"), `.modality` ("image"); written out, its marker."""

    def __init__(self, modality: str, marker: str) -> None:
        self.modality = modality
        self.label = LABELS.get(modality, modality.capitalize())
        self._marker = marker

    def __str__(self) -> str:
        return self._marker


class _Group(list[_Item]):
    """All media of one modality: written out, their markers in a row."""

    def __str__(self) -> str:
        return "".join(str(item) for item in self)


@dataclass(frozen=True)
class _ShotView:
    """A shot inside a template."""

    question: str
    answer: str
    media: _Group


_KEY = secrets.token_hex(8)  # a question cannot guess it
_MARKER = re.compile(f"\ue000{_KEY}:(\\d+)\ue001")


def _marker(number: int) -> str:
    """What stands in the text where a medium belongs."""
    return f"\ue000{_KEY}:{number}\ue001"


class _Markers(Generic[M]):
    """Finds the media behind markers: (modality, medium) in the order of their numbers."""

    def __init__(self, media: Sequence[tuple[str, M]]) -> None:
        self._media = media

    def split(self, text: str) -> list[str | M]:
        pieces = _MARKER.split(text)  # text, index, text, index ... text
        parts = [self._media[int(piece)][1] if at % 2 else piece for at, piece in enumerate(pieces)]
        return [part for part in parts if not (isinstance(part, str) and part == "")]

    def plain(self, text: str) -> str:
        return _MARKER.sub(lambda found: f"<{self._media[int(found[1])][0]}>", text)


def template_names() -> list[str]:
    """The templates that come with mmagent, by the names that `--prompt` takes."""
    return sorted(name[:-6] for name in _builtins() if not name.startswith("_"))


def check_template(template: str | Path, modalities: Sequence[str]) -> None:
    """Raise UserError for a template that does not exist, is no Jinja, or uses a variable there never is."""
    name, source = _source(template)
    with _explained(name):
        _compiled(name, source, tuple(sorted((*FIXED, *modalities))))


def template_uses(template: str | Path, variable: str) -> bool:
    """Whether a template mentions a variable, such as ``shots``. Raises UserError for a wrong template."""
    name, source = _source(template)
    with _explained(name):
        return variable in _variables(name, source)


def with_article(text: str) -> str:
    """Put "a" or "an" before a name that has no article yet: dax -> a dax, elephant -> an elephant."""
    if text.split(" ")[0].lower() in {"a", "an", "the", "some"}:
        return text
    return f"{'an' if text[:1].lower() in set('aeiou') else 'a'} {text}"


def render(
    template: str | Path,
    *,
    question: str | None = None,
    media: Sequence[tuple[str, M]] = (),
    shots: Sequence[PromptShot[M]] = (),
    choices: Sequence[str] = (),
    wrap: Callable[[str], str] | None = None,
) -> Rendered[M]:
    """Render a built-in template (by name) or a user's own (by path) into the parts of a prompt.

    `media` are (modality, medium) pairs in order. `wrap` is applied to the whole rendered text before the
    media are put in (the chat template of a core that has one). The prompt never ends in a blank. Raises
    UserError for an unknown template, a misspelt variable, wrong Jinja, or a template that leaves out a
    medium or writes nothing.
    """
    name, source = _source(template)
    asked = (question or "").strip()
    shown = tuple((shot.question, shot.answer, tuple(kind for kind, _ in shot.media)) for shot in shots)
    given = tuple(kind for kind, _ in media)
    module, text = _module(name, source, asked, shown, given, tuple(choices))
    whole = wrap(text) if wrap else text
    stop = getattr(module, "stop", "\n")
    markers = _Markers([*(one for shot in shots for one in shot.media), *media])
    return Rendered(
        parts=markers.split(whole),
        stop=(stop,) if isinstance(stop, str) else tuple(str(one) for one in stop),
        drop=str(getattr(module, "drop", "")),
        write_answer=_answer_writer(module),
        text=markers.plain(whole),
    )


@lru_cache(maxsize=256)
def _module(
    name: str,
    source: str,
    question: str,
    shots: tuple[tuple[str, str, tuple[str, ...]], ...],
    media: tuple[str, ...],
    choices: tuple[str, ...],
) -> tuple[Any, str]:
    """A template rendered with markers in the places of media, and its text; many questions have the same.

    Media are numbered in the order of the shots, then of the question; here only their modalities are known.
    """
    numbers = itertools.count()

    def group(modalities: Iterable[str]) -> _Group:
        return _Group([_Item(modality, _marker(next(numbers))) for modality in modalities])

    views = [_ShotView(asked, answer, group(kinds)) for asked, answer, kinds in shots]
    own = group(media)
    variables: dict[str, Any] = {"question": question, "media": own, "shots": views, "choices": list(choices)}
    for modality in dict.fromkeys(media):
        variables[modality] = _Group([item for item in own if item.modality == modality])
    module = _run(name, source, variables)
    text = str(module).rstrip()
    if not text:
        raise UserError(f"{name} writes an empty prompt. It needs at least {{{{ question }}}} or a medium.")
    placed = {int(index) for index in _MARKER.findall(text)}
    everything = [*(kind for _, _, kinds in shots for kind in kinds), *media]
    for modality in (kind for at, kind in enumerate(everything) if at not in placed):
        raise UserError(
            f"{name} leaves out the {modality} it was given. Write {{{{ {modality} }}}} where it belongs, "
            "or loop over media (and over shot.media for each of the shots)."
        )
    return module, text


def _answer_writer(module: object) -> Callable[[str], str]:
    macro = getattr(module, "answer", None)
    if macro is None:
        return str
    return lambda text: str(macro(text)).strip()


def _source(template: str | Path) -> tuple[str, str]:
    """The name to show and the text of a template, by built-in name or by path."""
    known = template_names()
    if isinstance(template, str) and template in known:
        return f"{template}.jinja", _builtins()[f"{template}.jinja"]
    path = Path(template)
    try:
        return str(template), path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a prompt template: it is not UTF-8 text.") from error
    except OSError as error:
        reason = "a directory" if path.is_dir() else (error.strerror or "not readable").lower()
        raise UserError(
            f"cannot read the prompt template {template} ({reason}). There are: {', '.join(known)}; "
            f"or give a file of your own.{did_you_mean(str(template), known)}"
        ) from error


@lru_cache(maxsize=1)
def _builtins() -> dict[str, str]:
    """The templates that come with mmagent, by file name."""
    files = (entry for entry in resources.files(PACKAGE).iterdir() if entry.name.endswith(".jinja"))
    return {entry.name: entry.read_text(encoding="utf-8") for entry in files}


def _run(name: str, source: str, variables: Mapping[str, Any]) -> Any:
    """Render and return the template's module: its text, and what it set (`stop`, `drop`, `answer`)."""
    with _explained(name):
        return _compiled(name, source, tuple(sorted(variables))).make_module(dict(variables))


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn what Jinja raises into one line that names the template."""
    from jinja2 import TemplateError, TemplateNotFound, TemplateSyntaxError, UndefinedError

    try:
        yield
    except TemplateSyntaxError as error:
        raise UserError(f"{name}, line {error.lineno}: {_ended(error.message or 'no template')}") from error
    except UndefinedError as error:
        raise UserError(f"{name}: {_ended(error.message or 'a name is unknown')}") from error
    except TemplateNotFound as error:
        names = ", ".join(f"{one}.jinja" for one in template_names())
        raise UserError(f"{name} includes {error.name}. What can be included: {names}.") from error
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise UserError(f"{name} cannot be rendered: {_ended(str(error))}") from error


def _ended(sentence: str) -> str:
    """A sentence with one full stop."""
    return sentence if sentence.endswith((".", "?", "!")) else f"{sentence}."


@lru_cache(maxsize=64)
def _variables(name: str, source: str) -> frozenset[str]:
    """The variables that a template uses and does not set itself."""
    from jinja2 import meta

    environment = _environment()
    used = meta.find_undeclared_variables(environment.parse(source, name=name))
    return frozenset(used) - set(environment.globals)


@lru_cache(maxsize=64)
def _compiled(name: str, source: str, known: tuple[str, ...]) -> Template:
    """Compile a template once per set of variables, after checking that it uses no other."""
    for word in sorted(_variables(name, source) - set(known)):
        given = sorted(set(known) - set(FIXED))
        raise UserError(
            f"{name} uses a variable called {word!r}. There are: {', '.join((*FIXED, *given))}"
            f"{'' if given else ' (and image or another modality, where one is given)'}."
            f"{did_you_mean(word, known)}"
        )
    return _environment().from_string(source)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import DictLoader, StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Strict(StrictUndefined):
        """Says which attribute is missing and which there are."""

        @property
        def _undefined_message(self) -> str:
            if isinstance(self._undefined_obj, _Group) and isinstance(self._undefined_name, int):
                count = len(self._undefined_obj)
                return (
                    f"input {self._undefined_name} of a modality is not there; {count} came, counted from 0"
                )
            if not isinstance(self._undefined_obj, _ShotView | _Item):
                return str(super()._undefined_message)
            kind, known = _attributes(self._undefined_obj)
            word = str(self._undefined_name)
            hint = did_you_mean(word, known)
            return f"a {kind} has no {word!r}. There are: {', '.join(known)}{'.' if hint else ''}{hint}"

    environment = ImmutableSandboxedEnvironment(
        undefined=Strict,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
        loader=DictLoader(_builtins()),  # what an include or import may reach
    )
    environment.filters["with_article"] = with_article
    return environment


def _attributes(view: _ShotView | _Item) -> tuple[str, list[str]]:
    if isinstance(view, _ShotView):
        return "shot", ["answer", "media", "question"]
    return "medium", ["label", "modality"]
