"""The senses of an agent: from files to features to prefixes, each input read and encoded once.

Readers, encoders and adapters are loaded when the first input of their kind arrives. What an input became is
kept by its content, so shots that come back with every question cost nothing the second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mmagent.encoding import Encoding
from mmagent.errors import UserError, did_you_mean
from mmagent.joining import joined
from mmagent.memory import MemorySettings
from mmagent.percept import Kept, Percept, file_stamp
from mmagent.sense import Sense

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mmagent.adapter import Adapter
    from mmagent.bundle import Bundle
    from mmagent.feature_store import FeatureStore
    from mmagent.modality import Encoder, Features, Modality, Reader
    from mmagent.plugins import Plugins
    from mmagent.stored import StoredShots
    from mmagent.workers import Workers

__all__ = ["ENCODE_BATCH", "Percept", "Senses", "demand_own_core"]

ENCODE_BATCH = 32  # inputs that one worker encodes at a time


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

        `spell` turns what an encoder tells in words into the core's embeddings (n, d_core).
        """
        self._bundle, self._plugins = bundle, plugins
        self._device, self._d_core, self._trust = device, d_core, trust_remote_code
        self._before_use, self._spell = before_use, spell
        self._readers: dict[str, Reader] = {}
        self._awake: dict[str, Sense] = {}
        self._stored: dict[str, StoredShots] = {}
        self._known = Kept()
        self._files: dict[tuple[str, str | None, str, int, int], str] = {}
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
        self, modality: str, sources: Sequence[object], batch_size: int = ENCODE_BATCH
    ) -> list[Percept | UserError]:
        """Read, encode and adapt sources; what cannot be read comes back as the error in its place.

        Inputs are decoded a batch at a time, so thousands of files never lie in memory together.
        """
        try:
            self.check(modality)
            self._wake(modality)
        except UserError as error:
            return [error] * len(sources)
        found: list[Percept | UserError | None] = [None] * len(sources)
        workers = self._workers(len(sources), batch_size)
        with Encoding(partial(self._made, modality), workers, batch_size, len(sources)) as encoding:
            for at, source in enumerate(sources):
                encoding.passed()
                fingerprint, raw = self._seen_before(modality, source), None
                if fingerprint is None or not (
                    encoding.has(fingerprint) or self._known.get((modality, fingerprint))
                ):
                    try:
                        fingerprint, raw = self._identified(modality, source)
                    except UserError as error:
                        found[at] = error
                        continue
                    self._remember_file(modality, source, fingerprint)
                found[at] = self._known.get((modality, fingerprint))
                if found[at] is None:
                    encoding.add(at, fingerprint, raw)
        for at, key in encoding.places:
            found[at] = encoding.made[key]
        for key, percept in encoding.made.items():
            if isinstance(percept, Percept):
                self._known.put((modality, key), percept)
        return cast("list[Percept | UserError]", found)

    def together(self, percepts: Sequence[Percept]) -> Sequence[Percept]:
        """The percepts of one question: those of senses that were trained together speak of all of them."""
        if len({percept.modality for percept in percepts if percept.joins}) < 2:
            return percepts
        return joined(percepts, self._spoken)

    def supposed_to_be(self, percept: Percept, answer: int) -> Percept:
        """A percept as it were if its input was this one of the answers that it may be."""
        return self._wake(percept.modality).as_if(percept, answer)

    def _spoken(self, percepts: Sequence[Percept], evidence: Tensor) -> Sequence[Percept]:
        """Percepts of one thing, as they speak by what they are evidence for together, (1, e)."""
        [supposed] = self._wake(percepts[0].modality).supposed(evidence)
        found = [self.supposed_to_be(one, supposed.likeliest) for one in percepts]
        return [replace(one, supposed=supposed) for one in found]

    def _workers(self, n_sources: int, batch_size: int) -> Workers:
        """Several at work, unless what they make goes through a store, which takes one after the other."""
        from mmagent.workers import Workers

        tasks = -(-n_sources // max(1, batch_size))
        return Workers(self._device, min(tasks, 1) if self._store is not None else tasks)

    def features(self, modality: str, sources: Sequence[object]) -> Features:
        """The encoder's features of a batch of sources; UserError for the first that cannot be read."""
        self.check(modality)
        reader = self._reader(modality)
        return self._wake(modality).encoder.encode([reader.load(source) for source in sources])

    def encoder(self, modality: str, location: str | None = None) -> tuple[Reader, Encoder]:
        """The reader of a modality with the encoder at `location`, else the bundle's, else its own.

        Raises UserError for a modality that no plugin reads, and where there is no encoder.
        """
        import torch

        place = self.encoder_location(modality, location)
        reader = self._reader(modality)
        if location is None and modality in self._bundle.senses:
            return reader, self._wake(modality).encoder
        made = reader.load_encoder(
            place, device=self._device, dtype=torch.float32, trust_remote_code=self._trust
        )
        return reader, made

    def encoder_location(self, modality: str, location: str | None = None) -> str:
        """Where `encoder` finds the encoder of a modality. Raises UserError where there is none."""
        sense = self._bundle.senses.get(modality)
        if sense is not None or not self._readable(modality):
            self.check(modality)
        own = sense.encoder if sense is not None else self._plugins.modalities[modality].encoder
        if location or own:
            return location or own
        raise UserError(
            f"bundle {self._bundle.name!r} has no sense for {modality!r} yet, and the modality names no "
            "encoder of its own. Give one to train it with: --encoder DIR|ID."
        )

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

    def _wake(self, modality: str) -> Sense:
        """Load a sense's encoder and adapter, once."""
        import torch

        if modality in self._awake:
            return self._awake[modality]
        if self._before_use is not None:
            self._before_use()
            self._before_use = None
        entry = self._bundle.senses[modality]
        encoder = self._reader(modality).load_encoder(
            entry.encoder, device=self._device, dtype=torch.float32, trust_remote_code=self._trust
        )
        self._bundle.demand_same(entry.encoder, f"encoder for {modality}")
        adapter, adapter_id, of_words = None, "", False
        if entry.adapter is not None:
            module = self._bundle.load_adapter(modality, self._plugins, encoder.d_encoder, self._d_core)
            adapter = cast("Adapter", module.to(self._device))
            adapter_id = self._bundle.files[entry.adapter.weights].sha256
            of_words = self._bundle.family(entry.adapter, self._plugins).of_words
        if of_words and not hasattr(encoder, "tell"):
            raise UserError(
                f"bundle {self._bundle.name!r} has an adapter for {modality!r} that takes words, and its "
                "encoder tells none. Name the encoder that it was made for."
            )
        memory = MemorySettings.from_bundle(self._bundle.load_memory(modality))
        reader = self._reader(modality)
        self._awake[modality] = Sense(
            modality, reader, encoder, adapter, adapter_id, memory, of_words, self._device
        )
        return self._awake[modality]

    def rest(self) -> None:
        """Let encoders and adapters go; the next input loads its own again."""
        self._awake.clear()

    def _identified(self, modality: str, source: object) -> tuple[str, Any]:
        """A content's name with its raw value or, where a store may have its features, with its source."""
        reader = self._reader(modality)
        if self._stores(modality):
            from mmagent.feature_store import identified

            return identified(source, reader)
        raw = reader.load(source)
        return reader.fingerprint(raw), raw

    def _made(self, modality: str, inputs: Mapping[str, Any]) -> dict[str, Percept | UserError]:
        """What inputs become, by their content, or why they cannot be read."""
        import torch

        sense = self._wake(modality)
        made: dict[str, Percept | UserError] = {}
        with torch.no_grad():
            if not self._stores(modality):
                names, features = list(inputs), sense.encoder.encode(list(inputs.values()))
            else:
                assert self._store is not None
                from mmagent.feature_store import features_through
                from mmagent.features import joined

                found, errors = features_through(self._store, sense.reader, sense.encoder, inputs)
                made.update(errors)
                if not found:
                    return made
                names, features = list(found), joined(list(found.values()))
            if sense.tells:
                made.update(zip(names, sense.told(inputs, features, self._spell), strict=True))
            else:
                made.update(zip(names, sense.adapted(names, features), strict=True))
        return made

    def _stores(self, modality: str) -> bool:
        """Whether features go through the store; words do not, which are made of the raw values."""
        return self._store is not None and not self._wake(modality).tells

    def _seen_before(self, modality: str, source: object) -> str | None:
        """The content of a file that was read before and has not changed since."""
        stamp = file_stamp(modality, source)
        return self._files.get(stamp) if stamp else None

    def _remember_file(self, modality: str, source: object, fingerprint: str) -> None:
        stamp = file_stamp(modality, source)
        if stamp:
            self._files[stamp] = fingerprint


def demand_own_core(bundle: Bundle, core: str | Path) -> None:
    """Raise UserError unless `core` has the very weights that the bundle's adapters were trained for.

    Weights are compared by the checksums that the bundle lists, of a core that it only names, too; where it
    lists none, the core must have that name.
    """
    from mmagent.outside import checksums

    inner = Path(bundle.core)
    listed = bundle.outside.get(bundle.core) or {
        Path(name).name: file for name, file in bundle.files.items() if (bundle.path / name).parent == inner
    }
    wanted = {file.sha256 for name, file in listed.items() if name.endswith(".safetensors")}
    there = checksums(str(core)) if wanted else {}
    if wanted:
        same = wanted == {file.sha256 for name, file in there.items() if name.endswith(".safetensors")}
    else:
        same = str(core) == bundle.core
    if same:
        return
    if bundle.core_adapter is not None:
        raise UserError(
            f"bundle {bundle.name!r} keeps an adapter ({bundle.core_adapter.family}) that was trained inside "
            f"of its own core, and {core} has other weights. Leave --core away."
        )
    senses = ", ".join(bundle.senses)
    raise UserError(
        f"the senses of bundle {bundle.name!r} ({senses}) were trained for its own core, and {core} has "
        "other weights. Leave --core away, or ask in words alone, which any core can answer."
    )
