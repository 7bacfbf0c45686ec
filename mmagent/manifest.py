"""bundle.json: what it may say, read with an error for every way in which it can be wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from mmagent.errors import UserError
from mmagent.files import Listed, inside
from mmagent.reading import json_fault

FORMAT = 1
MANIFEST = "bundle.json"

T = TypeVar("T")


@dataclass(frozen=True)
class AdapterEntry:
    """The adapter of a sense or of the core: its family, the family's settings, the file of its tensors."""

    family: str
    config: Mapping[str, Any]
    weights: str


@dataclass(frozen=True)
class ShotsEntry:
    """The shots that a sense remembers: the file of their keys, and the file of what was asked and said."""

    keys: str
    texts: str


@dataclass(frozen=True)
class Sense:
    """One sense of a bundle.

    encoder      a directory or a hub id
    adapter      absent where the sense serves the shot memory only
    memory       settings of the shot memory: numbers, and names of tensors
    memory_file  where those tensors are, relative to the bundle
    shots        shots that vote in every question, if the bundle keeps any
    """

    encoder: str
    adapter: AdapterEntry | None
    memory: Mapping[str, Any]
    memory_file: str
    shots: ShotsEntry | None = None

    def tensor_names(self) -> dict[str, str]:
        """The settings of the shot memory that are tensors, and their names in `memory_file`."""
        return {key: name for key, name in self.memory.items() if isinstance(name, str)}


@dataclass(frozen=True)
class Manifest:
    """The content of bundle.json; places are resolved, nothing is verified yet.

    core         a directory or a hub id
    core_adapter what is built into the core (LoRA); None where it is used as it is
    senses       by modality
    prompts      prompt settings, such as `default_question`
    calibration  `scale` and `bias` of the confidence, or None
    scores       how good it is, by task
    files        every file with its size and sha256, the manifest and the card excepted
    outside      by place, the same of cores and encoders that are named and not held
    """

    name: str
    version: str
    description: str
    core: str
    core_adapter: AdapterEntry | None
    senses: Mapping[str, Sense]
    prompts: Mapping[str, str]
    calibration: Mapping[str, float] | None
    scores: Mapping[str, Any]
    licence: str
    files: Mapping[str, Listed] = field(repr=False)
    outside: Mapping[str, Mapping[str, Listed]] = field(repr=False)

    def weight_files(self) -> list[str]:
        """The files that core and senses name for their weights and shots, relative to the bundle."""
        entries = [self.core_adapter, *(sense.adapter for sense in self.senses.values())]
        adapters = [entry.weights for entry in entries if entry is not None]
        shots = [
            name
            for sense in self.senses.values()
            if sense.shots
            for name in (sense.shots.keys, sense.shots.texts)
        ]
        return (
            adapters + shots + [sense.memory_file for sense in self.senses.values() if sense.tensor_names()]
        )

    def idle_weights(self, directory: Path) -> list[str]:
        """Listed tensors of the bundle in a directory that nothing names.

        What lies in the directory of a core or of a sense's encoder belongs to it, also where the manifest
        names another one.
        """
        named = {*self.weight_files()}
        folders = [Path(self.core), directory / "core"]
        for name, sense in self.senses.items():
            folders += [Path(sense.encoder), directory / name / "encoder"]
        return [
            name
            for name in self.files
            if name.endswith(".safetensors")
            and name not in named
            and not any((directory / name).is_relative_to(folder) for folder in folders)
        ]


def read_manifest(directory: Path) -> Manifest:
    """The manifest of the bundle in a directory. Raises `UserError` naming the file and the entry."""
    file = directory / MANIFEST
    try:
        content = file.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"there is no bundle in {directory}: it holds no {MANIFEST}.") from error
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.") from error
    return parse_manifest(content, directory, str(file))


def parse_manifest(content: bytes, directory: Path, where: str) -> Manifest:
    """The manifest that a bundle.json holds, its places resolved in a directory; `where` names it in errors.

    Raises `UserError`.
    """
    try:
        raw = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{where} is not JSON: {json_fault(error)}. Restore it or fetch the bundle again."
        ) from error
    if not isinstance(raw, dict):
        raise UserError(f"{where} must hold one JSON object. Restore it or fetch the bundle again.")
    return _Entries(raw, where).manifest(directory)


class _Entries:
    """A JSON object that is read entry by entry, each with its type."""

    def __init__(self, raw: Mapping[str, Any], where: str) -> None:
        self.raw = raw
        self.where = where

    def take(self, key: str, kind: type[T], default: T | None = None) -> T:
        """The entry `key`; the default, if one is given, where it is absent."""
        value = self.raw.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            found = "is missing" if value is None else f"is {value!r:.40}"
            raise UserError(f'{self.where}: "{key}" {found}; it must be a JSON {_JSON_NAMES[kind]}.')
        return value

    def part(self, key: str) -> _Entries:
        """The object under `key`."""
        return _Entries(self.take(key, dict), f"{self.where}, {key}")

    def parts(self, key: str) -> dict[str, _Entries]:
        """The object of objects under `key`."""
        named = self.take(key, dict, {})
        inner = _Entries(named, f"{self.where}, {key}")
        return {name: inner.part(name) for name in named}

    def manifest(self, directory: Path) -> Manifest:
        """The whole bundle.json."""
        version = self.take("format", int)
        if version != FORMAT:
            raise UserError(
                f"{self.where} has format {version}; this mmagent reads format {FORMAT}. "
                "Upgrade mmagent, or write the bundle again with this one."
            )
        calibration = self.raw.get("calibration")
        prompts = self.part("prompts") if "prompts" in self.raw else _Entries({}, self.where)
        prompts.take("max_shots", int, 0)
        return Manifest(
            name=self.take("name", str),
            version=self.take("version", str, ""),
            description=self.take("description", str, ""),
            core=_place(directory, self.part("core").take("path", str)),
            core_adapter=self.part("core").adapter_entry(),
            senses={name: entry.sense(directory, name) for name, entry in self.parts("senses").items()},
            prompts=self.take("prompts", dict, {}),
            calibration=None if calibration is None else self.part("calibration").calibration(),
            scores=self.take("scores", dict, {}),
            licence=self.take("licence", str, ""),
            files=self.listed("files"),
            outside={
                place: _Entries(self.take("outside", dict), f"{self.where}, outside").listed(place)
                for place in self.parts("outside")
            },
        )

    def calibration(self) -> dict[str, Any]:
        """Scale and bias, and those of kinds of answers, each a number."""
        for key, value in self.raw.items():
            if isinstance(value, dict):
                self.part(key).calibration()
            elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise UserError(f'{self.where}: "{key}" is {value!r:.40}; it must be a number.')
        return dict(self.raw)

    def listed(self, key: str) -> dict[str, Listed]:
        """The files under `key`, by name."""
        return {
            inside(name, f"{self.where}, {key}"): Listed(entry.take("sha256", str), entry.take("bytes", int))
            for name, entry in self.parts(key).items()
        }

    def sense(self, directory: Path, name: str) -> Sense:
        """One entry of "senses"."""
        memory: dict[str, Any] = self.take("memory", dict, {})
        memory_file = _Entries(memory, f"{self.where}, memory").take(
            "weights", str, f"{name}/memory.safetensors"
        )
        return Sense(
            encoder=_place(directory, self.take("encoder", str)),
            adapter=self.adapter_entry(),
            memory={key: value for key, value in memory.items() if key != "weights"},
            memory_file=inside(memory_file, f"{self.where}, memory"),
            shots=None if self.raw.get("shots") is None else self.part("shots").shots(),
        )

    def shots(self) -> ShotsEntry:
        """The entry "shots" of a sense."""
        return ShotsEntry(*(inside(self.take(key, str), self.where) for key in ("keys", "texts")))

    def adapter_entry(self) -> AdapterEntry | None:
        """The entry "adapter" of a sense or of the core, if there is one."""
        if self.raw.get("adapter") is None:
            return None
        entry = self.part("adapter")
        weights = inside(entry.take("weights", str), entry.where)
        return AdapterEntry(entry.take("family", str), entry.take("config", dict, {}), weights)


_JSON_NAMES: dict[type, str] = {str: "string", int: "integer", dict: "object"}


def _place(directory: Path, word: str) -> str:
    """A directory inside the bundle (or beside it) as a path; anything else, as a hub id, stays as it is."""
    if not word:
        raise UserError(f"{directory / MANIFEST} names an empty place for a core or an encoder.")
    inner = directory / word
    return str(inner) if inner.is_dir() else word
