"""The shots of a question, perceived: which stand in the prompt, and the memory that all of them fill.

Shots that the bundle keeps fill the memory beside those that are given; they never stand in the prompt.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mmagent.continuation import AnswerCodec
from mmagent.errors import UserError
from mmagent.memory import MemorySettings, ShotMemory, Vote
from mmagent.request import Request, Shot, in_order
from mmagent.senses import Percept, Senses

if TYPE_CHECKING:
    from torch import Tensor

    from mmagent.stored import StoredShots

__all__ = ["Perceived", "ReadyShot", "ShotSet", "joint_key", "ranked", "signature"]

SettingsOf = Callable[[str], MemorySettings]
StoredOf = Callable[[Sequence[str]], "StoredShots | None"]


@dataclass(frozen=True, eq=False)
class ReadyShot:
    """A shot whose media were read and encoded."""

    shot: Shot
    percepts: Sequence[Percept]


@dataclass(frozen=True, eq=False)
class _Bank:
    """The shots that can be compared with one kind of query, those of the set before those of the bundle.

    places  of the shots in the set;  keys  (N, d_key) of all
    """

    places: list[int]
    keys: Tensor
    settings: MemorySettings
    stored: StoredShots | None


class ShotSet:
    """Shots that several questions may share; what is computed from them is computed once.

    A query is compared with the shots that have media of the same kinds and number. Their keys are the unit
    keys of the single media, one after the other, so that the similarity is the mean over the media.
    """

    def __init__(self, shots: Sequence[ReadyShot], stored_of: StoredOf | None = None) -> None:
        """`stored_of` gives the bundle's own shots for a kind of query; they vote, too."""
        self.shots = list(shots)
        self._stored_of = stored_of or (lambda kind: None)
        self._banks: dict[tuple[str, ...], _Bank | None] = {}
        self._memories: dict[tuple[object, ...], ShotMemory] = {}

    def __len__(self) -> int:
        return len(self.shots)

    def vote(
        self,
        percepts: Sequence[Percept],
        question: str,
        codec: AnswerCodec,
        codec_key: object,
        settings_of: SettingsOf,
        n_shots: int = 0,
    ) -> Vote | None:
        """The memory's vote on a query in whose prompt `n_shots` shots stand; None where none is of its kind.

        Equal `codec_key` means that a codec writes answers in the same way.
        """
        bank = self._bank(signature(percepts), settings_of)
        if bank is None:
            return None
        key = (signature(percepts), codec_key)
        if key not in self._memories:
            shots = [self.shots[place].shot for place in bank.places]
            own = bank.stored
            sources = [self.shots[place].shot.source or f"shot {place + 1}" for place in bank.places]
            self._memories[key] = ShotMemory.build(
                bank.keys,
                [*(shot.question for shot in shots), *(own.questions if own else ())],
                [*(shot.answer for shot in shots), *(own.answers if own else ())],
                codec,
                bank.settings,
                sources=[*sources, *(own.sources if own else ())],
            )
        heard = bank.stored is None and n_shots == len(self.shots)
        return self._memories[key].mixer(joint_key([percepts], settings_of)[0], question, heard)

    def ranking(self, percepts: Sequence[Percept], settings_of: SettingsOf, seed: int) -> list[int]:
        """All shots in the order in which they are put into a prompt that cannot hold them all."""
        bank = self._bank(signature(percepts), settings_of)
        answers = [ready.shot.answer for ready in self.shots]
        if bank is None or not bank.places:
            return ranked(answers, None, seed)
        similarity = [-math.inf] * len(self.shots)
        nearness = bank.keys[: len(bank.places)] @ joint_key([percepts], settings_of)[0]
        for place, value in zip(bank.places, nearness.tolist(), strict=True):
            similarity[place] = value
        return ranked(answers, similarity, seed)

    def _bank(self, kind: tuple[str, ...], settings_of: SettingsOf) -> _Bank | None:
        if kind not in self._banks:
            places = [at for at, ready in enumerate(self.shots) if signature(ready.percepts) == kind]
            stored = self._stored_of(kind) if kind else None
            self._banks[kind] = None
            if kind and (places or stored):
                self._banks[kind] = self._filled(kind, places, stored, settings_of)
        return self._banks[kind]

    def _filled(
        self, kind: tuple[str, ...], places: list[int], stored: StoredShots | None, settings_of: SettingsOf
    ) -> _Bank:
        import torch

        parts = [joint_key([self.shots[place].percepts for place in places], settings_of)] if places else []
        keys = torch.cat([*parts, *([stored.joint_keys] if stored else [])])
        answers = {self.shots[place].shot.answer for place in places} | set(stored.answers if stored else ())
        settings = settings_of(kind[0]).completed(keys, len(answers))
        settings = replace(settings, mean=None, projection=None)  # the keys have them
        return _Bank(places, keys, settings, stored)


class Perceived:
    """The media of many requests and of their shots, each source read once."""

    def __init__(self, senses: Senses, requests: Sequence[Request], batch_size: int) -> None:
        self._found: dict[tuple[str, int], Percept | UserError] = {}
        self._sets: dict[int, ShotSet] = {}
        self._stored_of, self._together = senses.stored, senses.together
        sources: dict[str, dict[int, object]] = {}
        seen: set[int] = set()
        for request in requests:
            fresh = () if id(request.shots) in seen else request.shots
            seen.add(id(request.shots))
            for media in (request.media, *(shot.media for shot in fresh)):
                for modality, items in media.items():
                    sources.setdefault(modality, {}).update((id(item), item) for item in items)
        for modality, items_by_id in sources.items():
            percepts = senses.perceive(modality, list(items_by_id.values()), batch_size)
            self._found.update(
                ((modality, key), percept) for key, percept in zip(items_by_id, percepts, strict=True)
            )

    def of(self, request: Request) -> tuple[Sequence[Percept], ShotSet | None]:
        """What a request and its shots became; raises the error of the first that could not be read."""
        return self._percepts(request), self._shot_set(request)

    def _percepts(self, of: Request | Shot) -> Sequence[Percept]:
        percepts = []
        for modality, item in in_order(of.media):
            found = self._found[modality, id(item)]
            if isinstance(found, UserError):
                raise found
            percepts.append(found)
        return self._together(percepts)

    def _shot_set(self, request: Request) -> ShotSet | None:
        if not request.shots:
            return None
        if id(request.shots) not in self._sets:
            ready = [ReadyShot(shot, self._percepts(shot)) for shot in request.shots]
            self._sets[id(request.shots)] = ShotSet(ready, self._stored_of)
        return self._sets[id(request.shots)]


def signature(percepts: Sequence[Percept]) -> tuple[str, ...]:
    """The modalities of some media, in order: what can be compared with what."""
    return tuple(percept.modality for percept in percepts)


def joint_key(rows: Sequence[Sequence[Percept]], settings_of: SettingsOf) -> Tensor:
    """Unit keys (N, d_key) of N rows of media with one signature."""
    import torch

    columns = []
    for column in zip(*rows, strict=True):
        pooled = torch.stack([percept.pooled for percept in column])  # (N, d_encoder)
        columns.append(settings_of(column[0].modality).keys(pooled))
    return torch.cat(columns, dim=1) / math.sqrt(len(columns))


def ranked(answers: Sequence[str], similarity: Sequence[float] | None, seed: int) -> list[int]:
    """Places of shots, best first: every answer in turn, so that no answer crowds out another.

    With similarities the nearest answers come first, and of each answer its nearest shots (Liu et al. 2022,
    "What makes good in-context examples for GPT-3?"); without, the order is drawn with `seed`. Nearness is
    that of the features: no shot's answer decides whether it is taken. In the prompt the chosen ones keep the
    order in which they were given, so that their places say nothing about the question.
    """
    order = list(range(len(answers)))
    if similarity is None:
        random.Random(seed).shuffle(order)
    else:
        order.sort(key=lambda at: -similarity[at])
    of_answer: dict[str, list[int]] = {}
    for at in order:
        of_answer.setdefault(answers[at], []).append(at)
    rounds = max((len(places) for places in of_answer.values()), default=0)
    return [places[turn] for turn in range(rounds) for places in of_answer.values() if turn < len(places)]
