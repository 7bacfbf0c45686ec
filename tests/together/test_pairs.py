"""Whether two inputs match: what their features say together, which neither says alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmagent import Agent
from mmagent.adapter import Labelled
from mmagent.request import Request
from mmagent_adapters.concepts import Concepts, build, fit, join

THINGS, D = 5, {"a": 30, "b": 24, "c": 20}
CENTRES = {name: np.random.default_rng(at).normal(size=(THINGS, d)) for at, (name, d) in enumerate(D.items())}


def shown(things: np.ndarray, sense: str, seed: int) -> torch.Tensor:
    """Features of things as a sense sees them."""
    noise = np.random.default_rng([seed, ord(sense)]).normal(size=(len(things), D[sense]))
    return torch.tensor(CENTRES[sense][things] + 0.5 * noise).float()


def rows(n: int, senses: str, seed: int) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Inputs of which half show one thing in all senses, and half another thing in the last sense."""
    rng = np.random.default_rng(seed)
    things, match = rng.integers(0, THINGS, n), rng.random(n) < 0.5
    other = (things + rng.integers(1, THINGS, n)) % THINGS
    seen = {name: shown(things, name, seed) for name in senses[:-1]}
    seen[senses[-1]] = shown(np.where(match, things, other), senses[-1], seed)
    return seen, ["yes" if one else "no" for one in match]


def trained(senses: str, n: int = 500) -> tuple[dict[str, Concepts], str]:
    seen, answers = rows(n, senses, 0)
    known = {
        name: Labelled(one, answers, lambda text: torch.ones(2, 4), list(range(n)))
        for name, one in seen.items()
    }
    made: dict[str, Any] = {}
    for name, one in known.items():
        made[name] = build({"answers": ["no", "yes"], "n_tokens": 2, "joins": list(senses)}, D[name], 4)
        fit(made[name], one)
    return made, join(made, known)


def said(adapters: dict[str, Concepts], seen: dict[str, torch.Tensor]) -> torch.Tensor:
    """Probability of yes."""
    total = sum(adapters[name].evidence(one, one, one) for name, one in seen.items())
    assert isinstance(total, torch.Tensor)
    return next(iter(adapters.values())).shares(total)[:, 1]


def right(adapters: dict[str, Concepts], seen: dict[str, torch.Tensor], answers: list[str]) -> float:
    yes = np.array([answer == "yes" for answer in answers])
    return float(((said(adapters, seen) > 0.5).numpy() == yes).mean())


def test_whether_they_match_is_told_by_both_and_by_neither_alone() -> None:
    adapters, told = trained("ab")
    assert "a with b" in told
    seen, answers = rows(600, "ab", 1)
    assert right(adapters, seen, answers) > 0.85
    for name in "ab":
        assert right(adapters, {name: seen[name]}, answers) < 0.6
        assert (
            float((said(adapters, {name: seen[name]}) - 0.5).abs().max()) < 0.3
        )  # and knows that it does not


def test_of_three_senses_any_two_are_compared() -> None:
    adapters, _ = trained("abc")
    seen, answers = rows(600, "abc", 1)
    for kept in ("abc", "ac", "bc"):
        assert right(adapters, {name: seen[name] for name in kept}, answers) > 0.8, kept
    assert (
        right(adapters, {name: seen[name] for name in "ab"}, answers) < 0.6
    )  # these show the same in all rows


def test_what_says_nothing_together_is_silenced() -> None:
    """Rows whose answer hangs on one sense alone: comparing adds nothing, and loses nothing."""
    rng = np.random.default_rng(0)
    n = 400
    things = rng.integers(0, THINGS, 2 * n)
    answers = ["yes" if thing < 2 else "no" for thing in things]
    seen = {"a": shown(things, "a", 3), "b": shown(rng.integers(0, THINGS, 2 * n), "b", 4)}
    made: dict[str, Any] = {}
    known = {
        name: Labelled(one[:n], answers[:n], lambda text: torch.ones(2, 4), list(range(n)))
        for name, one in seen.items()
    }
    for name, one in known.items():
        made[name] = build({"answers": ["no", "yes"], "n_tokens": 2, "joins": ["a", "b"]}, D[name], 4)
        fit(made[name], one)
    join(made, known)
    fresh = {name: one[n:] for name, one in seen.items()}
    assert right(made, fresh, answers[n:]) > right(made, {"a": fresh["a"]}, answers[n:]) - 0.02


def test_it_is_kept_and_read_again(tmp_path: Path) -> None:
    adapters, _ = trained("ab", n=200)
    seen, _ = rows(20, "ab", 2)
    before = said(adapters, seen)
    again: dict[str, Any] = {}
    for name, one in adapters.items():
        again[name] = build(one.config, D[name], 4)
        again[name].load_state_dict(one.state_dict())
    torch.testing.assert_close(said(again, seen), before)


def test_more_than_two_answers_are_not_compared() -> None:
    one = build({"answers": ["x", "y", "z"], "joins": ["a", "b"]}, 6, 4)
    assert not any(name.startswith(("view", "pair")) for name in one.state_dict())


@pytest.mark.parametrize("few", [0, 10])
def test_rows_with_both_may_be_too_few_to_compare(few: int) -> None:
    seen, _ = rows(200, "ab", 0)
    numbers = {"a": list(range(200)), "b": list(range(200 - few, 400 - few))}
    made: dict[str, Any] = {}
    known = {}
    for name, one in seen.items():
        known[name] = Labelled(one, ["no", "yes"] * 100, lambda text: torch.ones(2, 4), numbers[name])
        made[name] = build({"answers": ["no", "yes"], "joins": ["a", "b"]}, D[name], 4)
        fit(made[name], known[name])
    assert "with" not in join(made, known).replace("as loud as", "").replace("held-out", "")
    assert float(made["a"].pair.abs().max()) == 0.0


def test_the_command_learns_whether_two_inputs_match(
    call: Callable[..., tuple[int, str, str]],
    write_media: Callable[[Path, str, Sequence[float]], str],
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    centres = {name: 2 * rng.normal(size=(3, 6)) for name in ("smell", "tone")}
    lines = []
    for at in range(260):
        thing, match = at % 3, rng.random() < 0.5
        things = {"smell": thing, "tone": thing if match else (thing + 1 + at // 3 % 2) % 3}
        media = {
            name: write_media(tmp_path / f"{at}.{name}", name, centres[name][one] + 0.3 * rng.normal(size=6))
            for name, one in things.items()
        }
        answer, split = "yes" if match else "no", "train" if at < 200 else "test"
        lines.append({**media, "question": "Do they match?", "answer": answer, "split": split})
    data, out = tmp_path / "rows.jsonl", tmp_path / "out"
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    few = ("--epochs", 6, "--learning-rate", 0.01, "--validations", 2, "--dtype", "float32")
    code, said_of_it, err = call("train", "--data", data, "--out", out, *few)
    assert code == 0, err
    assert "smell with tone" in said_of_it
    agent = Agent.load(out, dtype="float32")
    requests = [
        Request("Do they match?", {"smell": [line["smell"]], "tone": [line["tone"]]}) for line in lines[200:]
    ]
    answered = [one.text for one in agent.ask_many(requests)]  # type: ignore[union-attr]
    assert np.mean([one == line["answer"] for one, line in zip(answered, lines[200:], strict=True)]) > 0.9
    row = lines[-1]
    asked = ("ask", "Do they match?", "--smell", row["smell"], "--tone", row["tone"], "--bundle", out)
    code, text, err = call(*asked, "--dtype", "float32")
    assert (code, text.strip()) == (0, answered[-1]), err
    code, text, err = call("ask", "Do they match?", "--tone", row["tone"], "--bundle", out)
    assert code == 0, err
    assert text.strip() in ("yes", "no")


def test_rows_of_one_group_are_held_out_together(monkeypatch: pytest.MonkeyPatch) -> None:
    from mmagent_adapters import pairs

    seen, answers = rows(300, "ab", 0)
    groups = [str(at % 3) for at in range(300)]
    known = {
        name: Labelled(one, answers, lambda text: torch.ones(2, 4), list(range(300)), groups)
        for name, one in seen.items()
    }
    learned: list[int] = []
    fitted = pairs._fit

    def counted(x: Any, y: np.ndarray, labels: Sequence[str], seed: int) -> Any:
        learned.append(len(y))
        return fitted(x, y, labels, seed)

    monkeypatch.setattr(pairs, "_fit", counted)
    [pair] = pairs.compared(known, ["no", "yes"], 0)
    assert learned == [200, 200, 200, 300]  # each of three speakers is judged by the other two
    assert sorted(pair.held_out) == list(range(300))
