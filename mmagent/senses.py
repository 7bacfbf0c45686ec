"""The senses of an agent: from files to features to prefixes, each input read and encoded once.

Readers, encoders and adapters are loaded when the first input of their kind arrives. What an input became is
kept by its content, so shots that come back with every question cost nothing the second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mmagent.asked import Asked, AskedReader, Listening, listens, same_source
from mmagent.errors import UserError, did_you_mean
from mmagent.memory import MemorySettings
from mmagent.percept import Kept, Percept, Waiting

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mmagent.adapter import Adapter
    from mmagent.bundle import Bundle
    from mmagent.feature_store import FeatureStore
    from mmagent.modality import Encoder, Features, Modality, Reader
    from mmagent.plugins import Plugins
    from mmagent.stored import StoredShots

__all__ = ["Percept", "Senses", "demand_own_core"]

ENCODE_BATCH = 32


@dataclass(frozen=True)
class _Sense:
    """One sense, awake; where it listens, reader and encoder are those of `Asked` inputs."""

    reader: Reader
    encoder: Encoder
    adapter: Adapter | None
    adapter_id: str
    memory: MemorySettings
    of_words: bool = False

    @property
    def listens(self) -> bool:
        """Whether it hears the question."""
        return isinstance(self.encoder, Listening)


class Senses:
    """All senses of a bundle; `perceive` is the one way in."""

    def __init__(
        self,
        bundle: Bundle,
        plugins: Plugins,
        *,
        device: torch.device,
        d_core: int,
        trust_remote_code: bool = False,
        before_use: Callable[[], None] | None = None,
        spell: Callable[[str], Tensor] | None = None,
    ) -> None:
        """`before_use` is called once, before the first input is encoded, and may raise UserError.

        `spell` turns what an encoder tells in words into the core's embeddings (n, d_core); without it such
        words go unheard.
        """
        self._bundle, self._plugins = bundle, plugins
        self._device, self._d_core, self._trust = device, d_core, trust_remote_code
        self._before_use, self._spell = before_use, spell
        self._readers: dict[str, Reader] = {}
        self._awake: dict[str, _Sense] = {}
        self._stored: dict[str, StoredShots] = {}
        self._known = Kept()
        self._files: dict[tuple[object, ...], str] = {}
        self._store: FeatureStore | None = None

    @contextmanager
    def reading_from(self, store: FeatureStore) -> Iterator[None]:
        """Within this block features come out of `store` where it has them, and go into it where not."""
        before, self._store = self._store, store
        try:
            yield
        finally:
            self._store = before
            store.flush()

    @property
    def modalities(self) -> dict[str, Modality]:
        """The modalities that this bundle has a sense for and a plugin reads."""
        return {name: self._plugins.modalities[name] for name in self._bundle.senses if self._readable(name)}

    def check(self, modality: str) -> None:
        """Raise UserError unless the bundle has this sense and a plugin reads it; it says which there are."""
        senses = list(self._bundle.senses)
        if modality in senses and self._readable(modality):
            return
        if modality in senses:
            raise UserError(
                f"bundle {self._bundle.name!r} has a sense for {modality!r}, but no plugin reads it. "
                "mmagent plugins lists what is installed and what is out."
            )
        there = ", ".join(senses) or "none; it answers questions in words"
        raise UserError(
            f"bundle {self._bundle.name!r} has no sense for {modality!r}. It has: {there}."
            f"{did_you_mean(modality, senses)} mmagent bundles lists the others."
        )

    def perceive(
        self,
        modality: str,
        sources: Sequence[object],
        batch_size: int = ENCODE_BATCH,
        questions: Sequence[str | None] | None = None,
    ) -> list[Percept | UserError]:
        """Read, encode and adapt sources; what cannot be read comes back as the error in its place.

        questions: what is asked of each; it matters to senses that listen, and to no other.

        Inputs are decoded a batch at a time, so thousands of files never lie in memory together.
        """
        try:
            self.check(modality)
            if self._wake(modality).listens:
                sources = [
                    Asked.of(*pair) for pair in zip(sources, questions or [None] * len(sources), strict=True)
                ]
        except UserError as error:
            return [error] * len(sources)
        found: list[Percept | UserError | None] = [None] * len(sources)
        fresh = Waiting()
        for at, source in enumerate(sources):
            known = self._recall(modality, source)
            if known is not None:
                found[at] = known
                continue
            try:
                fingerprint, raw = self._identified(modality, source)
            except UserError as error:
                found[at] = error
                continue
            self._remember_file(modality, source, fingerprint)
            fresh.add(at, fingerprint, raw)
            if len(fresh.raws) >= batch_size:
                self._finish(modality, fresh, found)
        self._finish(modality, fresh, found)
        return cast("list[Percept | UserError]", found)

    def listens(self, modality: str) -> bool:
        """Whether what inputs of a modality become hangs on what is asked; no where there is no sense."""
        try:
            self.check(modality)
            return self._wake(modality).listens
        except UserError:
            return False

    def features(self, modality: str, sources: Sequence[object]) -> Features:
        """The encoder's features of a batch of sources; UserError for the first that cannot be read."""
        self.check(modality)
        sense = self._wake(modality)
        return sense.encoder.encode([sense.reader.load(source) for source in sources])

    def encoder(self, modality: str, location: str | None = None) -> tuple[Reader, Encoder]:
        """The reader of a modality with the bundle's own encoder, or with the one at `location`."""
        import torch

        self.check(modality)
        reader = self._reader(modality)
        if location is None:
            own = self._wake(modality).encoder
            return reader, own.encoder if isinstance(own, Listening) else own
        made = reader.load_encoder(
            location, device=self._device, dtype=torch.float32, trust_remote_code=self._trust
        )
        return reader, made

    def memory_settings(self, modality: str) -> MemorySettings:
        """How this sense's shots are compared."""
        return self._wake(modality).memory

    def stored(self, kind: Sequence[str]) -> StoredShots | None:
        """The bundle's own shots that can be compared with media of these modalities, None where it has none.

        They are read when they are first asked for. Raises UserError where they do not fit the sense.
        """
        if len(set(kind)) != 1 or self._bundle.senses[kind[0]].shots is None:
            return None
        if kind[0] not in self._stored:
            self._stored[kind[0]] = self._read_stored(kind[0])
        found = self._stored[kind[0]]
        return found if found.n_media == len(kind) else None

    def _read_stored(self, modality: str) -> StoredShots:
        from mmagent.stored import read_stored

        found = read_stored(self._bundle, modality)
        assert found is not None
        sense = self._wake(modality)
        d_key = sense.memory.d_key(sense.encoder.d_encoder)
        if found.keys.shape[2] != d_key:
            raise UserError(
                f"bundle {self._bundle.name!r} keeps shots of {modality!r} with keys of "
                f"{found.keys.shape[2]} numbers, and its memory settings make {d_key}. Train it again."
            )
        return found

    def _readable(self, modality: str) -> bool:
        return modality in self._plugins.modalities

    def _reader(self, modality: str) -> Reader:
        if modality not in self._readers:
            make = self._plugins.resolve(self._plugins.modalities[modality].reader)
            self._readers[modality] = cast("Reader", make())
        return self._readers[modality]

    def _wake(self, modality: str) -> _Sense:
        """Load a sense's encoder and adapter, once."""
        import torch

        if modality in self._awake:
            return self._awake[modality]
        if self._before_use is not None and not self._awake:
            self._before_use()
        entry = self._bundle.senses[modality]
        encoder = self._reader(modality).load_encoder(
            entry.encoder, device=self._device, dtype=torch.float32, trust_remote_code=self._trust
        )
        adapter, adapter_id, of_words = None, "", False
        if entry.adapter is not None:
            module = self._bundle.load_adapter(modality, self._plugins, encoder.d_encoder, self._d_core)
            adapter = cast("Adapter", module.to(self._device))
            adapter_id = self._bundle.files[entry.adapter.weights].sha256
            of_words = self._bundle.family(entry.adapter, self._plugins).of_words
        memory = MemorySettings.from_bundle(self._bundle.load_memory(modality))
        reader = self._reader(modality)
        if listens(encoder):
            reader, encoder = AskedReader(reader), Listening(encoder)
        self._awake[modality] = _Sense(reader, encoder, adapter, adapter_id, memory, of_words)
        return self._awake[modality]

    def _identified(self, modality: str, source: object) -> tuple[str, Any]:
        """A content's name with its raw value or, where a store may have its features, with its source."""
        reader = self._wake(modality).reader
        if self._stores(modality):
            from mmagent.feature_store import identified

            return identified(source, reader)
        raw = reader.load(source)
        return reader.fingerprint(raw), raw

    def _stores(self, modality: str) -> bool:
        """Whether features go through the store; those that hang on a question would fill it."""
        return self._store is not None and not self._wake(modality).listens

    def _finish(self, modality: str, fresh: Waiting, found: list[Percept | UserError | None]) -> None:
        """Encode the gathered inputs, each content once, and put what they became in their places."""
        missing = [key for key in fresh.raws if self._known.get((modality, key)) is None]
        made = self._made(modality, {key: fresh.raws[key] for key in missing}) if missing else {}
        for at, key in fresh.places:
            percept = made.get(key) or self._known.get((modality, key))
            found[at] = percept
        for key, percept in made.items():
            if isinstance(percept, Percept):
                self._known.put((modality, key), percept)
        fresh.clear()

    def _made(self, modality: str, inputs: Mapping[str, Any]) -> dict[str, Percept | UserError]:
        """What inputs become, by their content, or why they cannot be read."""
        import torch

        sense = self._wake(modality)
        made: dict[str, Percept | UserError] = {}
        with torch.no_grad():
            if self._store is None or not self._stores(modality):
                names, features = list(inputs), sense.encoder.encode(list(inputs.values()))
            else:
                from mmagent.feature_cache.encode import joined
                from mmagent.feature_store import features_through

                found, errors = features_through(self._store, sense.reader, sense.encoder, inputs)
                made.update(errors)
                if not found:
                    return made
                names, features = list(found), joined(list(found.values()))
            made.update(zip(names, self._adapted(modality, names, features), strict=True))
        return made

    def _adapted(self, modality: str, keys: Sequence[str], features: Features) -> Iterator[Percept]:
        """Features of a batch, through the adapter."""
        from mmagent.core import Soft

        sense = self._wake(modality)
        pooled = features.pooled.float().cpu()  # (B, d_encoder)
        prefixes = None
        if sense.adapter is not None and not sense.of_words:
            whole = (part.to(self._device) for part in (features.values, features.mask, features.pooled))
            prefixes = sense.adapter(*whole)  # (B, k, d_core)
        told = features.words if sense.adapter is None or sense.of_words else None
        if sense.of_words and told is None:
            raise UserError(
                f"bundle {self._bundle.name!r} has an adapter for {modality!r} that takes words, and its "
                "encoder tells none. Name the encoder that it was trained for."
            )
        for at, key in enumerate(keys):
            name = f"{modality}:{key}:{sense.encoder.id}:{sense.adapter_id}"
            soft = None if prefixes is None else Soft(prefixes[at].clone(), name)
            if told is not None and self._spell is not None:
                soft = Soft(self._spelt(told[at], sense), f"{name}:{told[at]}")
            yield Percept(modality, key, pooled[at].clone(), soft)

    def _spelt(self, words: str, sense: _Sense) -> Tensor:
        """Words as soft tokens: the core's embeddings of them, through the adapter where it takes words."""
        import torch

        assert self._spell is not None
        spelt = self._spell(f" {words}")  # (n, d_core)
        if sense.adapter is None or not len(spelt):
            return spelt
        there = torch.ones(1, len(spelt), dtype=torch.bool, device=spelt.device)
        return sense.adapter(spelt[None], there, spelt[None])[0].clone()

    def _recall(self, modality: str, source: object) -> Percept | None:
        """What a file became before, if it has not changed since."""
        stamp = _stamp(modality, source)
        fingerprint = self._files.get(stamp) if stamp else None
        return self._known.get((modality, fingerprint)) if fingerprint else None

    def _remember_file(self, modality: str, source: object, fingerprint: str) -> None:
        stamp = _stamp(modality, source)
        if stamp:
            self._files[stamp] = fingerprint


def demand_own_core(bundle: Bundle, core: str | Path) -> None:
    """Raise UserError unless `core` has the very weights that the bundle's adapters were trained for.

    Weights are compared by the checksums that the bundle lists; a core that the bundle only names by hub id
    must be that one.
    """
    from mmagent.files import sha256_of

    place = Path(core)
    inner = Path(bundle.core)
    listed = {}
    if inner.is_dir():
        listed = {
            name: file.sha256
            for name, file in bundle.files.items()
            if name.endswith(".safetensors") and (bundle.path / name).parent == inner
        }
    if listed and place.is_dir():
        there = {sha256_of(file) for file in place.glob("*.safetensors")}
        same = there == set(listed.values())
    elif listed:
        same = False
    else:
        same = str(core) == bundle.core or not inner.is_dir()
    if bundle.core_adapter is not None and not listed:
        same = str(core) == bundle.core
    if not same and bundle.core_adapter is not None:
        raise UserError(
            f"bundle {bundle.name!r} keeps an adapter ({bundle.core_adapter.family}) that was trained inside "
            f"of its own core, and {core} has other weights. Leave --core away."
        )
    if not same:
        senses = ", ".join(bundle.senses)
        raise UserError(
            f"the senses of bundle {bundle.name!r} ({senses}) were trained for its own core, and {core} has "
            "other weights. Leave --core away, or ask in words alone, which any core can answer."
        )


def _stamp(modality: str, source: object) -> tuple[object, ...] | None:
    """What tells a file from its later versions, with what is asked of it; None for what is no file."""
    question = None
    if isinstance(source, Asked):
        source, question = source.source, source.question
    name = same_source(source)
    return (modality, question, *name) if isinstance(name, tuple) else None
