"""Two senses on one thing: asked together, trained together, and still there when one is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmagent import Agent
from mmagent.request import Request

Call = Callable[..., tuple[int, str, str]]
QUESTION = "What is this?"
BOTH = ("smell", "tone")
FEW = ("--epochs", 8, "--validations", 2, "--patience", 0, "--dtype", "float32")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, write_rows: Any) -> dict[str, Path]:
    """Rows with two noisy senses, some lacking one; and rows for a test, with both."""
    folder = tmp_path_factory.mktemp("both")
    return {
        "train": write_rows(folder, BOTH, 180, noise=1.1, missing=0.2),
        "test": write_rows(folder, BOTH, 90, noise=1.1, seed=7),
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data: dict[str, Path]) -> Path:
    from mmagent_cli.app import main

    out = tmp_path_factory.mktemp("trained") / "two"
    assert main([*map(str, ("train", "--data", data["train"], "--out", out, *FEW))]) == 0
    return out


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def share_right(agent: Agent, file: Path, senses: tuple[str, ...]) -> float:
    asked = rows(file)
    requests = [Request(QUESTION, {name: [row[name]] for name in senses if name in row}) for row in asked]
    said = agent.ask_many(requests)
    return float(np.mean([one.text == row["answer"] for one, row in zip(said, asked, strict=True)]))  # type: ignore[union-attr]


def test_together_they_know_more_than_each_alone(trained: Path, data: dict[str, Path]) -> None:
    agent = Agent.load(trained, dtype="float32")
    scores = {senses: share_right(agent, data["test"], senses) for senses in (BOTH, *((s,) for s in BOTH))}
    alone = max(scores[(name,)] for name in BOTH)
    assert min(scores[(name,)] for name in BOTH) > 0.5, scores
    assert scores[BOTH] > alone + 0.03, scores


def test_what_is_said_is_the_sum_of_the_evidence(trained: Path, data: dict[str, Path]) -> None:
    """Both senses speak of what has the greatest sum of log-likelihoods, the prior once, and are as sure."""
    import torch

    agent = Agent.load(trained, dtype="float32")
    row = next(row for row in rows(data["test"]))
    adapters = {}
    for name in BOTH:
        _, encoder = agent.encoder(name)
        adapters[name] = agent.bundle.load_adapter(name, agent.plugins, encoder.d_encoder, agent.core.d_core)
    pooled = {name: agent.features(name, [row[name]]).pooled for name in BOTH}
    total = sum(pooled[name] @ adapters[name].weight.T + adapters[name].bias for name in BOTH)
    read = agent.read(Request(QUESTION, {"tone": [row["tone"]], "smell": [row["smell"]]}))
    softs = [part for part in read.prompt if not isinstance(part, str)]
    shares = torch.softmax(total + adapters[BOTH[0]].prior, dim=-1)[0]
    for name, soft in zip(BOTH, softs, strict=True):
        torch.testing.assert_close(soft.embeds, adapters[name].words[int(shares.argmax())])
    suppositions = read.suppositions
    assert suppositions is not None
    assert suppositions.one_of is not None
    assert suppositions.one_of.shares == pytest.approx(shares.tolist(), abs=1e-5)
    alone = agent.read(Request(QUESTION, {"tone": [row["tone"]]})).suppositions
    assert alone is not None
    tone = pooled["tone"] @ adapters["tone"].weight.T + adapters["tone"].bias + adapters["tone"].prior
    assert alone.sure == pytest.approx(float(torch.softmax(tone, dim=-1).max()), abs=1e-5)
    for _, prompt in suppositions.prompts():  # what they are instead, they are together
        places = [
            next(at for at, words in enumerate(adapters[name].words) if torch.equal(words, part.embeds))
            for name, part in zip(BOTH, (one for one in prompt if not isinstance(one, str)), strict=True)
        ]
        assert len(set(places)) == 1


def test_the_order_in_which_inputs_are_named_does_not_matter(trained: Path, data: dict[str, Path]) -> None:
    agent = Agent.load(trained, dtype="float32")
    row = rows(data["test"])[0]
    one = agent.ask(QUESTION, tone=row["tone"], smell=row["smell"])
    other = agent.ask(QUESTION, smell=row["smell"], tone=row["tone"])
    assert one.text == other.text
    assert one.confidence == pytest.approx(other.confidence, abs=1e-4)  # the second reads cached states


def test_two_of_one_sense_may_show_different_things_and_are_not_added_up(
    trained: Path, data: dict[str, Path]
) -> None:
    import torch

    agent = Agent.load(trained, dtype="float32")
    first, second, third = rows(data["test"])[:3]
    request = Request(QUESTION, {"tone": [first["tone"], second["tone"]], "smell": [third["smell"]]})
    softs = [part for part in agent.read(request).prompt if not isinstance(part, str)]
    wanted = [
        agent.prefix(*one)
        for one in (("smell", third["smell"]), ("tone", first["tone"]), ("tone", second["tone"]))
    ]
    for soft, own in zip(softs, wanted, strict=True):
        assert torch.equal(soft.embeds, own.embeds)


def test_batched_is_single_whatever_is_missing(trained: Path, data: dict[str, Path]) -> None:
    agent = Agent.load(trained, dtype="float32")
    given = rows(data["test"])[:3]
    requests = [
        Request(QUESTION, {name: [row[name]] for name in senses})
        for row in given
        for senses in (BOTH, ("tone",), ("smell",), ())
    ]
    many = agent.ask_many(requests, batch_size=5)
    fresh = Agent.load(trained, dtype="float32")
    for request, answer in zip(requests, many, strict=True):
        single = fresh.ask(
            request.question, **{name: list(sources) for name, sources in request.media.items()}
        )
        assert single.text == answer.text  # type: ignore[union-attr]
        assert single.confidence == pytest.approx(answer.confidence, abs=1e-4)  # type: ignore[union-attr]


def test_the_command_asks_several_senses_at_once_and_in_batches(
    call: Call, trained: Path, data: dict[str, Path], tmp_path: Path
) -> None:
    row = rows(data["test"])[0]
    agent = Agent.load(trained, dtype="float32")
    wanted = agent.ask("Do they match?", tone=row["tone"], smell=row["smell"]).text
    asked = ("ask", "Do they match?", "--bundle", trained, "--dtype", "float32")
    code, out, err = call(*asked, "--tone", row["tone"], "--smell", row["smell"])
    assert (code, out.strip()) == (0, wanted), err
    code, out, err = call(*asked, "--smell", row["smell"])
    assert code == 0, err
    batch = tmp_path / "batch.jsonl"
    lines = [
        {"question": QUESTION, "tone": row["tone"], "smell": row["smell"]},
        {"question": QUESTION, "tone": row["tone"], "smell": None},
        {"question": QUESTION, "smell": row["smell"]},
    ]
    batch.write_text("".join(json.dumps(line) + "\n" for line in lines))
    answers = tmp_path / "answers.jsonl"
    code, _, err = call("ask", "--batch", batch, "--out", answers, "--bundle", trained, "--dtype", "float32")
    assert code == 0, err
    said = [json.loads(line)["answer"] for line in answers.read_text().splitlines()]
    media = ({"tone": row["tone"], "smell": row["smell"]}, {"tone": row["tone"]}, {"smell": row["smell"]})
    assert said == [agent.ask(QUESTION, **one).text for one in media]


def test_the_bundle_says_how_it_was_made(trained: Path) -> None:
    told = json.loads((trained / "bundle.json").read_text())
    for name in BOTH:
        adapter = told["senses"][name]["adapter"]
        assert adapter["family"] == "concepts"
        assert adapter["config"]["joins"] == list(BOTH)
    assert "added up" in told["trained"]["began_as"]
    assert "added up" in told["trained"]["refit"]
    assert 0 < told["scores"]["missing_senses"] <= told["scores"]["validation"]
    card = (trained / "README.md").read_text()
    assert "With some of smell and tone missing" in card


def test_plain_prefixes_learn_together_too(call: Call, data: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "prefixes"
    more = ("--adapter", "prefix", "--epochs", 20, "--learning-rate", 0.01, "--validations", 3)
    code, said, err = call("train", "--data", data["train"], "--out", out, *FEW, *more)
    assert code == 0, err
    assert "smell.linear.weight" in said
    assert "tone.linear.weight" in said
    agent = Agent.load(out, dtype="float32")
    for senses in (BOTH, ("tone",), ("smell",)):
        assert share_right(agent, data["test"], senses) > 0.45
