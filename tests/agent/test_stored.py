"""A bundle's own shots: they answer as the same shots given by hand, wherever they come from."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmagent.agent import Agent, Request, Shot
from mmagent.answer import Answer
from mmagent.bundle import Bundle
from mmagent.errors import UserError
from mmagent.manifest import MANIFEST
from mmagent.stored import StoredShots, read_stored

Write = Callable[..., Path]
VOTES = {"beta": 20.0, "slope": 20.0, "threshold": 0.6}
WHAT, COLOUR = "What is this?", "Is it red?"


def store(
    base: Path,
    out: Path,
    keys: torch.Tensor,
    answers: Sequence[str],
    questions: Sequence[str | None] | None = None,
    *,
    adapter: bool = True,
    **changed: Any,
) -> Path:
    """A copy of a bundle of vectors that keeps shots with these features, (N, d) or (N, n, d)."""
    raw = json.loads((base / MANIFEST).read_text())
    sense = raw["senses"]["vector"]
    keys = torch.nn.functional.normalize(keys if keys.ndim == 3 else keys[:, None], dim=-1)
    names = [f"{at}.vec" for at in range(len(answers))]
    asked = tuple(questions or [WHAT] * len(answers))
    sense["shots"], parts = StoredShots(keys, asked, tuple(answers), tuple(names)).as_parts("vector")
    sense["memory"] = VOTES
    kept = [file for file in raw["files"] if adapter or not file.endswith("adapter.safetensors")]
    if not adapter:
        del sense["adapter"]
    parts = {**{file: base / file for file in kept}, **parts, **changed}
    for extra in ("format", "files"):
        raw.pop(extra)
    Bundle.write(out, raw, parts, card="# stored\n")
    return out


@pytest.fixture(scope="module")
def known() -> np.ndarray:
    """(12, 16) directions far from each other."""
    return np.random.default_rng(5).normal(size=(12, 16)).astype(np.float32)


ANSWERS = ["dax", "a small blue wug", "blicket", "daxen"] * 3


@pytest.fixture(scope="module")
def place(vector_bundle: Path, known: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store(
        vector_bundle, tmp_path_factory.mktemp("kept") / "kept", torch.from_numpy(known[:8]), ANSWERS[:8]
    )


@pytest.fixture(scope="module")
def keeper(place: Path, plugins: Any) -> Agent:
    return Agent.load(place, plugins=plugins)


@pytest.fixture(scope="module")
def plain(vector_bundle: Path, plugins: Any, tmp_path_factory: pytest.TempPathFactory) -> Agent:
    """The same bundle, and the same votes, without shots of its own."""
    raw = json.loads((vector_bundle / MANIFEST).read_text())
    raw["senses"]["vector"]["memory"] = VOTES
    parts = {file: vector_bundle / file for file in raw["files"]}
    out = tmp_path_factory.mktemp("plain") / "plain"
    Bundle.write(out, {k: v for k, v in raw.items() if k not in ("format", "files")}, parts, card="#\n")
    return Agent.load(out, plugins=plugins)


def by_hand(known: np.ndarray, answers: Sequence[str]) -> list[Shot]:
    return [Shot(answer, WHAT, {"vector": [vector]}) for vector, answer in zip(known, answers, strict=True)]


def near(vector: np.ndarray, seed: int = 0) -> np.ndarray:
    return (vector + 0.15 * np.random.default_rng(seed).normal(size=vector.shape)).astype(np.float32)


def same(one: Any, other: Any) -> None:
    assert isinstance(one, Answer), one
    assert (one.text, one.tokens) == (other.text, other.tokens)
    assert one.confidence == pytest.approx(other.confidence, abs=1e-5)
    assert one.memory_weight == pytest.approx(other.memory_weight, abs=1e-5)
    told = [[(vote.answer, vote.weight) for vote in answer.shots] for answer in (one, other)]
    assert told[0] == [(answer, pytest.approx(weight, abs=1e-4)) for answer, weight in told[1]]


def test_stored_shots_answer_as_the_same_shots_given_by_hand(
    keeper: Agent, plain: Agent, known: np.ndarray
) -> None:
    shots = by_hand(known[:8], ANSWERS[:8])
    for at in range(12):
        for question in (WHAT, "what's this", "Where was it found?"):
            kept = keeper.ask(question, vector=near(known[at]), max_tokens=8)
            given = plain.ask(question, vector=near(known[at]), shots=shots, context_shots=0, max_tokens=8)
            same(kept, given)
    assert keeper.ask(WHAT, vector=near(known[1])).text == "a small blue wug"
    assert keeper.ask(WHAT, vector=near(known[1])).shots[0].source == "1.vec"


def test_batched_is_single(keeper: Agent, known: np.ndarray) -> None:
    requests = [Request(WHAT, {"vector": [near(known[at % 12], at)]}) for at in range(20)]
    requests[3] = Request(COLOUR, requests[3].media)
    requests[7] = Request(WHAT, requests[7].media, by_hand(known[8:9], ["zup"]))
    many = keeper.ask_many(requests, batch_size=7, max_tokens=8)
    for request, answer in zip(requests, many, strict=True):
        same(answer, keeper.ask(request.question, shots=request.shots, max_tokens=8, **request.media))


def test_given_shots_vote_beside_the_stored_ones(keeper: Agent, known: np.ndarray) -> None:
    shots = by_hand(known[9:10], ["zup"])
    assert keeper.ask(WHAT, vector=near(known[9]), shots=shots).text == "zup"
    said = keeper.ask(WHAT, vector=near(known[2]), shots=shots)
    assert (said.text, said.shots_in_context) == ("blicket", 1)


def test_memory_off_is_the_bundle_without_its_shots(keeper: Agent, plain: Agent, known: np.ndarray) -> None:
    for at in range(4):
        silent = keeper.ask(WHAT, vector=near(known[at]), memory=False, max_tokens=6)
        bare = plain.ask(WHAT, vector=near(known[at]), max_tokens=6)
        assert (silent.text, silent.memory_weight, silent.shots) == (bare.text, None, [])
        assert silent.confidence == pytest.approx(bare.confidence, abs=1e-6)


def test_without_a_question_it_is_asked_what_the_shots_were(keeper: Agent, known: np.ndarray) -> None:
    same(keeper.ask(vector=near(known[2])), keeper.ask(WHAT, vector=near(known[2])))


def test_the_order_of_the_rows_does_not_matter(
    keeper: Agent, vector_bundle: Path, plugins: Any, known: np.ndarray, tmp_path: Path
) -> None:
    order = np.random.default_rng(1).permutation(8)
    out = store(vector_bundle, tmp_path / "b", torch.from_numpy(known[order]), [ANSWERS[at] for at in order])
    other = Agent.load(out, plugins=plugins)
    for at in range(12):
        query = near(known[at], 3)
        same(keeper.ask(WHAT, vector=query, max_tokens=8), other.ask(WHAT, vector=query, max_tokens=8))


def test_yes_and_no_do_not_disturb_naming(
    vector_bundle: Path, plugins: Any, known: np.ndarray, tmp_path: Path
) -> None:
    keys = torch.from_numpy(np.concatenate([known[:4], known[:4]]))
    said = [*ANSWERS[:4], "yes", "no", "yes", "no"]
    out = store(vector_bundle, tmp_path / "b", keys, said, [WHAT] * 4 + [COLOUR] * 4)
    agent = Agent.load(out, plugins=plugins)
    for at in range(4):
        assert agent.ask(WHAT, vector=near(known[at])).text == ANSWERS[at]
        assert agent.ask(COLOUR, vector=near(known[at])).text == said[4 + at]
        assert agent.ask("Where was it found?", vector=near(known[at]), max_tokens=3).memory_weight == 0.0


def test_a_shot_without_a_question_answers_whatever_is_asked(
    vector_bundle: Path, plugins: Any, known: np.ndarray, tmp_path: Path
) -> None:
    out = store(vector_bundle, tmp_path / "b", torch.from_numpy(known[:2]), ["dax", "wug"], [None, None])
    agent = Agent.load(out, plugins=plugins)
    assert agent.ask("Where was it found?", vector=near(known[1])).text == "wug"


def test_a_sense_that_has_nothing_but_its_memory(
    vector_bundle: Path, plugins: Any, known: np.ndarray, tmp_path: Path
) -> None:
    keys = torch.from_numpy(known[:4])
    agent = Agent.load(
        store(vector_bundle, tmp_path / "b", keys, ANSWERS[:4], adapter=False), plugins=plugins
    )
    for at in range(4):
        said = agent.ask(WHAT, vector=near(known[at]))
        assert said.text == ANSWERS[at]
        assert said.confidence > 0.5
        assert agent.ask(vector=near(known[at])).text == ANSWERS[at]
    assert agent.ask(WHAT, vector=near(known[0]), choices=["blicket", "dax"]).text == "dax"
    with pytest.raises(UserError, match=r"no adapter for 'vector'.*memory on"):
        agent.ask(WHAT, vector=near(known[0]), memory=False)


def test_shots_of_two_media_answer_questions_about_two(
    vector_bundle: Path, plugins: Any, known: np.ndarray, tmp_path: Path
) -> None:
    pairs = torch.from_numpy(known[:8].reshape(4, 2, 16))
    agent = Agent.load(store(vector_bundle, tmp_path / "b", pairs, ANSWERS[:4]), plugins=plugins)
    for at in range(4):
        both = [near(known[2 * at]), near(known[2 * at + 1])]
        assert agent.ask(WHAT, vector=both).text == ANSWERS[at]
    assert agent.ask(WHAT, vector=near(known[0]), max_tokens=3).memory_weight is None


def test_export_and_import_keep_it(keeper: Agent, tmp_path: Path) -> None:
    from mmagent.travel import export_bundle, import_bundle

    export_bundle(keeper.bundle, tmp_path / "kept.tar")
    back = import_bundle(tmp_path / "kept.tar", tmp_path / "back")
    one, other = (read_stored(bundle, "vector") for bundle in (keeper.bundle, back))
    assert one is not None
    assert other is not None
    assert torch.equal(one.keys, other.keys)
    assert (one.answers, one.questions, one.sources) == (other.answers, other.questions, other.sources)
    assert (tmp_path / "back").is_dir()


@pytest.mark.parametrize("name", ["vector/shots.safetensors", "vector/shots.json"])
def test_a_tampered_memory_is_an_error(
    vector_bundle: Path, known: np.ndarray, tmp_path: Path, plugins: Any, name: str
) -> None:
    out = store(vector_bundle, tmp_path / "b", torch.from_numpy(known[:4]), ANSWERS[:4])
    data = bytearray((out / name).read_bytes())
    data[-9] ^= 1
    (out / name).write_bytes(bytes(data))
    with pytest.raises(UserError, match=f"damaged: {name}"):
        Agent.load(out, plugins=plugins)
    (out / name).unlink()
    with pytest.raises(UserError, match="incomplete"):
        Agent.load(out, plugins=plugins)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"vector/shots.json": '{"format": 1, "shots": [{"answer": ""}]}'}, "no list of shots"),
        ({"vector/shots.json": "[]"}, "no list of shots"),
        ({"vector/shots.safetensors": {"keys": torch.ones(3, 1, 16)}}, r"shape \(3, 1, 16\) for 4 shots"),
        ({"vector/shots.safetensors": {"keys": torch.full((4, 1, 16), torch.nan)}}, "finite"),
        ({"vector/shots.safetensors": {"other": torch.ones(4)}}, "no tensor 'keys'"),
        ({"vector/shots.safetensors": {"keys": torch.ones(4, 1, 5)}}, r"keys of 5 numbers.*make 16"),
    ],
)
def test_a_memory_that_makes_no_sense_is_one_line(
    vector_bundle: Path,
    known: np.ndarray,
    tmp_path: Path,
    plugins: Any,
    changed: dict[str, Any],
    words: str,
) -> None:
    out = store(vector_bundle, tmp_path / "b", torch.from_numpy(known[:4]), ANSWERS[:4], **changed)
    agent = Agent.load(out, plugins=plugins)
    with pytest.raises(UserError, match=words) as told:
        agent.ask(WHAT, vector=near(known[0]))
    assert "\n" not in str(told.value)
    assert agent.ask("can a frog fly?", max_tokens=2).text is not None
