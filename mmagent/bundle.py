"""A bundle: one self-describing directory that says which core, which senses, how trained and how good.

    bundle.json              the manifest: names, settings, scores, and the sha256 of every file
    README.md                the card, for people
    core/                    the core, unless the manifest names another by path or hub id
    core-adapter.safetensors what is built into the core, where it bends (LoRA)
    <sense>/encoder/         the sense's encoder, unless named by path or hub id
    <sense>/adapter.safetensors, <sense>/memory.safetensors
    <sense>/shots.safetensors, <sense>/shots.json

A bundle is checked before anything is read from it (`Bundle.open`) and appears whole or not at all
(`Bundle.write`). Nothing here imports torch before tensors are asked for.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mmagent.adapter import AdapterFamily
from mmagent.errors import UserError, did_you_mean
from mmagent.files import inside, list_files, staged, verify
from mmagent.manifest import FORMAT, MANIFEST, AdapterEntry, Manifest, Sense, read_manifest
from mmagent.outside import named_outside
from mmagent.source import BundleSource as BundleSource
from mmagent.tensors import load_strictly, read_tensors, write_tensors

if TYPE_CHECKING:
    from torch import Tensor, nn

    Part = Path | bytes | str | Mapping[str, Tensor]

CARD = "README.md"
CORE_ADAPTER = "core-adapter.safetensors"


@dataclass(frozen=True)
class Bundle(Manifest):
    """An opened bundle: what its manifest says, checked, and the directory it is in."""

    path: Path

    @classmethod
    def open(cls, path: str | Path, *, check_content: bool = True) -> Bundle:
        """The bundle in a directory, every listed file verified by size and sha256.

        A large file's hash is remembered in the user's cache directory until its size or times change.
        `check_content=False` looks at names and sizes only, as a listing does. Raises `UserError`.
        """
        directory = Path(path)
        manifest = read_manifest(directory)
        what = f"bundle {manifest.name!r}"
        verify(directory, manifest.files, what=what, check_content=check_content)
        for name in manifest.weight_files():
            if name not in manifest.files:
                raise UserError(
                    f'{what} uses {name}, but "files" in its {MANIFEST} lists no checksum for it. '
                    "Write the bundle with Bundle.write, which lists every file."
                )
        if idle := manifest.idle_weights(directory):
            raise UserError(
                f"{what} lists {idle[0]}, and no entry of its {MANIFEST} uses it: what was trained would be "
                f'left out in silence. Fetch the bundle again, or take the file out of "files".'
            )
        return cls(**vars(manifest), path=directory)

    @classmethod
    def write(
        cls,
        directory: str | Path,
        manifest: Mapping[str, Any],
        parts: Mapping[str, Part],
        *,
        card: str,
        replace: bool = False,
    ) -> Bundle:
        """Write a bundle, whole or not at all, and open it.

        `manifest` is bundle.json without "format", "files" and "outside", which are filled in. `parts` maps
        names inside the bundle to what is put there: a file or directory to copy (a Path), bytes, text, or a
        mapping of tensors (saved as safetensors). Everything is written and verified aside, then renamed into
        place;
        `replace` allows an existing bundle to be replaced. Raises `UserError`.
        """
        target = Path(directory)
        with staged(target, marker=MANIFEST, replace=replace) as staging:
            for name, content in parts.items():
                _put(staging / inside(name, "parts"), content)
            (staging / CARD).write_text(card, encoding="utf-8")
            files = {
                name: file.as_json() for name, file in list_files(staging, without=(MANIFEST, CARD)).items()
            }
            outside = named_outside(manifest, list(files))
            whole = {"format": FORMAT, **manifest, "files": files} | ({"outside": outside} if outside else {})
            text = json.dumps(whole, indent=2, ensure_ascii=False)
            (staging / MANIFEST).write_text(text + "\n", encoding="utf-8")
            cls.open(staging)
        return cls.open(target)

    @property
    def size(self) -> int:
        """Bytes of all listed files."""
        return sum(file.bytes for file in self.files.values())

    def card(self) -> str:
        """The model card (README.md), or the description where there is none."""
        file = self.path / CARD
        return file.read_text(encoding="utf-8") if file.is_file() else self.description

    def demand_same(self, place: str, what: str) -> None:
        """Raise `UserError` unless what lies outside at a place is what the bundle was written with."""
        from mmagent.outside import demand_same

        demand_same(self.outside, place, f"bundle {self.name!r}: its {what}")

    def sense(self, name: str) -> Sense:
        """The sense for a modality. Raises `UserError` with the senses there are."""
        if name in self.senses:
            return self.senses[name]
        there = ", ".join(self.senses) or "none"
        near = did_you_mean(name, self.senses)
        raise UserError(f"bundle {self.name!r} has no sense for {name!r}. Its senses: {there}.{near}")

    def load_adapter(
        self, sense: str, plugins: AdapterSource, d_encoder: int, d_core: int, *, trainable: bool = False
    ) -> nn.Module:
        """The trained adapter of a sense, in eval mode, on the CPU; frozen unless `trainable`.

        Strict: a family nobody brings, and missing, unexpected or differently shaped tensors, are a
        `UserError`; weights are never left at their random start.
        """
        entry = self.sense(sense).adapter
        if entry is None:
            raise UserError(
                f"bundle {self.name!r} has no adapter for {sense!r}; it serves the shot memory only."
            )
        family = self.family(entry, plugins)
        if family.into_core:
            raise UserError(
                f"bundle {self.name!r} names the adapter family {family.name!r} for {sense!r}, which goes "
                f'into a core. It belongs under "core" in {MANIFEST}.'
            )
        module: nn.Module = plugins.resolve(family.build)(entry.config, d_encoder, d_core)
        load_strictly(module, self.path / entry.weights)
        return module.eval().requires_grad_(trainable)

    def family(self, entry: AdapterEntry, plugins: AdapterSource) -> AdapterFamily:
        """The family of an adapter. Raises `UserError` where nobody brings it, with those there are."""
        if entry.family in plugins.adapters:
            return plugins.adapters[entry.family]
        near = did_you_mean(entry.family, plugins.adapters)
        raise UserError(
            f"bundle {self.name!r} needs the adapter family {entry.family!r}, which no plugin brings. "
            f"There are: {', '.join(plugins.adapters) or 'none'}.{near} Install what brings it."
        )

    def load_memory(self, sense: str) -> dict[str, Any]:
        """Settings of the shot memory of a sense: numbers as they stand, named tensors loaded.

        In the manifest a text value names a tensor in `<sense>/memory.safetensors`, or in the file under the
        entry `weights`. Raises `UserError` where a tensor is missing.
        """
        entry = self.sense(sense)
        names = entry.tensor_names()
        tensors = read_tensors(self.path / entry.memory_file) if names else {}
        lost = [name for name in names.values() if name not in tensors]
        if lost:
            raise UserError(
                f"bundle {self.name!r}: {entry.memory_file} holds no tensor {lost[0]!r}. "
                f"It holds: {', '.join(tensors)}."
            )
        return {**entry.memory, **{key: tensors[name] for key, name in names.items()}}


class AdapterSource(Protocol):
    """What `Bundle.load_adapter` needs of the plugins."""

    @property
    def adapters(self) -> Mapping[str, AdapterFamily]:
        """Adapter families by name."""

    def resolve(self, dotted: str) -> Any:
        """The object that a dotted path names."""


@dataclass(frozen=True)
class BundleInfo:
    """One line of a listing: what there is, where from, how big, how good, and what is wrong with it."""

    name: str
    version: str
    description: str
    path: Path
    origin: str
    bytes: int
    scores: Mapping[str, Any]
    problem: str | None = None


def list_bundles(sources: Mapping[str, BundleSource], here: str | Path = ".") -> list[BundleInfo]:
    """Every bundle that plugins bring, then the user's own in the directory `here`; a broken one says why."""
    return [_info(source) for source in (*sources.values(), *_bundles_in(Path(here)))]


def find_bundle(
    name_or_path: str | Path, sources: Mapping[str, BundleSource], here: str | Path = "."
) -> Path:
    """The directory of a bundle, by registered name, by path, or by its name in the directory `here`.

    A registered name wins over a directory of that name; `./name` means the directory. Raises `UserError`
    with what there is.
    """
    word = str(name_or_path)
    if word in sources:
        return sources[word].directory()
    if not word.strip():
        raise UserError(f"the name of the bundle is empty. {_there_are(sources, _bundles_in(Path(here)))}")
    path = Path(word)
    if path.name == MANIFEST and path.is_file():
        return path.parent
    if (path / MANIFEST).is_file():
        return path
    own = _bundles_in(Path(here))
    for source in own:
        if Path(source.path).name == word or _own_name(source) == word:
            return source.directory()
    if path.is_dir():
        raise UserError(
            f"{word} is a directory without a {MANIFEST}, so no bundle. {_there_are(sources, own)}"
        )
    known = [*sources, *(source.name for source in own)]
    raise UserError(f"no bundle called {word!r}. {_there_are(sources, own)}{did_you_mean(word, known)}")


def _put(target: Path, content: Part) -> None:
    """Write one part of a bundle: a copied path, bytes, text or tensors."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Path):
        if content.is_dir():
            shutil.copytree(content, target, dirs_exist_ok=True)
        elif content.is_file():
            shutil.copyfile(content, target)
        else:
            raise UserError(f"there is no {content} to put into the bundle.")
    elif isinstance(content, bytes):
        target.write_bytes(content)
    elif isinstance(content, str):
        target.write_text(content, encoding="utf-8")
    else:
        write_tensors(target, content)


def _info(source: BundleSource) -> BundleInfo:
    try:
        path = source.directory()
        bundle = Bundle.open(path, check_content=False)
    except UserError as error:
        path = source.path if isinstance(source.path, Path) else Path()
        return BundleInfo(source.name, "", "", path, source.origin, 0, {}, str(error))
    return BundleInfo(
        source.name, bundle.version, bundle.description, path, source.origin, bundle.size, bundle.scores
    )


def _bundles_in(here: Path) -> list[BundleSource]:
    found = sorted(file.parent for file in here.glob(f"*/{MANIFEST}"))
    shown = "./" if here == Path() else f"{here.as_posix()}/"
    return [BundleSource(f"{shown}{path.name}", path, "yours") for path in found]


def _own_name(source: BundleSource) -> str | None:
    try:
        return Bundle.open(source.directory(), check_content=False).name
    except UserError:
        return None


def _there_are(sources: Mapping[str, BundleSource], own: list[BundleSource]) -> str:
    known = [f"{source.name} ({source.origin})" for source in (*sources.values(), *own)]
    return f"There are: {', '.join(known)}." if known else "There are none: install a plugin that brings one."
