"""What a user of `Agent` notices: the right prompt, one answer however it was asked, and clear refusals."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmagent.agent import Agent, Request, Shot
from mmagent.answer import Answer, calibrate
from mmagent.core import Soft
from mmagent.errors import UserError

Write = Callable[..., Path]


@pytest.fixture
def prompts(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The prompts that the core was given, prefixes written as <>."""
    seen: list[str] = []
    for name in ("generate", "score"):
        inner = getattr(agent.core, name)

        def spy(given: Any, *rest: Any, inner: Any = inner, **more: Any) -> Any:
            seen.extend("".join("<>" if isinstance(p, Soft) else p for p in prompt) for prompt in given)
            return inner(given, *rest, **more)

        monkeypatch.setattr(agent.core, name, spy)
    return seen


def shot(vector: np.ndarray, answer: str, question: str | None = None) -> Shot:
    return Shot(answer, question, {"vector": [vector]})


def near(vector: np.ndarray, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=vector.shape)
    return (vector + 0.1 * noise).astype(np.float32)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"vector": 0}, "Vector:<>\nCaption:"),
        ({"question": " what is this? ", "vector": 0}, "Vector:<>\nQuestion: what is this?\nAnswer:"),
        ({"question": "can a frog fly?"}, "Question: can a frog fly?\nAnswer:"),
        (
            {"question": "Which?", "vector": 0, "choices": ["red", "blue"]},
            "Vector:<>\nQuestion: Which?\nChoices: red, blue\nAnswer:",
        ),
        ({"vector": 0, "prompt": "naming"}, "Vector:<>\nThis is"),
        (
            {"question": "same?", "vector": [0, 1]},
            "Vector:<>\nVector:<>\nQuestion: same?\nAnswer:",
        ),
        (
            {"question": "what?", "vector": 0, "shots": ["dax"]},
            "Vector:<>\nQuestion: what?\nAnswer: dax\n\nVector:<>\nQuestion: what?\nAnswer:",
        ),
        (
            {"vector": 0, "shots": ["dax"]},
            "Vector:<>\nQuestion: What is this?\nAnswer: dax\n\nVector:<>\nQuestion: What is this?\nAnswer:",
        ),
        (
            {"vector": 0, "shots": ["dax"], "prompt": "naming"},
            "Vector:<>\nThis is a dax.\n\nVector:<>\nThis is",
        ),
        (
            {"question": "what?", "vector": 0, "shots": ["dax"], "context_shots": 0},
            "Vector:<>\nQuestion: what?\nAnswer:",
        ),
    ],
)
def test_what_the_core_is_asked(
    agent: Agent, prompts: list[str], vectors: np.ndarray, options: dict[str, Any], expected: str
) -> None:
    given = dict(options)
    if "vector" in given:
        places = given["vector"]
        given["vector"] = [vectors[at] for at in places] if isinstance(places, list) else vectors[places]
    given["shots"] = [shot(vectors[5], answer) for answer in given.get("shots", ())]
    agent.ask(**given, max_tokens=2)
    assert prompts == [expected]


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


@pytest.mark.parametrize("answer", ["dax", "a small blue wug on the left", "zzyzx!"])
def test_the_memory_gives_back_answers_of_several_tokens(
    agent: Agent, vectors: np.ndarray, answer: str
) -> None:
    shots = [shot(vectors[at], word) for at, word in enumerate([answer, "blicket", "a small red cup"])]
    said = agent.ask("What is this?", vector=near(vectors[0]), shots=shots)
    assert said.text == answer
    assert said.memory_weight is not None
    assert said.memory_weight > 0.9
    assert said.shots[0].answer == answer
    assert said.confidence > 0.5


def test_naming_writes_and_drops_what_its_template_says(agent: Agent, vectors: np.ndarray) -> None:
    shots = [shot(vectors[0], "elephant"), shot(vectors[1], "dax")]
    said = agent.ask(vector=near(vectors[0]), shots=shots, prompt="naming")
    assert said.text == "an elephant"


def test_unrelated_shots_leave_every_answer_as_it_is(agent: Agent, vectors: np.ndarray) -> None:
    shots = [shot(near(vectors[0], at), "dax") for at in range(5)]
    shots += [shot(near(vectors[1], at), "blicket") for at in range(5)]
    for at in range(5, 25):
        stranger = vectors[at] - sum(
            (vectors[at] @ v) / (v @ v) * v for v in np.linalg.qr(vectors[:2].T)[0].T
        ).astype(np.float32)
        bare = agent.ask("What is this?", vector=stranger, max_tokens=6)
        shown = agent.ask("What is this?", vector=stranger, shots=shots, context_shots=0, max_tokens=6)
        assert shown.text == bare.text
        assert shown.confidence == pytest.approx(bare.confidence, abs=1e-5)
        assert shown.memory_weight == 0.0
        assert shown.shots == []


def test_shots_of_another_question_do_not_vote(agent: Agent, vectors: np.ndarray) -> None:
    shots = [shot(vectors[0], "dax", "What is this?"), shot(vectors[0], "red", "What colour is this?")]
    asked = {"vector": near(vectors[0]), "shots": shots, "context_shots": 0}
    assert agent.ask("what is this", **asked).text == "dax"
    assert agent.ask("What color is it?", **asked).text == "red"
    other = agent.ask("Where was it found?", **asked, max_tokens=4)
    assert other.memory_weight == 0.0
    assert other.text == agent.ask("Where was it found?", vector=near(vectors[0]), max_tokens=4).text


def test_memory_off_leaves_the_context_alone(agent: Agent, vectors: np.ndarray) -> None:
    shots = [shot(vectors[0], "dax"), shot(vectors[1], "wug")]
    said = agent.ask("What is this?", vector=near(vectors[0]), shots=shots, memory=False, max_tokens=4)
    assert said.memory_weight is None
    assert said.shots == []
    assert said.shots_in_context == 2


def test_choices_are_scored_with_the_memory(agent: Agent, vectors: np.ndarray) -> None:
    shots = [shot(vectors[0], "dax"), shot(vectors[1], "light blue wug")]
    for at, expected in ((0, "dax"), (1, "light blue wug")):
        said = agent.ask("Which?", vector=near(vectors[at]), shots=shots, choices=["light blue wug", "dax"])
        assert said.text == expected
        assert said.choices is not None
        assert said.confidence == said.choices[expected] > 0.5


def test_choice_probabilities_are_the_softmax_of_scores_per_token(agent: Agent, vectors: np.ndarray) -> None:
    choices = ["red", "a light blue cup"]
    said = agent.ask("Which?", vector=vectors[0], choices=choices)
    prompt = [
        "Vector:",
        agent.prefix("vector", vectors[0]),
        "\nQuestion: Which?\nChoices: red, a light blue cup\nAnswer:",
    ]
    scores = torch.tensor([one.normalised for one in agent.core.score([prompt], [choices])[0]])
    assert said.choices == pytest.approx(
        dict(zip(choices, scores.softmax(0).tolist(), strict=True)), abs=1e-5
    )
    assert said.text == choices[int(scores.argmax())]


def test_the_confidence_is_the_geometric_mean_of_the_tokens(agent: Agent, vectors: np.ndarray) -> None:
    said = agent.ask("What is this?", vector=vectors[0], max_tokens=6)
    prompt = ["Vector:", agent.prefix("vector", vectors[0]), "\nQuestion: What is this?\nAnswer:"]
    made = agent.core.generate([prompt], max_tokens=6, stop=["\n"])[0]
    assert said.confidence == pytest.approx(math.exp(sum(made.logprobs) / len(made.logprobs)), abs=1e-5)
    assert said.tokens == len(made.token_ids)
    assert said.prompt_tokens == made.n_prompt


def test_the_bundles_calibration_shapes_the_confidence(
    agent: Agent, write_bundle: Write, plugins: Any, vectors: np.ndarray, tmp_path: Path
) -> None:
    calibration = {"scale": 0.5, "bias": 0.25, "memory": {"scale": 2.0, "bias": -0.5}}
    place = write_bundle(tmp_path / "calibrated", calibration=calibration)
    calibrated = Agent.load(place, plugins=plugins)
    asked: dict[str, Any] = {"vector": vectors[0], "max_tokens": 5}
    raw = agent.ask("what?", **asked).confidence
    assert calibrated.ask("what?", **asked).confidence == pytest.approx(calibrate(raw, 0.5, 0.25), abs=1e-5)
    asked["shots"] = [shot(near(vectors[0]), "dax")]
    raw = agent.ask("what?", **asked).confidence
    assert calibrated.ask("what?", **asked).confidence == pytest.approx(calibrate(raw, 2.0, -0.5), abs=1e-4)


def test_the_default_question_is_the_bundles(
    write_bundle: Write, plugins: Any, vectors: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = write_bundle(tmp_path / "other", prompts={"default_question": "Which heap is it from?"})
    agent = Agent.load(place, plugins=plugins)
    shots = [shot(vectors[0], "dax"), shot(vectors[0], "wug", "What is this?")]
    said = agent.ask(vector=near(vectors[0]), shots=shots, context_shots=0)
    assert said.text == "dax"


def test_a_thousand_shots_fill_the_memory_and_what_fits_the_prompt(agent: Agent, vectors: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    directions = rng.normal(size=(1000, 16)).astype(np.float32)
    shots = [shot(directions[at], f"word {at}") for at in range(1000)]
    agent.ask("what?", vector=vectors[0], max_tokens=2)
    start = time.perf_counter()
    said = agent.ask("What is this?", vector=near(directions[789]), shots=shots)
    assert time.perf_counter() - start < 10.0
    assert said.text == "word 789"
    assert 1 <= said.shots_in_context <= 32
    assert said.prompt_tokens + 32 <= 512


def test_as_many_shots_as_fit_stand_in_the_prompt_in_their_own_order(
    agent: Agent, prompts: list[str], vectors: np.ndarray
) -> None:
    shots = [shot(vectors[at % 4], f"{'abcd'[at % 4]}{at}{'x' * 20}", "a" * 40) for at in range(20)]
    said = agent.ask("What is this?", vector=near(vectors[2]), shots=shots, max_tokens=4)
    places = [prompts[0].find(f"Answer: {one.answer}") for one in shots]
    chosen = [place for place in places if place >= 0]
    assert chosen == sorted(chosen)
    assert len(chosen) == said.shots_in_context < 20
    assert {"c2xx", "c6xx", "c10x", "c14x", "c18x"} <= {
        f"{one.answer[:4]}" for one, at in zip(shots, places, strict=True) if at >= 0
    }
    assert 512 - 4 - 80 < said.prompt_tokens <= 512 - 4


def test_streamed_text_is_the_answer(agent: Agent, vectors: np.ndarray) -> None:
    for options in ({}, {"prompt": "naming"}, {"shots": [shot(vectors[0], "a small blue wug")]}):
        pieces: list[str] = []
        said = agent.ask(vector=near(vectors[0]), on_text=pieces.append, max_tokens=12, **options)
        assert "".join(pieces) == said.text
        assert len(pieces) > 1


def test_a_template_of_ones_own(
    agent: Agent, prompts: list[str], vectors: np.ndarray, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.jinja"
    mine.write_text("{% set stop = 'e' %}Look {{ vector }} and say: {{ question }}", encoding="utf-8")
    said = agent.ask("what?", vector=vectors[0], prompt=mine)
    assert prompts == ["Look <> and say: what?"]
    assert "e" not in said.text
    shots = [shot(vectors[0], "dax")]
    assert agent.ask("what?", vector=near(vectors[0]), prompt=str(mine), shots=shots).text == "dax"
    with pytest.raises(UserError, match="no place for shots"):
        agent.ask("what?", vector=vectors[0], prompt=mine, shots=shots, memory=False)
    mine.write_text("{{ vector }} {{ quesion }}", encoding="utf-8")
    with pytest.raises(UserError, match=r"'quesion'.*Did you mean 'question'"):
        agent.ask("what?", vector=vectors[0], prompt=mine)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"vecter": 0}, "no sense for 'vecter'. It has: vector. Did you mean 'vector'?"),
        ({"sound": 0}, "no sense for 'sound'"),
        ({}, "nothing to ask"),
        ({"question": "what?", "max_tokens": 0}, "max_tokens"),
        ({"question": "what?", "temperature": -1.0}, "temperature"),
        ({"question": "what?", "top_p": 0.0}, "top_p"),
        ({"question": "what?", "prompt": "vqq"}, "Did you mean 'vqa'?"),
        ({"question": "what?", "choices": []}, "choices"),
        ({"question": "what?", "choices": ["a", "a"]}, "twice"),
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


def test_a_chat_core_is_asked_in_its_own_form(
    write_bundle: Write, tiny_bundle: Path, plugins: Any, vectors: np.ndarray, tmp_path: Path
) -> None:
    core = tmp_path / "chat"
    shutil.copytree(tiny_bundle / "core", core)
    turns = "{% for m in messages %}[{{ m.role }}] {{ m.content }} [/]{% endfor %}[assistant]{{ '\\n' }}"
    (core / "chat_template.jinja").write_text(turns, encoding="utf-8")
    agent = Agent.load(write_bundle(tmp_path / "chatty", core=core), plugins=plugins)
    seen: list[Any] = []
    generate = agent.core.generate
    agent.core.generate = lambda given, **more: (
        seen.append((given[0], more["stop"])),
        generate(given, **more),
    )[1]  # type: ignore[method-assign]
    shots = [shot(vectors[0], "a small wug")]
    said = agent.ask("what?", vector=near(vectors[0]), shots=shots, context_shots=0)
    prompt, stop = seen[0]
    assert [part for part in prompt if isinstance(part, str)] == [
        "[user] Vector:",
        "\nQuestion: what?\nAnswer: [/][assistant]\n",
    ]
    assert stop == ()
    assert said.text == "a small wug"


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
