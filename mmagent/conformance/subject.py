"""A modality with the inputs it is checked on, and what several checks need of it, made once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mmagent.conformance.check import Failed, Skipped
from mmagent.errors import MissingPackageError, MMAgentError, UserError, did_you_mean

if TYPE_CHECKING:
    from mmagent.modality import CheckedReader, Encoder, Features, Modality, Reader
    from mmagent.plugins import PluginInfo, Plugins

__all__ = ["Subject", "python_beside", "subject_of"]

PROBE_SECONDS = 120


class Subject:
    """A modality that is checked.

    modality, plugin  what a plugin registered, and which it is
    samples      sources of inputs: paths, bytes, or objects that the reader takes
    wrong        more sources that the reader must refuse
    location     the encoder that is checked; "" where none is known
    invariances  by a name for people, what must not change a feature
    kept         what one check leaves for another
    """

    def __init__(
        self,
        modality: Modality,
        plugins: Plugins,
        *,
        samples: Sequence[object] = (),
        wrong: Sequence[object] = (),
        encoder: str = "",
        invariances: Mapping[str, Callable[[Any, int], Any]] | None = None,
    ) -> None:
        self.modality, self.plugins = modality, plugins
        self.wrong = tuple(wrong)
        self.location = encoder or modality.encoder or _encoder_of_a_bundle(modality.name, plugins)
        self.kept: dict[str, Any] = {}
        self._samples = tuple(samples)
        self._invariances = dict(invariances or {})
        self._folder = tempfile.TemporaryDirectory(prefix=f"mmagent-{modality.name}-")

    @property
    def folder(self) -> Path:
        """A folder of its own, removed with it."""
        return Path(self._folder.name)

    @cached_property
    def plugin(self) -> PluginInfo:
        """The plugin that brings the modality."""
        return self.plugins.bringer(self.modality.name)

    @cached_property
    def reader(self) -> Reader:
        """The working half."""
        return cast("Reader", self.plugins.resolve(self.modality.reader)())

    @cached_property
    def samples(self) -> tuple[object, ...]:
        """The sources given or, without any, those that the reader makes. Raises `Skipped`."""
        if self._samples:
            return self._samples
        if not callable(getattr(self.reader, "samples", None)):
            raise Skipped("no input to try it on: give --file, or let the reader have `samples`.")
        found = tuple(cast("CheckedReader", self.reader).samples())
        if not found:
            raise Failed("`samples` of the reader gives no source.")
        return found

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The samples that are files or bytes, as files. Raises `Skipped` where there is none."""
        suffix = next(iter(self.modality.extensions), "")
        found = []
        for at, sample in enumerate(self.samples):
            if isinstance(sample, str | Path):
                found.append(Path(sample).resolve())
            elif isinstance(sample, bytes | bytearray):
                found.append(self.folder / f"sample-{at}{suffix}")
                found[-1].write_bytes(sample)
        if not found:
            raise Skipped("no sample is a file or bytes.")
        return tuple(found)

    @cached_property
    def raws(self) -> tuple[Any, ...]:
        """The samples, loaded; one alone stands twice, so that there is a batch."""
        found = tuple(self.reader.load(sample) for sample in self.samples)
        return found if len(found) > 1 else found * 2

    def demand_packages(self) -> None:
        """Raise `MissingPackageError` where a sample is read by a package that is not installed.

        Every check would fail for that one reason. What else is wrong with a sample is the checks' to tell.
        """
        try:
            for sample in self.samples:
                self.reader.load(sample)
        except MissingPackageError:
            raise
        except Exception:
            return

    @cached_property
    def invariances(self) -> dict[str, Callable[[Any, int], Any]]:
        """What the reader declares, and what was given."""
        there = hasattr(self.reader, "invariances")
        return {**(cast("CheckedReader", self.reader).invariances if there else {}), **self._invariances}

    def load_encoder(self, dtype: str = "float32", device: str = "cpu") -> Encoder:
        """A fresh encoder. Raises `Skipped` where no place of one is known."""
        import torch

        if not self.location:
            raise Skipped("the modality names no encoder of its own: give --encoder.")
        return self.reader.load_encoder(
            self.location, device=torch.device(device), dtype=getattr(torch, dtype)
        )

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder in float32 on the CPU."""
        return self.load_encoder()

    @cached_property
    def features(self) -> Features:
        """The features of all samples, as one batch."""
        return self.encoder.encode(self.raws)

    @cached_property
    def core(self) -> Any:
        """A small random core; nothing it says means anything."""
        from mmagent.conformance.core import write_random_core
        from mmagent.core import Core

        write_random_core(self.folder / "core")
        return Core.load(self.folder / "core", device="cpu", dtype="float32")

    @cached_property
    def probe(self) -> dict[str, Any]:
        """What a process of its own found: see `mmagent.conformance.probe`."""
        if not self.location:
            raise Skipped("the modality names no encoder of its own: give --encoder.")
        order = {
            "modality": self.modality.name,
            "encoder": self.location,
            "files": [str(file) for file in self.files],
        }
        done = python_beside("-m", "mmagent.conformance.probe", json.dumps(order), PYTHONHASHSEED="1")
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
            raise Failed(f"a process of its own cannot encode the samples: {last[:300]}")
        return cast("dict[str, Any]", json.loads(done.stdout.splitlines()[-1]))


def python_beside(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run this Python in a process of its own that finds the same packages."""
    path = os.pathsep.join(place for place in sys.path if place)
    environment = {**os.environ, "PYTHONPATH": path, **more}
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        env=environment,
        timeout=PROBE_SECONDS,
        check=False,
    )


def subject_of(name: str, plugins: Plugins, **more: Any) -> Subject:
    """The modality `name`, or the one that the plugin of that name brings; `more` is as `Subject` takes it.

    Raises `UserError` where there is none, and where the plugin is out.
    """
    for problem in plugins.problems:
        if problem.plugin == name and name not in plugins.modalities:
            raise UserError(problem.line())
    if name in plugins.modalities:
        return Subject(plugins.modalities[name], plugins, **more)
    for row in plugins.listing():
        brought = [thing.split()[1] for thing in row.brings if thing.startswith("modality ")]
        if row.name == name and len(brought) == 1:
            return Subject(plugins.modalities[brought[0]], plugins, **more)
        if row.name == name:
            there = (
                f"It brings the modalities {', '.join(brought)}: name one." if brought else "It brings none."
            )
            raise UserError(f"what is checked is a modality, and {name!r} is a plugin. {there}")
    there = ", ".join(plugins.modalities) or "none"
    raise UserError(
        f"no plugin brings a modality called {name!r}. There are: {there}."
        f"{did_you_mean(name, plugins.modalities)} A plugin must be installed before it is checked "
        "(pip install -e its folder)."
    )


def _encoder_of_a_bundle(modality: str, plugins: Plugins) -> str:
    """The encoder that the first bundle with such a sense has; "" where none has."""
    from mmagent.bundle import Bundle

    for source in plugins.bundles.values():
        try:
            bundle = Bundle.open(source.directory(), check_content=False)
        except MMAgentError:
            continue
        if modality in bundle.senses:
            return bundle.senses[modality].encoder
    return ""
