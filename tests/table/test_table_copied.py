"""What an asker tells is said as it was told, by a core that never read a word of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from mmagent.agent import Agent, Request, Shot
from mmagent.answer import Answer
from mmagent.bundle import Bundle
from mmagent.copying import COPIED, Copying, VoteAfter
from mmagent.telling import Told
from mmagent_table.asker import Asker
from mmagent_table.encoders import write_asker
from mmagent_table.tell import spoken

CAPITALS = b"Country,Capital,Zygote\nFrance,Paris,\nSpain,Madrid,Qx-17 \xc3\x9cbel\nItaly,Rome,Wq\n"
ASKED = ("what is the capital of Spain?", "what is the zygote of Spain?", "what is the capital of Italy?")
SAID = ["Madrid", "Qx-17 Übel", "Rome"]


class Letters:
    """A codec of one token a letter, ended by 0 or 1."""

    end_ids = (0, 1)

    def encode(self, answer: str) -> list[int]:
        return [ord(letter) - ord("a") + 2 for letter in answer]


@pytest.fixture(scope="module")
def agent(asker: Asker, tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Agent:
    """An agent with a sense for tables and a core of random weights."""
    place = tmp_path_factory.mktemp("copied")
    write_asker(place / "asker", asker)
    parts = {"core": tiny_bundle / "core", "table/encoder": place / "asker"}
    senses = {"table": {"encoder": "table/encoder"}}
    manifest = {"name": "tables", "core": {"path": "core"}, "senses": senses}
    Bundle.write(place / "bundle", manifest, parts, card="# tables\n")
    return Agent.load(place / "bundle", dtype="float32")


def probabilities() -> torch.Tensor:
    return torch.randn(28, generator=torch.Generator().manual_seed(0)).softmax(0)


def test_half_of_each_token_is_the_next_one_of_what_was_told() -> None:
    copying, own = Copying("dax", 0.8, Letters()), probabilities()
    for begun, token in (([], 5), ([5], 2), ([5, 2], 25)):
        mixed = copying(begun, own)
        wanted = (1 - COPIED) * own
        wanted[token] += COPIED
        torch.testing.assert_close(mixed, wanted)
        assert int(mixed.argmax()) == token
    ended = copying([5, 2, 25], own)
    torch.testing.assert_close(ended.sum(), torch.tensor(1.0))
    torch.testing.assert_close(ended[0] / ended[1], own[0] / own[1])  # how to end is the core's to say
    assert int(ended.argmax()) in Letters.end_ids


def test_a_core_that_left_what_it_was_told_goes_its_own_way() -> None:
    copying, own = Copying("dax", 0.8, Letters()), probabilities()
    assert copying([5, 3], own) is own
    assert copying([5, 2, 25, 4], own) is own


def test_only_an_answer_is_copied() -> None:
    assert Copying.of(None, Letters()) is None
    assert Copying.of(Told("dax"), Letters()) is None
    assert Copying.of(Told("", 0.5), Letters()) is None
    assert Copying.of(Told("dax", 0.5), Letters()) is not None


def test_confidence_is_that_of_who_found_the_answer() -> None:
    copying = Copying("two  words", 0.8, Letters())
    assert copying.confidence("two words", 0.3) == 0.8
    assert copying.confidence("two word", 0.3) == pytest.approx(0.2 * 0.3)


def test_cells_are_said_letter_by_letter(agent: Agent) -> None:
    said = [agent.ask(question, table=CAPITALS) for question in ASKED]
    assert [one.text for one in said] == SAID
    together = agent.ask_many([Request(question, {"table": [CAPITALS]}) for question in ASKED])
    assert [one.text for one in together if isinstance(one, Answer)] == SAID
    for one, other in zip(said, together, strict=True):
        assert isinstance(other, Answer)
        assert other.confidence == pytest.approx(one.confidence, abs=1e-5)


def test_what_is_streamed_is_what_is_said(agent: Agent) -> None:
    pieces: list[str] = []
    answer = agent.ask(ASKED[1], table=CAPITALS, on_text=pieces.append)
    assert "".join(pieces) == answer.text == SAID[1]


def test_empty_cells_are_told_as_such() -> None:
    assert spoken(["", " "]) == "no value"
    assert spoken(["", "Wq", "Rome"]) == "Wq, Rome"


def test_choices_that_were_not_told_are_weighed_by_the_core(agent: Agent) -> None:
    request = Request(ASKED[0], {"table": [CAPITALS]}, choices=("lilac", "mauve"))
    read = agent.read(request)
    assert read.copying is not None
    free = agent.core.score([read.prompt], [[read.write_answer(one) for one in ("lilac", "mauve")]])
    chosen = agent.ask(ASKED[0], table=CAPITALS, choices=("lilac", "mauve"))
    best = max(free[0], key=lambda one: one.normalised)
    assert chosen.text == best.choice.strip()
    told = agent.ask(ASKED[0], table=CAPITALS, choices=("lilac", "Madrid"))
    assert told.text == "Madrid"


def test_shots_are_heard_instead(agent: Agent) -> None:
    shots = [Shot("Lisbon", ASKED[0], {"table": [CAPITALS]})]
    assert agent.ask(ASKED[0], table=CAPITALS, shots=shots).text == "Lisbon"
    without = agent.ask(ASKED[0], table=CAPITALS, shots=shots, memory=False)
    assert without.text != "Madrid"  # the core of random weights, alone


def test_a_memory_that_knows_nothing_like_it_leaves_the_copy(agent: Agent) -> None:
    read = agent.read(Request(ASKED[0], {"table": [CAPITALS]}))
    assert read.copying is not None

    class Silent:
        weight = 0.0

        def __call__(self, generated: Sequence[int], probs: torch.Tensor) -> torch.Tensor:
            return probs

        def leading(self, generated: Sequence[int], probs: torch.Tensor, mixed: torch.Tensor) -> torch.Tensor:
            return mixed

    both = replace(read, vote=cast("Any", Silent())).mixer
    made = agent.core.generate([read.prompt], mixers=[both], stop=read.stop, max_tokens=24)
    assert made[0].text.strip() == "Madrid"
    copying, own = Copying("dax", 0.8, Letters()), probabilities()
    vote = cast("Any", lambda generated, probs: probs.flip(0))
    torch.testing.assert_close(VoteAfter(copying, vote)([], own), copying([], own).flip(0))
