"""What the core is asked: the template's words, shots in their order, a chat core's own form."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vector_shots import near, shot

from mmagent.agent import Agent
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


def test_the_default_question_is_the_bundles(
    write_bundle: Write, plugins: Any, vectors: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = write_bundle(tmp_path / "other", prompts={"default_question": "Which heap is it from?"})
    agent = Agent.load(place, plugins=plugins)
    shots = [shot(vectors[0], "dax"), shot(vectors[0], "wug", "What is this?")]
    said = agent.ask(vector=near(vectors[0]), shots=shots, context_shots=0)
    assert said.text == "dax"


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
