"""Requests that share shots with few others take turns, so that what the first reads serves the next."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from mmagent import UserError
from mmagent.core import Core, PrefixCache
from mmagent.decoding import SHARED, Job, _independent, batches
from mmagent.request import Request, Shot


def job(index: int, shots: object, length: int = 10) -> Job:
    composed: Any = SimpleNamespace(
        shot_set=shots, n_shots=int(shots is not None), length=length, choices=None, stop=("\n",), drop=""
    )
    return Job(index, composed)


def order(jobs: list[Job], batch_size: int) -> list[list[int]]:
    return [[one.index for one in batch] for batch in batches(jobs, batch_size)]


def test_the_first_of_each_come_first():
    sets = [object() for _ in range(3)]
    jobs = [job(at, sets[at // 3], length=20 - at // 3) for at in range(9)]
    assert order(jobs, 3) == [[6, 3, 0], [7, 4, 1], [8, 5, 2]]


def test_many_that_share_stay_together():
    many, few = object(), object()
    jobs = [job(at, many if at % 2 else few) for at in range(4)]
    jobs += [job(at, many) for at in range(4, 4 + SHARED)]
    kept = order(jobs, 4)
    assert [0, 2] in kept
    assert all({0, 2}.isdisjoint(batch) or batch == [0, 2] for batch in kept)


def test_batches_that_read_their_shots_hold_no_more_tokens_than_fit():
    sets = [object() for _ in range(6)]
    jobs = [job(at, sets[at // 2], length=100) for at in range(12)]
    cut = [[one.index for one in batch] for batch in batches(jobs, 6, 200)]
    assert cut == [[0, 2], [4, 6], [8, 10], [1, 3, 5, 7, 9, 11]]  # the last finds them read
    assert [len(batch) for batch in batches(jobs, 6, 50)] == [1] * 6 + [6]


def test_batches_go_together_unless_one_waits_for_what_another_one_reads():
    a, b, c, d = ([job(at, shots) for at in range(2)] for shots in (object() for _ in range(4)))
    mixed, others = [a[0], b[0]], [c[0], d[0]]
    again, alone = [a[1], b[1]], [job(9, None)]
    assert list(_independent([alone, mixed, others])) == [[alone, mixed, others]]
    assert list(_independent([mixed, others, again])) == [[mixed, others], [again]]
    assert list(_independent([mixed, again, others])) == [[mixed], [again, others]]
    assert list(_independent([alone, a, [a[0]], b])) == [[alone], [a, [a[0]]], [b]]  # read before the workers
    single = [[a[0]], [a[1]]]  # one row says not what is shared: the second waits for the first
    assert list(_independent(single)) == [[single[0]], [single[1]]]


def test_without_shots_length_alone_decides():
    assert order([job(0, None, 9), job(1, None, 7), job(2, None, 8)], 2) == [[1, 2], [0]]


def test_batches_are_of_like_size():
    assert [len(batch) for batch in order([job(at, None) for at in range(10)], 4)] == [4, 3, 3]
    assert [len(batch) for batch in order([job(at, None) for at in range(8)], 4)] == [4, 4]


def test_shots_of_two_questions_are_read_once(agent, vectors):
    cache: PrefixCache = agent._decoder._cache
    requests = []
    for episode in range(4):
        shots = tuple(
            Shot(name, "what?", {"vector": [vectors[8 * episode + at]]})
            for at, name in enumerate(("dax", "blicket") * 3)
        )
        requests += [Request("what?", {"vector": [vectors[8 * episode + at]]}, shots) for at in (6, 7)]
    reused = cache.reused
    together = agent.ask_many(requests, memory=False, max_tokens=4, batch_size=4)
    shots_alone = min(answer.prompt_tokens for answer in together) // 7 * 6
    assert cache.reused - reused >= 4 * (shots_alone - 10)  # the second of each found its shots known
    cache.clear()
    for request, answer in zip(requests, together, strict=True):
        alone = agent.ask_many([request], memory=False, max_tokens=4)[0]
        assert (alone.text, alone.prompt_tokens) == (answer.text, answer.prompt_tokens)
        cache.clear()


def test_shots_that_cannot_be_read_before_cost_no_answer(agent, vectors, monkeypatch):
    shots = tuple(
        Shot(name, "what?", {"vector": [vectors[at]]}) for at, name in enumerate(("dax", "blicket") * 3)
    )
    requests = [Request("what?", {"vector": [vectors[8 + at]]}, shots) for at in range(10)]
    wanted = agent.ask_many(requests, memory=False, max_tokens=4, batch_size=4)
    asked = []

    def refused(self, prompts, cache):
        asked.append(len(prompts))
        raise UserError("too long")

    monkeypatch.setattr(Core, "read_beginning", refused)
    found = agent.ask_many(requests, memory=False, max_tokens=4, batch_size=4)
    assert asked
    assert [one.text for one in found] == [one.text for one in wanted]
