"""An agent: a bundle, awake. It perceives, remembers shots, asks its frozen core, and says how sure it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmagent.answer import Answer
from mmagent.asked import requests_asked
from mmagent.compose import Composed, Composer, Options
from mmagent.decoding import Decoder, Job, batches
from mmagent.errors import UserError, did_you_mean
from mmagent.request import Request, Shot, as_shot, sources_of
from mmagent.senses import ENCODE_BATCH, Senses, demand_own_core
from mmagent.shots import read_shots
from mmagent.shotset import Perceived

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mmagent.bundle import Bundle
    from mmagent.core import ChoiceScore, Core, Soft
    from mmagent.feature_store import FeatureStore
    from mmagent.modality import Encoder, Features, Reader
    from mmagent.plugins import Plugins

__all__ = ["Agent", "Request", "Shot"]

ShotsLike = str | Path | Sequence[Shot | Mapping[str, Any]] | None
"""A file or folder of shots, or shots one by one; None for none."""

_OPTIONS = ("shots", "choices", *(option.name for option in fields(Options)), "on_text")


class Agent:
    """A bundle, awake: core, senses, prompts. Not for use by two threads at once.

    bundle, core: what was loaded; `core.assert_frozen()` holds at all times.
    """

    def __init__(
        self,
        bundle: Bundle,
        core: Core,
        plugins: Plugins,
        *,
        trust_remote_code: bool = False,
        before_use: Callable[[], None] | None = None,
    ) -> None:
        """Wake a bundle that was opened and a core that was loaded; `Agent.load` does both.

        The core gets the adapter that the bundle keeps for it, and must have no other. Raises UserError.
        """
        from mmagent.core import PrefixCache
        from mmagent.core_adapter import wake

        wake(bundle, core, plugins)
        self.bundle, self.core, self.plugins = bundle, core, plugins
        self._senses = Senses(
            bundle,
            plugins,
            device=core.device,
            d_core=core.d_core,
            trust_remote_code=trust_remote_code,
            before_use=before_use,
            spell=self._spelt,
        )
        self._composer = Composer(core, bundle, self._senses)
        self._decoder = Decoder(core, bundle, PrefixCache())

    @classmethod
    def load(
        cls,
        bundle: str | Path = "tiny",
        *,
        core: str | Path | None = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        load_in: str | None = None,
        trust_remote_code: bool = False,
        plugins: Plugins | None = None,
    ) -> Agent:
        """Load a bundle by name or path.

        `core` puts another core in the place of the bundle's own; it answers questions in words, and
        questions with media only if it has the very weights that the bundle's adapters were trained for. A
        bundle that keeps an adapter for the core itself takes only a core of those weights.
        `load_in` "8bit" or "4bit" quantises the core; adapters stay as they are.
        Raises UserError for an unknown or damaged bundle, core, device or dtype.
        """
        from mmagent.bundle import Bundle, find_bundle
        from mmagent.plugins import load_plugins

        if core is not None and not str(core).strip():
            raise UserError(
                "the name of the core is empty. Name a directory or a hub id, or none for the bundle's own."
            )
        plugins = plugins or load_plugins()
        opened = Bundle.open(find_bundle(bundle, plugins.bundles))
        if core is not None and opened.core_adapter is not None:
            demand_own_core(opened, core)
        from mmagent.core import Core

        loaded = Core.load(
            opened.core if core is None else core,
            device=device,
            dtype=dtype,
            load_in=load_in,
            trust_remote_code=trust_remote_code,
        )
        before_use = None
        if core is None:
            opened.demand_same(opened.core, "core")
        if core is not None:

            def before_use() -> None:
                demand_own_core(opened, core)

        return cls(opened, loaded, plugins, trust_remote_code=trust_remote_code, before_use=before_use)

    @property
    def modalities(self) -> list[str]:
        """What this agent has senses for."""
        return list(self._senses.modalities)

    def ask(
        self,
        question: str | None = None,
        *,
        shots: ShotsLike = (),
        choices: Sequence[str] | None = None,
        memory: bool = True,
        prompt: str | Path | None = None,
        max_tokens: int = 48,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        context_shots: int | None = None,
        on_text: Callable[[str], None] | None = None,
        **media: object,
    ) -> Answer:
        """Ask one question, or describe what is given where there is none.

        Args:
            question: as a person would type it. shots: answered examples: a .jsonl or .csv file, a folder
            with one folder per answer, or a list of `Shot`s
                or mappings such as ``{"image": "a.png", "answer": "dax"}``.
            choices: score these answers instead of generating one. memory: whether near shots, those given
            and those the bundle keeps, vote for their answers. prompt: a template by name (caption, vqa,
            fewshot, naming, choices) or a file of your own. max_tokens: the longest answer. temperature: 0
            takes the likeliest token; above, tokens are drawn, by `top_p` and `seed`. top_p: draw from the
            likeliest tokens that together have this probability. seed: of the draw, and of the choice of
            shots where they cannot be compared with the question. context_shots: at most so many shots stand
            in the prompt (0: memory alone); default 32, or as many as fit. on_text: called with pieces of the
            answer as they become certain. media: sources by modality: ``image="x.jpg"`` or a list of them.

        Raises UserError for what cannot be read, and for a modality that the bundle has no sense for.
        """
        for name in media:
            if name not in self.plugins.modalities and (near := did_you_mean(name, _OPTIONS)):
                raise UserError(f"ask has no option {name!r}, and no plugin reads it.{near}")
        given = {name: sources_of(value) for name, value in media.items() if value is not None}
        request = Request(question, {k: v for k, v in given.items() if v}, self.shots(shots), choices)
        options = Options(memory, prompt, max_tokens, temperature, top_p, seed, context_shots)
        answer = next(iter(self._answers([request], options, 1, on_text, None).values()))
        if isinstance(answer, UserError):
            raise answer
        return answer

    def ask_many(
        self,
        requests: Sequence[Request],
        *,
        batch_size: int = 64,
        progress: Callable[[int, int], None] | None = None,
        memory: bool = True,
        prompt: str | Path | None = None,
        max_tokens: int = 48,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        context_shots: int | None = None,
    ) -> list[Answer | UserError]:
        """Ask many questions at once; answers come in the order of the requests and equal those of `ask`.

        What is wrong with one request comes back in its place and stops no other. `progress(done, total)` is
        called after each batch. Requests that share the very same `shots` object share what is computed from
        it.
        """
        options = Options(memory, prompt, max_tokens, temperature, top_p, seed, context_shots)
        found = self._answers(requests, options, max(1, batch_size), None, progress)
        return [found[at] for at in range(len(requests))]

    def likelihoods(
        self,
        requests: Sequence[Request],
        answers: Sequence[str],
        *,
        batch_size: int = 32,
        progress: Callable[[int, int], None] | None = None,
        memory: bool = True,
        prompt: str | Path | None = None,
        seed: int = 0,
        context_shots: int | None = None,
    ) -> list[ChoiceScore | UserError]:
        """How probable a given answer to each request is: what a perplexity is made of.

        The prompts are those of `ask_many`. What is wrong with one request comes back in its place.
        """
        options = Options(memory, prompt, seed=seed, context_shots=context_shots)
        self._composer.check(options)
        jobs, errors = self._composed(requests, options, batch_size)
        found: dict[int, ChoiceScore | UserError] = {**errors}
        for batch in batches(jobs, batch_size):
            found.update(self._decoder.likelihood(batch, answers))
            if progress is not None:
                progress(len(found), len(requests))
        return [found[at] for at in range(len(requests))]

    def read(
        self,
        request: Request,
        *,
        memory: bool = True,
        prompt: str | Path | None = None,
        seed: int = 0,
        context_shots: int | None = None,
    ) -> Composed:
        """What the core reads for a request, media and shots in their places. Raises UserError."""
        [found] = self.read_many(
            [request], memory=memory, prompt=prompt, seed=seed, context_shots=context_shots
        )
        if isinstance(found, UserError):
            raise found
        return found

    def read_many(
        self,
        requests: Sequence[Request],
        *,
        batch_size: int = 32,
        memory: bool = True,
        prompt: str | Path | None = None,
        seed: int = 0,
        context_shots: int | None = None,
    ) -> list[Composed | UserError]:
        """What the core reads for each request, as `ask_many` asks it, or what is wrong with it."""
        options = Options(memory, prompt, seed=seed, context_shots=context_shots)
        self._composer.check(options)
        jobs, errors = self._composed(requests, options, batch_size)
        found: dict[int, Composed | UserError] = {**errors} | {job.index: job.composed for job in jobs}
        return [found[at] for at in range(len(requests))]

    def shots(self, shots: ShotsLike) -> Sequence[Shot]:
        """Shots from a file, a folder, or one by one; what `ask` does with its `shots`. Raises UserError."""
        if isinstance(shots, str | Path):
            return read_shots(shots, self._senses.modalities)
        return [as_shot(shot, self._senses.modalities, at) for at, shot in enumerate(shots or (), start=1)]

    def features(self, modality: str, sources: Sequence[object]) -> Features:
        """The encoder's features of sources: what training and the shot memory see. Raises UserError."""
        return self._senses.features(modality, sources)

    def memory_keys(self, modality: str, sources: Sequence[object]) -> Tensor:
        """(N, d_key) what the shot memory compares sources by: unit vectors, the bundle's whitening applied.

        Each source is encoded once; questions about it, and shots, find it known. Raises UserError.
        """
        import torch

        percepts = []
        for percept in self._senses.perceive(modality, sources):
            if isinstance(percept, UserError):
                raise percept
            percepts.append(percept.pooled)
        return self._senses.memory_settings(modality).keys(torch.stack(percepts))

    def encoder(self, modality: str, location: str | None = None) -> tuple[Reader, Encoder]:
        """What reads and what encodes a modality: the encoder at `location`, else the bundle's own.

        Of a modality that the bundle has no sense for, the encoder that the modality names. Raises UserError
        where there is none, and for one that does not load.
        """
        return self._senses.encoder(modality, location)

    def encoder_location(self, modality: str, location: str | None = None) -> str:
        """The directory, hub id or word by which `encoder` finds an encoder. Raises UserError."""
        return self._senses.encoder_location(modality, location)

    def rest(self) -> None:
        """Let the senses' encoders and adapters go, and their memory with them; the next input loads them."""
        self._senses.rest()

    def reading_from(self, store: FeatureStore) -> AbstractContextManager[None]:
        """Within this block features come out of a `FeatureCache` where it has them, and go into it where

        with agent.reading_from(FeatureCache()): agent.ask_many(...)
        """
        return self._senses.reading_from(store)

    def prefix(self, modality: str, source: object) -> Soft:
        """The prefix that stands in the prompt for a source. Raises UserError."""
        percept = self._senses.perceive(modality, [source])[0]
        if isinstance(percept, UserError):
            raise percept
        if percept.soft is None:
            raise UserError(
                f"bundle {self.bundle.name!r} has no adapter for {modality!r}, so it makes no prefix."
            )
        return percept.soft

    def compose(
        self,
        request: Request,
        modality: str | Sequence[str],
        prefixes: Sequence[Soft],
        *,
        prompt: str | None = None,
    ) -> Composed:
        """What the core reads for a request whose media are given as prefixes already, shots aside.

        modality: of all prefixes, or of each, in the order of `request.in_order`. Training and inspection see
        through this the very prompt that `ask` makes. `prompt`: a template that is used in any case. Raises
        UserError.
        """
        import torch

        from mmagent.senses import Percept

        of_each = [modality] * len(prefixes) if isinstance(modality, str) else modality
        empty = torch.zeros(0)
        percepts = [Percept(one, soft.key, empty, soft) for one, soft in zip(of_each, prefixes, strict=True)]
        return self._composer.compose(request, percepts, None, Options(memory=False, prompt=prompt))

    def _answers(
        self,
        requests: Sequence[Request],
        options: Options,
        batch_size: int,
        on_text: Callable[[str], None] | None,
        progress: Callable[[int, int], None] | None,
    ) -> dict[int, Answer | UserError]:
        """Answers and errors by the request's index."""
        self._composer.check(options)
        for number, one in enumerate(requests, start=1):
            if not isinstance(one, Request):
                raise UserError(f"request {number} is {one!r:.60}; it must be a Request.")
        jobs, errors = self._composed(requests, options, batch_size)
        found: dict[int, Answer | UserError] = {**errors}
        for answers in self._decoder.answer_all(jobs, options, batch_size, on_text):
            found.update(answers)
            if progress is not None:
                progress(len(found), len(requests))
        if progress is not None and not jobs:
            progress(len(found), len(requests))
        return found

    def _spelt(self, text: str) -> Tensor:
        from mmagent.core.assemble import spell

        return spell(self.core, text)

    def _composed(
        self, requests: Sequence[Request], options: Options, batch_size: int
    ) -> tuple[list[Job], dict[int, UserError]]:
        """Perceive all media, a batch at a time, and make the prompts; errors by the request's index."""
        start = time.perf_counter()
        requests = requests_asked(requests, self._senses.modalities)
        perceived = Perceived(self._senses, requests, min(batch_size, ENCODE_BATCH))
        encode = (time.perf_counter() - start) / max(1, len(requests))
        jobs: list[Job] = []
        errors: dict[int, UserError] = {}
        for index, request in enumerate(requests):
            start = time.perf_counter()
            try:
                percepts, shots = perceived.of(request)
                composed = self._composer.compose(request, percepts, shots, options)
            except UserError as error:
                errors[index] = error
                continue
            seconds = {"encode": encode, "prompt": time.perf_counter() - start}
            jobs.append(Job(index, composed, seconds))
        return jobs, errors
