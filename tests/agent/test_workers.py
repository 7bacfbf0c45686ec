"""Several batches at once: the same answers in the same order, errors in their places, threads given back."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmagent.agent import Agent, Request
from mmagent.encoding import Encoding
from mmagent.errors import UserError
from mmagent.modality import Features
from mmagent.workers import PATIENCE, Workers

CPU = torch.device("cpu")


@pytest.fixture
def two_cores() -> object:
    """As on a machine where torch takes two threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_results_come_in_order_from_as_many_threads_as_there_are_cores(two_cores: object) -> None:
    meeting = threading.Barrier(2, timeout=10)

    def work(number: int) -> tuple[int, int, str]:
        meeting.wait()  # nobody gets on unless two are at work
        return number, torch.get_num_threads(), threading.current_thread().name

    with Workers(CPU, tasks=6) as workers:
        found = list(workers.map(work, range(6)))
    assert [number for number, _, _ in found] == list(range(6))
    assert {threads for _, threads, _ in found} == {1}
    assert len({name for _, _, name in found}) == 2
    assert torch.get_num_threads() == 2


def test_meanwhile_threads_wait_less_for_each_others_python(two_cores: object) -> None:
    before = sys.getswitchinterval()
    with Workers(CPU, tasks=4) as workers:
        assert set(workers.map(lambda _: sys.getswitchinterval(), range(4))) == {min(before, PATIENCE)}
        with Workers(CPU, tasks=4) as others:
            list(others.map(abs, range(4)))
        assert sys.getswitchinterval() == min(before, PATIENCE)  # the first ones are still at work
    assert sys.getswitchinterval() == before


def test_inputs_are_sent_few_at_first_and_few_at_last(two_cores: object) -> None:
    sent: list[int] = []

    def make(raws: Mapping[str, Any]) -> dict[str, UserError]:
        sent.append(len(raws))
        return {key: UserError(key) for key in raws}

    def sizes(total: int, tasks: int) -> list[int]:
        sent.clear()
        with Encoding(make, Workers(CPU, tasks), most=32, expected=total) as encoding:
            for at in range(total):
                encoding.passed()
                encoding.add(at, str(at), None)
        assert sorted(encoding.made, key=int) == [str(at) for at in range(total)]
        return sorted(sent)

    found = sizes(256, 8)
    assert sum(found) == 256
    assert max(found) == 32
    assert min(found) <= 4
    assert found.count(32) >= 4
    assert sizes(20, 1) == [20]  # one worker gets as many as there are


def test_a_single_task_is_done_where_it_is_given() -> None:
    with Workers(CPU, tasks=1) as workers:
        assert workers.submit(threading.current_thread).result() is threading.current_thread()


def test_the_error_of_a_task_is_raised_and_the_cores_are_given_back(two_cores: object) -> None:
    def work(number: int) -> int:
        if number == 3:
            raise UserError("three is too many.")
        return number

    with pytest.raises(UserError, match="three"), Workers(CPU, tasks=6) as workers:
        list(workers.map(work, range(6)))
    assert torch.get_num_threads() == 2


def test_no_more_is_taken_than_workers_need(two_cores: object) -> None:
    taken = 0

    def items() -> object:
        nonlocal taken
        for number in range(100):
            taken += 1
            yield number

    with Workers(CPU, tasks=100) as workers:
        first = next(workers.map(lambda number: number, items()))
        assert first == 0
        assert taken <= workers.count + 1


def test_answers_of_many_batches_are_those_of_one_at_a_time(
    agent: Agent, vectors: np.ndarray, two_cores: object, tmp_path: Path
) -> None:
    requests = [Request(f"What is {at}?", {"vector": [vectors[at % len(vectors)]]}) for at in range(11)]
    requests[4] = Request("What is this?", {"vector": [tmp_path / "missing.vec"]})
    found = agent.ask_many(requests, batch_size=2, max_tokens=5)
    for at, (request, answer) in enumerate(zip(requests, found, strict=True)):
        if at == 4:
            assert isinstance(answer, UserError)
        else:
            assert not isinstance(answer, UserError)
            assert (
                answer.text == agent.ask(request.question, vector=request.media["vector"], max_tokens=5).text
            )


def test_the_next_inputs_are_read_while_a_batch_is_encoded(
    agent: Agent,
    save_vector: Callable[[Path, np.ndarray], Path],
    monkeypatch: pytest.MonkeyPatch,
    two_cores: object,
    tmp_path: Path,
) -> None:
    read_all = threading.Event()
    files = [save_vector(tmp_path / f"{at}.vec", np.full(16, at + 1.0)) for at in range(4)]
    reader, encoder = (type(one) for one in agent.encoder("vector"))
    load, encode = reader.load, encoder.encode

    def loading(self: Any, source: object) -> Any:
        found = load(self, source)
        if source == files[3]:
            read_all.set()
        return found

    def encoding(self: Any, batch: Sequence[Any]) -> Features:
        assert read_all.wait(10)  # the last file is read before the first batch is done
        return encode(self, batch)

    monkeypatch.setattr(reader, "load", loading)
    monkeypatch.setattr(encoder, "encode", encoding)
    percepts = agent._senses.perceive("vector", files, batch_size=2)
    assert [float(one.pooled[0]) for one in percepts] == [1.0, 2.0, 3.0, 4.0]  # type: ignore[union-attr]


def test_a_file_named_twice_is_read_once(
    agent: Agent,
    save_vector: Callable[[Path, np.ndarray], Path],
    loads: Callable[[], int],
    two_cores: object,
    tmp_path: Path,
) -> None:
    file = save_vector(tmp_path / "one.vec", np.arange(16.0))
    percepts = agent._senses.perceive("vector", [str(file)] * 7, batch_size=2)
    assert len(percepts) == 7
    assert loads() == 1
