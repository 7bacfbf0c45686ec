"""What a user of `Agent` notices: one answer however it was asked, and clear refusals."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from vector_shots import near, shot

from mmagent.agent import Agent, Request, Shot
from mmagent.answer import Answer
from mmagent.core import Generation
from mmagent.errors import UserError

Write = Callable[..., Path]


def mixed_requests(vectors: np.ndarray) -> list[Request]:
    """Requests of every kind, of unlike lengths."""
    shots = [shot(vectors[at], word) for at, word in enumerate(["dax", "a red wug", "blicket"])]
    requests = [
        Request(None, {"vector": [vectors[3]]}),
        Request("What is this?", {"vector": [vectors[4]]}),
        Request("Is it a very large animal that lives in the sea, or is it not?", {"vector": [vectors[5]]}),
        Request("can a frog fly?"),
        Request("Which colour?", {"vector": [vectors[6]]}, choices=["red", "light blue", "a"]),
        Request("What is this?", {"vector": [near(vectors[1])]}, shots),
        Request("What is this?", {"vector": [vectors[7]]}, shots),
        Request("Which is it?", {"vector": [near(vectors[0])]}, shots, ["dax", "a red wug"]),
        Request("Do these two match?", {"vector": [vectors[8], vectors[9]]}),
    ]
    return requests + [Request(f"What is this, number {at}?", {"vector": [vectors[at]]}) for at in range(7)]


@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_batched_is_single(agent: Agent, vectors: np.ndarray, batch_size: int, temperature: float) -> None:
    requests = mixed_requests(vectors)
    options: dict[str, Any] = {"max_tokens": 8, "temperature": temperature, "seed": 5}
    many = agent.ask_many(requests, batch_size=batch_size, **options)
    for request, answer in zip(requests, many, strict=True):
        single = agent.ask(
            request.question, shots=request.shots, choices=request.choices, **options, **request.media
        )
        assert isinstance(answer, Answer)
        assert (answer.text, answer.tokens, answer.prompt_tokens) == (
            single.text,
            single.tokens,
            single.prompt_tokens,
        )
        assert answer.confidence == pytest.approx(single.confidence, abs=1e-5)
        assert answer.memory_weight == single.memory_weight
        assert answer.shots == single.shots


def test_the_order_of_the_requests_changes_nothing(agent: Agent, vectors: np.ndarray) -> None:
    requests = mixed_requests(vectors)
    forward = agent.ask_many(requests, max_tokens=6)
    backward = agent.ask_many(requests[::-1], max_tokens=6)[::-1]
    assert [answer.text for answer in forward] == [answer.text for answer in backward]  # type: ignore[union-attr]


def test_a_bad_request_comes_back_in_its_place(agent: Agent, vectors: np.ndarray, tmp_path: Path) -> None:
    good = Request("What is this?", {"vector": [vectors[0]]})
    bad = Request("What is this?", {"vector": [tmp_path / "none.vec"]})
    unfit = Request("What is this?", {"sound": [vectors[0]]})
    long = Request("so " * 600)
    done: list[tuple[int, int]] = []
    answers = agent.ask_many(
        [good, bad, unfit, good, long, Request()], max_tokens=4, progress=lambda *at: done.append(at)
    )
    kinds = [type(answer) for answer in answers]
    assert kinds == [Answer, UserError, UserError, Answer, UserError, UserError]
    assert "none.vec" in str(answers[1])
    assert "no sense for 'sound'. It has: vector." in str(answers[2])
    assert "512" in str(answers[4])
    assert "nothing to ask" in str(answers[5])
    assert done[-1] == (6, 6)


def test_each_input_is_read_once(
    agent: Agent, tmp_path: Path, save_vector: Write, loads: Callable[[], int]
) -> None:
    rng = np.random.default_rng(7)
    paths = [save_vector(tmp_path / f"{at}.vec", rng.normal(size=16)) for at in range(4)]
    shots = [Shot(name, None, {"vector": [path]}) for name, path in zip("ab", paths[:2], strict=True)]
    agent.ask_many([Request("what?", {"vector": [paths[at]]}, shots) for at in (2, 3, 2)], max_tokens=2)
    assert loads() == 4
    agent.ask("what?", vector=paths[2], shots=shots, max_tokens=2)
    assert loads() == 4
    save_vector(paths[2], rng.normal(size=16) * 100)
    agent.ask("what?", vector=paths[2], max_tokens=2)
    assert loads() == 5


def test_streamed_text_is_the_answer(agent: Agent, vectors: np.ndarray) -> None:
    for options in ({}, {"prompt": "naming"}, {"shots": [shot(vectors[0], "a small blue wug")]}):
        pieces: list[str] = []
        said = agent.ask(vector=near(vectors[0]), on_text=pieces.append, max_tokens=12, **options)
        assert "".join(pieces) == said.text
        assert len(pieces) > 1


def test_a_broken_character_is_left_out(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that never become a character decode to a sign that nobody wrote; a small core writes some."""

    def generate(prompts: Any, *, on_text: Any, **options: Any) -> list[Generation]:
        for piece in ("Z\ufffd", "\ufffdur", "ich\ufffd"):
            if on_text is not None:
                on_text(0, piece)
        return [Generation("Z\ufffd\ufffdurich\ufffd", [5, 6, 7], [-0.1] * 3, "eos", 4)]

    monkeypatch.setattr(agent.core, "generate", generate)
    pieces: list[str] = []
    assert agent.ask("where?", on_text=pieces.append).text == "".join(pieces) == "Zurich"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"vecter": 0}, "no sense for 'vecter'. It has: vector. Did you mean 'vector'?"),
        ({"sound": 0}, "no sense for 'sound'"),
        ({}, "nothing to ask"),
        ({"question": "what?", "max_tokens": 0}, "max_tokens"),
        ({"question": "what?", "max_tokens": "5"}, "max_tokens is '5'; it must be a whole number"),
        ({"question": "what?", "max_token": 5}, "Did you mean 'max_tokens'?"),
        ({"question": "what?", "memory": "off"}, "memory is 'off'; it must be True or False"),
        ({"question": "what?", "seed": 1.5}, "seed is 1.5; it must be a whole number"),
        ({"question": "what?", "prompt": 5}, "prompt is 5; it must be a template's name or file"),
        ({"question": "what?", "temperature": True}, "temperature is True; it must be a number"),
        ({"question": "what?", "temperature": -1.0}, "temperature"),
        ({"question": "what?", "top_p": 0.0}, "top_p"),
        ({"question": "what?", "prompt": "vqq"}, "Did you mean 'vqa'?"),
        ({"question": "what?", "choices": []}, "choices"),
        ({"question": "what?", "choices": ["a", "a"]}, "twice"),
        ({"question": "what?", "choices": 5}, "choices is 5; give a list of answers"),
        ({"question": "what?", "choices": [None, 2]}, "the choice None is neither text nor a number"),
        ({"question": b"what?"}, "the question is b'what?'; it must be text"),
        ({"question": "what?", "shots": [{"answer": ""}]}, "answer"),
        ({"question": "what?", "shots": [{"anwser": "x"}]}, "Did you mean 'answer'?"),
        ({"question": "what?", "shots": "no/such/shots.jsonl"}, "no/such/shots.jsonl"),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_line(agent: Agent, options: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError) as caught:
        agent.ask(**options)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_source_may_stand_without_a_list(agent: Agent, vectors: np.ndarray, tmp_path: Path) -> None:
    """As with `ask`; read letter by letter, a path would be a dozen files that are not there."""
    np.save(tmp_path / "one.npy", vectors[0])
    place = str(tmp_path / "one.npy")
    assert Request("what?", {"vector": place}) == Request("what?", {"vector": [place]})
    assert Shot("dax", media={"vector": place}) == Shot("dax", media={"vector": [place]})
    with pytest.raises(UserError, match=r"request 1 is \{'question': 'what\?'\}; it must be a Request"):
        agent.ask_many([{"question": "what?"}])  # type: ignore[list-item]
    with pytest.raises(UserError, match="give sources by modality"):
        Request("what?", place)  # type: ignore[arg-type]


def test_another_core_answers_in_words_and_refuses_prefixes(
    vector_bundle: Path, plugins: Any, vectors: np.ndarray, tmp_path: Path
) -> None:
    same, other = tmp_path / "same", tmp_path / "other"
    shutil.copytree(vector_bundle / "core", same)
    shutil.copytree(vector_bundle / "core", other)
    rewrite_weights(other)
    copied = Agent.load(vector_bundle, core=same, plugins=plugins)
    own = Agent.load(vector_bundle, plugins=plugins)
    asked: dict[str, Any] = {"vector": vectors[0], "max_tokens": 4}
    assert copied.ask("what?", **asked).text == own.ask("what?", **asked).text
    stranger = Agent.load(vector_bundle, core=other, plugins=plugins)
    assert isinstance(stranger.ask("can a frog fly?", max_tokens=4), Answer)
    with pytest.raises(UserError, match=r"bundle 'vectors' \(vector\) were trained for its own core"):
        stranger.ask("what?", **asked)


def rewrite_weights(core: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = core / "model.safetensors"
    save_file(
        {name: tensor + 0.01 for name, tensor in load_file(file).items()}, file, metadata={"format": "pt"}
    )


def test_a_batch_too_large_for_the_memory_is_halved(
    agent: Agent, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [Request("what?", {"vector": [vectors[at]]}) for at in range(8)]
    expected = agent.ask_many(requests, max_tokens=4)
    generate, sizes = agent.core.generate, []

    def tight(prompts: Any, **more: Any) -> Any:
        sizes.append(len(prompts))
        if len(prompts) > 2:
            raise torch.OutOfMemoryError("no room")
        return generate(prompts, **more)

    monkeypatch.setattr(agent.core, "generate", tight)
    answers = agent.ask_many(requests, max_tokens=4)
    assert [one.text for one in answers] == [one.text for one in expected]  # type: ignore[union-attr]
    assert sizes == [8, 4, 2, 2, 4, 2, 2]


def test_json_holds_what_was_promised(agent: Agent, vectors: np.ndarray) -> None:
    said = agent.ask("what?", vector=near(vectors[0]), shots=[shot(vectors[0], "dax")])
    plain = said.to_json()
    assert plain["text"] == "dax"
    assert plain["bundle"] == "vectors"
    assert plain["shots"][0]["answer"] == "dax"
    assert 0.0 < plain["memory_weight"] <= 1.0
    assert plain["seconds"] == pytest.approx(sum(plain["timings"].values()))
    assert {"confidence", "tokens", "prompt_tokens", "choices"} <= set(plain)


def test_asking_writes_nothing_into_the_core(agent: Agent, vectors: np.ndarray) -> None:
    before = agent.core.fingerprint()
    agent.ask_many(mixed_requests(vectors), max_tokens=3)
    agent.core.assert_frozen()
    assert agent.core.fingerprint() == before


def test_real_pictures_through_the_image_sense(tiny_bundle: Path, pictures: Path) -> None:
    agent = Agent.load(tiny_bundle)
    shots = [{"image": pictures / f"{name}", "answer": name} for name in ("red.png", "blue.png")]
    said = agent.ask("What is this?", image=str(pictures / "red.png"), shots=shots)
    assert said.text == "red.png"
    assert agent.ask(image=[pictures / "red.png", pictures / "green.jpg"], max_tokens=3).prompt_tokens > 4
    assert agent.features("image", [pictures / "red.png"]).pooled.shape == (1, 16)
