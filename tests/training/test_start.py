"""How an adapter begins: the family that suits the data, and a start that is kept if no step betters it."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mmagent.adapter import AdapterFamily, Labelled
from mmagent.errors import UserError
from mmagent.training.settings import TrainSettings
from mmagent.training.start import Ground, begin, fit_again


@dataclass
class One:
    """An example with one medium."""

    answer: str
    question: str | None = "What is this?"
    media: dict[str, list[str]] = field(default_factory=lambda: {"image": ["x.png"]})


@pytest.fixture
def agent() -> Any:
    from mmagent.manifest import AdapterEntry
    from mmagent.plugins import load_plugins

    sense = SimpleNamespace(adapter=AdapterEntry("resampler", {}, "image/adapter.safetensors"))
    core = SimpleNamespace(d_core=4, tokens=SimpleNamespace(follow=lambda text: list(text.strip())))
    return SimpleNamespace(plugins=load_plugins(), bundle=SimpleNamespace(senses={"image": sense}), core=core)


def chosen(agent: Any, examples: list[One], *, own_encoder: bool = True) -> str:
    chosen, why = Ground(agent, "image", examples, own_encoder).choose(TrainSettings())  # type: ignore[arg-type]
    assert why
    assert chosen.sense is not None
    return chosen.sense.name


def test_the_family_suits_the_data(agent: Any) -> None:
    classes = [One(answer) for answer in "ababab"]
    assert chosen(agent, classes) == "concepts"
    assert chosen(agent, classes, own_encoder=False) == "concepts"
    asked = [One("yes", f"Is it {answer}?") for answer in "abcd"] + [One("no", "Is it e?")]
    assert chosen(agent, asked) == "resampler"
    assert chosen(agent, asked, own_encoder=False) == "prefix"
    captions = [One(f"caption {at}") for at in range(6)]
    assert chosen(agent, captions) == "resampler"
    pairs = [One(answer, media={"image": ["x.png", "y.png"]}) for answer in "ababab"]
    assert chosen(agent, pairs) == "resampler"


def test_a_probe_over_other_answers_does_not_go_on_learning_questions_of_many_kinds(agent: Any) -> None:
    from mmagent.manifest import AdapterEntry

    entry = AdapterEntry("concepts", {"answers": ["up", "down"], "n_tokens": 4}, "image/adapter.safetensors")
    agent.bundle.senses["image"] = SimpleNamespace(adapter=entry)
    asked = [One("red", "Which colour?"), One("up", "Where to?"), One("circle", "Which shape?")] * 2
    assert chosen(agent, asked) == "prefix"
    assert chosen(agent, [One(answer) for answer in "ababab"]) == "concepts"


def test_what_suits_is_joined_to_what_is_named(agent: Any) -> None:
    ground = Ground(agent, "image", [One(answer) for answer in "ababab"], True)  # type: ignore[arg-type]
    chosen, _ = ground.choose(TrainSettings(adapter="auto+lora"))
    assert (chosen.sense.name, chosen.core.name) == ("concepts", "lora")  # type: ignore[union-attr]
    chosen, why = ground.choose(TrainSettings(adapter="lora"))
    assert chosen.sense is None
    assert why == ""


def rows() -> Labelled:
    pooled = torch.tensor([[0.0, 1.0], [0.1, 1.0], [1.0, 0.0], [1.0, 0.1]])
    return Labelled(pooled, ["long word", "long word", "b", "b"], lambda text: torch.ones(len(text), 4))


def started(agent: Any, adapter: str) -> Any:
    settings = TrainSettings(adapter=adapter)
    ground = Ground(agent, "image", [One(answer) for answer in rows().answers], True)  # type: ignore[arg-type]
    chosen, why = ground.choose(settings)
    return begin(ground, chosen, settings, 2, 1, rows(), why)


def test_auto_fits_the_probe_and_says_so(agent: Any) -> None:
    start = started(agent, "auto")
    assert start.chosen.sense.name == "concepts"
    assert start.adapter.config == {"answers": ["b", "long word"], "n_tokens": 10}
    assert start.adapter.probabilities(rows().pooled).argmax(1).tolist() == [1, 1, 0, 0]
    assert start.began_as.startswith("logistic regression on 4 inputs")
    assert "chosen: one question, 2 answers" in start.began_as


def test_a_named_family_begins_fresh_and_the_same_for_the_same_seed(agent: Any) -> None:
    one, other = started(agent, "prefix"), started(agent, "prefix")
    assert one.began_as == "fresh weights"
    assert all(
        torch.equal(a, b) for a, b in zip(one.adapter.parameters(), other.adapter.parameters(), strict=True)
    )
    assert fit_again(agent, one, rows(), 0) is None


def test_fitting_again_passes_over_answers_that_are_new(agent: Any) -> None:
    start, more = started(agent, "auto"), rows()
    more = Labelled(torch.cat([more.pooled, torch.ones(1, 2)]), [*more.answers, "new"], more.spell)
    said = fit_again(agent, start, more, 0)
    assert said is not None
    assert "on 4 inputs" in said


def test_a_family_that_nobody_brings_is_named_with_those_there_are(agent: Any) -> None:
    agent.plugins.adapters["mine"] = AdapterFamily("mine", "", "nowhere:build")
    with pytest.raises(UserError, match=r"no adapter family called 'min'.*concepts.*Did you mean 'mine'"):
        started(agent, "min")
