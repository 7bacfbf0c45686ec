"""An adapter that supposes, through a frozen core: answers, choices and likelihoods of unsure inputs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmagent import Agent
from mmagent.errors import UserError
from mmagent.request import Request
from mmagent_adapters.concepts import Concepts

CLASSES = ("high", "low", "mid")
FEW = ("--epochs", 10, "--validations", 2, "--patience", 0, "--dtype", "float32")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, write_rows: Any) -> tuple[Path, list[dict[str, Any]]]:
    """A bundle with one sense whose classes overlap, and rows that it never saw."""
    from mmagent_cli.app import main

    folder = tmp_path_factory.mktemp("unsure")
    data, out = write_rows(folder, ("tone",), 150, noise=1.6), folder / "bundle"
    assert main([*map(str, ("train", "--data", data, "--out", out, *FEW))]) == 0
    test = write_rows(folder, ("tone",), 60, noise=1.6, seed=3)
    return out, [json.loads(line) for line in test.read_text().splitlines()]


def probe(agent: Agent, rows: list[dict[str, Any]]) -> np.ndarray:
    """(N, C) what the adapter makes of the rows, without the core."""
    _, encoder = agent.encoder("tone")
    adapter = agent.bundle.load_adapter("tone", agent.plugins, encoder.d_encoder, agent.core.d_core)
    assert isinstance(adapter, Concepts)
    assert adapter.answers == CLASSES
    return adapter.probabilities(agent.features("tone", [row["tone"] for row in rows]).pooled).numpy()


def test_the_core_says_what_the_probe_says_and_is_as_sure(
    trained: tuple[Path, list[dict[str, Any]]],
) -> None:
    agent, rows = Agent.load(trained[0], dtype="float32"), trained[1]
    shares = probe(agent, rows)
    assert 0.05 < (shares.max(axis=1) < 0.6).mean() < 0.95  # some are unsure, some are sure
    answers = agent.ask_many([Request("What is this?", {"tone": [row["tone"]]}) for row in rows])
    for answer, own in zip(answers, shares, strict=True):
        assert answer.text == CLASSES[own.argmax()]  # type: ignore[union-attr]
        assert answer.confidence == pytest.approx(own.max(), abs=1e-5)  # type: ignore[union-attr]
        may_be = answer.supposed  # type: ignore[union-attr]
        assert may_be is not None
        assert next(iter(may_be)) == answer.text  # type: ignore[union-attr]
        assert may_be == pytest.approx({name: own[CLASSES.index(name)] for name in may_be}, abs=1e-5)
        assert sum(may_be.values()) >= 0.99


def test_without_a_question_it_is_asked_what_it_is(trained: tuple[Path, list[dict[str, Any]]]) -> None:
    agent, rows = Agent.load(trained[0], dtype="float32"), trained[1]
    assert agent.ask(tone=rows[0]["tone"]).text == agent.ask("What is this?", tone=rows[0]["tone"]).text
    assert agent.read(Request(None, {"tone": [rows[0]["tone"]]})).template == "vqa"


def test_choices_have_their_probabilities_under_all_that_it_may_be(
    trained: tuple[Path, list[dict[str, Any]]],
) -> None:
    agent, rows = Agent.load(trained[0], dtype="float32"), trained[1]
    shares = probe(agent, rows)
    at = int(np.abs(shares.max(axis=1) - 0.5).argmin())  # a row that is unsure
    unlikely = [CLASSES[place] for place in shares[at].argsort()[:2]]
    for offered in (list(CLASSES), unlikely, ["yes", "no"]):
        asked = agent.ask("What is this?", tone=rows[at]["tone"], choices=offered)
        composed = agent.read(Request("What is this?", {"tone": [rows[at]["tone"]]}, (), tuple(offered)))
        assert composed.suppositions is not None
        wanted = np.zeros(len(offered))
        written = [composed.write_answer(text) for text in offered]
        for weight, prompt in composed.suppositions.prompts(offered):
            [found] = agent.core.score([prompt], [written])
            likely = np.exp([one.normalised for one in found])
            wanted += weight * likely / likely.sum()
        assert asked.choices == pytest.approx(dict(zip(offered, wanted, strict=True)), abs=1e-4)
        assert asked.text == offered[wanted.argmax()]
        assert asked.confidence == pytest.approx(wanted.max(), abs=1e-4)


def test_an_answer_is_as_likely_as_the_sum_over_all_that_it_may_be(
    trained: tuple[Path, list[dict[str, Any]]],
) -> None:
    agent, rows = Agent.load(trained[0], dtype="float32"), trained[1]
    shares = probe(agent, rows)
    at = int(shares.max(axis=1).argmin())
    request = Request("What is this?", {"tone": [rows[at]["tone"]]})
    composed = agent.read(request)
    assert composed.suppositions is not None
    assert composed.suppositions.one_of is not None
    for answer in CLASSES:
        by_hand = 0.0
        for weight, prompt in composed.suppositions.prompts(beside=answer):
            [[own]] = agent.core.score([prompt], [[composed.write_answer(answer)]])
            by_hand += weight * math.exp(own.logprob)
        [found] = agent.likelihoods([request], [answer])
        assert found.logprob == pytest.approx(math.log(by_hand), abs=1e-4)  # type: ignore[union-attr]
        assert found.logprob == pytest.approx(  # type: ignore[union-attr]
            math.log(shares[at][CLASSES.index(answer)]), abs=0.25
        )


def test_one_at_a_time_is_as_in_a_batch_and_inputs_of_one_kind_share_what_was_read(
    trained: tuple[Path, list[dict[str, Any]]],
) -> None:
    agent, rows = Agent.load(trained[0], dtype="float32"), trained[1]
    for choices in (None, CLASSES):
        requests = [Request("What is this?", {"tone": [row["tone"]]}, (), choices) for row in rows[:7]]
        many = agent.ask_many(requests, batch_size=3)
        for row, answer in zip(rows, many, strict=False):
            fresh = Agent.load(trained[0], dtype="float32")
            alone = fresh.ask("What is this?", tone=row["tone"], choices=choices)
            assert alone.text == answer.text  # type: ignore[union-attr]
            assert alone.confidence == pytest.approx(answer.confidence, abs=1e-4)  # type: ignore[union-attr]
    softs = {}
    for row in rows[:7]:
        [soft] = [
            part
            for part in agent.read(Request("What is this?", {"tone": [row["tone"]]})).prompt
            if not isinstance(part, str)
        ]
        assert torch.equal(softs.setdefault(soft.key, soft.embeds), soft.embeds)
    assert len(softs) <= len(CLASSES)


def test_what_the_core_reads_several_times_it_answers_once(
    trained: tuple[Path, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, rows = Agent.load(trained[0], dtype="float32"), trained[1]
    requests = [Request("What is this?", {"tone": [row["tone"]]}) for row in rows]
    alone = [agent.ask("What is this?", tone=row["tone"]) for row in rows]
    read: list[int] = []
    generate = agent.core.generate

    def counted(prompts: Any, **options: Any) -> Any:
        read.append(len(prompts))
        return generate(prompts, **options)

    monkeypatch.setattr(agent.core, "generate", counted)
    together = agent.ask_many(requests, batch_size=16)
    assert sum(read) == len({one.text for one in alone}) <= len(CLASSES)
    for one, other in zip(alone, together, strict=True):
        assert not isinstance(other, Exception)
        assert (one.text, one.tokens, one.prompt_tokens) == (other.text, other.tokens, other.prompt_tokens)
        assert one.confidence == pytest.approx(other.confidence, abs=1e-5)
        assert one.supposed == pytest.approx(other.supposed, abs=1e-5)
        assert set(other.timings) == {"encode", "prompt", "decode"}
    read.clear()
    agent.ask_many(requests, temperature=0.5)  # every one is drawn for itself
    assert sum(read) == len(rows)
    read.clear()
    agent.ask_many([Request("What is this?", {"tone": [row["tone"]]}, (), CLASSES) for row in rows[:4]])
    assert not read


def test_what_is_wrong_with_one_is_wrong_with_all_that_are_like_it(
    trained: tuple[Path, list[dict[str, Any]]],
) -> None:
    agent, rows = Agent.load(trained[0], dtype="float32"), trained[1]
    long = "What is this, " + "and what is it not, " * 400 + "?"
    asked = [Request(long, {"tone": [row["tone"]]}) for row in rows[:8]]
    found = agent.ask_many([*asked, Request("What is this?", {"tone": [rows[0]["tone"]]})])
    assert all(isinstance(one, UserError) for one in found[:8])
    assert not isinstance(found[8], UserError)


def test_a_shot_memory_is_weighed_against_all_that_it_may_be(tmp_path: Path, write_rows: Any) -> None:
    """The core hears of the likeliest alone; its voice beside the shots is as sure as the adapter."""
    from mmagent_cli.app import main

    data, out = write_rows(tmp_path, ("tone",), 150, noise=1.6), tmp_path / "bundle"
    kept = ("--adapter", "concepts+memory")
    assert main([*map(str, ("train", "--data", data, "--out", out, *FEW, *kept))]) == 0
    agent = Agent.load(out, dtype="float32")
    rows = [json.loads(line) for line in data.read_text().splitlines()][:40]
    heard = 0
    for row in rows:
        request = Request("What is this?", {"tone": [row["tone"]]})
        composed = agent.read(request)
        assert composed.vote is not None
        assert composed.suppositions is not None
        if composed.vote.weight == 0:
            assert composed.mixer is composed.vote
            continue
        heard += 1
        one_of = composed.suppositions.one_of
        assert one_of is not None
        assert composed.mixer is not None
        probs = torch.full((agent.core.vocab_size,), 1e-9)
        firsts = [composed.codec.encode(answer)[0] for answer in one_of.answers]
        assert len(set(firsts)) == len(CLASSES)
        probs[firsts[one_of.likeliest]] = 1.0  # what the core says of what it was given
        assert composed.following(one_of.answers) is agent.read(request).following(one_of.answers)
        dealt = torch.full_like(probs, 1e-9)
        dealt[firsts] = torch.tensor(one_of.shares, dtype=probs.dtype)
        wanted = composed.vote([], dealt)
        torch.testing.assert_close(composed.mixer([], probs), wanted, atol=1e-6, rtol=1e-4)
    assert heard
    texts = [
        one.text
        for one in agent.ask_many([Request("What is this?", {"tone": [row["tone"]]}) for row in rows])
    ]  # type: ignore[union-attr]
    assert set(texts) <= set(CLASSES)
