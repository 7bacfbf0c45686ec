"""Which families a run trains, where they begin, and what a bundle keeps of them."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from mmagent import Agent
from mmagent.adapter import AdapterFamily
from mmagent.bundle import Bundle
from mmagent.data import read_labelled
from mmagent.errors import UserError
from mmagent.plugins import load_plugins
from mmagent.tensors import read_tensors
from mmagent.training.chosen import choose
from mmagent.training.run import Prepared, prepare, train
from mmagent.training.settings import TrainSettings

STRANGERS = {
    "sight": AdapterFamily("sight", "a stranger's", "strange:sight"),
    "twist": AdapterFamily("twist", "a stranger's", "strange:twist", into_core=True),
}
FEW = {"epochs": 1.0, "validations": 1, "batch_size": 4, "validation_share": 0.4}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def data(tmp_path: Path) -> Any:
    """Two classes of plain pictures in class folders."""
    from PIL import Image

    for name in ("red", "blue"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for at in range(5):
            Image.new("RGB", (40, 32), name).resize((40 + at, 32)).save(
                tmp_path / "data" / name / f"{at}.png"
            )
    return read_labelled(str(tmp_path / "data"), load_plugins().modalities)


def prepared(data: Any, agent: Agent, adapter: str, **more: Any) -> Prepared:
    return prepare(data, agent, TrainSettings().changed({**FEW, "adapter": adapter, **more}))


def trained(data: Any, agent: Agent, out: Path, adapter: str, **more: Any) -> Bundle:
    settings = TrainSettings().changed({**FEW, "adapter": adapter, **more})
    return train(prepare(data, agent, settings), settings, out, data=data, command=["mmagent"]).bundle


def test_any_sense_family_combines_with_any_core_family() -> None:
    for word in ("sight+twist", "twist+sight"):
        found = choose(TrainSettings(adapter=word), STRANGERS)
        assert (found.sense, found.core) == (STRANGERS["sight"], STRANGERS["twist"])
    alone = choose(TrainSettings(adapter="twist", adapter_options="turns=3 way=left,up"), STRANGERS)
    assert alone.sense is None
    assert alone.of(STRANGERS["twist"]) == {"turns": 3, "way": ["left", "up"]}
    both = choose(
        TrainSettings(adapter="sight+twist", adapter_options="sight.n=2 twist.share=0.5 twist.way=up"),
        STRANGERS,
    )
    assert both.options == {"sight": {"n": 2}, "twist": {"share": 0.5, "way": "up"}}


@pytest.mark.parametrize(
    ("adapter", "options", "said"),
    [
        ("prefix+lra", "", r"no adapter family called 'lra'.*Did you mean 'lora'"),
        ("lora+ia3", "", "lora and ia3 both go into the core"),
        ("prefix+resampler", "", "prefix and resampler both stand before the core"),
        ("prefix+", "", "no adapter family called ''"),
        ("lora", "r", "cannot read 'r' in adapter_options"),
        ("prefix+lora", "r=4", "whose setting is 'r'.*prefix.r=4 or lora.r=4"),
        ("lora", "prefix.n_tokens=4", "'prefix.n_tokens=4' is for the family 'prefix'"),
    ],
)
def test_what_cannot_be_trained_together_is_one_line(adapter: str, options: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        choose(TrainSettings(adapter=adapter, adapter_options=options), load_plugins().adapters)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("adapter", ["lora", "ia3", "prefix+lora", "resampler+ia3"])
def test_a_bundle_keeps_what_was_trained(tiny_bundle: Path, data: Any, tmp_path: Path, adapter: str) -> None:
    agent = Agent.load(tiny_bundle, dtype="float32")
    mark = agent.core.fingerprint()
    bundle = trained(data, agent, tmp_path / "new", adapter, adapter_options="")
    inside = adapter.rpartition("+")[2]
    assert bundle.core_adapter is not None
    assert bundle.core_adapter.family == inside
    assert bundle.core_adapter.weights in bundle.files
    own = bundle.senses["image"].adapter
    assert own is not None
    assert own.family == (adapter.partition("+")[0] if "+" in adapter else "prefix")
    kept = bundle.files[own.weights] == Bundle.open(tiny_bundle).files["image/adapter.safetensors"]
    assert kept == ("+" not in adapter)
    again = Agent.load(bundle.path, dtype="float32")
    assert again.core.fingerprint() == mark
    assert again.core.adapter is not None
    there, here = again.core.adapter.state_dict(), agent.core.adapter.state_dict()  # type: ignore[union-attr]
    assert all(torch.equal(there[name], tensor) for name, tensor in here.items())
    assert f"`{inside}` adapter inside of the core" in bundle.card()


def test_training_goes_on_from_what_is_in_the_core(tiny_bundle: Path, data: Any, tmp_path: Path) -> None:
    first = trained(data, Agent.load(tiny_bundle), tmp_path / "a", "lora", adapter_options="r=4")
    agent = Agent.load(first.path)
    begun = prepared(data, agent, "lora")
    assert begun.start.began_as == "the bundle's own lora"
    own = read_tensors(first.path / "core-adapter.safetensors")
    inside: Any = begun.start.core_adapter
    assert all(torch.equal(own[name], tensor) for name, tensor in inside.state_dict().items())
    for adapter, options in (("ia3", ""), ("lora", "r=8")):
        with pytest.raises(UserError, match=r"has an adapter already \(lora, r=4 .*--no-keep"):
            prepared(data, agent, adapter, adapter_options=options)
    fresh = prepared(data, agent, "ia3", keep=False)
    assert fresh.start.began_as == "a fresh ia3"
    assert agent.core.adapter is fresh.start.core_adapter


def test_training_the_sense_alone_keeps_what_is_in_the_core(
    tiny_bundle: Path, data: Any, tmp_path: Path
) -> None:
    first = trained(data, Agent.load(tiny_bundle), tmp_path / "a", "lora")
    agent = Agent.load(first.path)
    begun = prepared(data, agent, "prefix")
    assert {name.partition(".")[0] for name, *_ in begun.parameters()} == {"image"}
    second = trained(data, agent, tmp_path / "b", "prefix")
    assert second.core_adapter == first.core_adapter
    name = "core-adapter.safetensors"
    assert second.files[name] == first.files[name]
    assert second.files["image/adapter.safetensors"] != first.files["image/adapter.safetensors"]


def test_what_an_earlier_run_left_in_the_core_is_taken_out(tiny_bundle: Path, data: Any) -> None:
    agent = Agent.load(tiny_bundle)
    prepared(data, agent, "lora")
    begun = prepared(data, agent, "prefix")
    assert agent.core.adapter is None
    assert begun.start.core_adapter is None


def test_the_options_of_a_sense_family_are_used(tiny_bundle: Path, data: Any) -> None:
    agent = Agent.load(tiny_bundle)
    begun = prepared(data, agent, "prefix+lora", adapter_options="prefix.n_tokens=5 lora.r=2")
    assert begun.start.sense_adapter.n_tokens == 5
    inside: Any = begun.start.core_adapter
    assert inside.config["r"] == 2
    assert (
        prepared(data, agent, "prefix", adapter_options="n_tokens=2").start.began_as
        == "the bundle's own adapter"
    )


def test_the_core_alone_needs_the_bundles_own_adapter(tiny_bundle: Path, data: Any) -> None:
    settings = TrainSettings().changed({**FEW, "adapter": "lora"})
    with pytest.raises(UserError, match=r"Train one with it: --adapter prefix\+lora"):
        prepare(data, Agent.load(tiny_bundle), settings, encoder=str(tiny_bundle / "image" / "encoder"))


def test_an_encoder_that_has_done_its_work_is_let_go(data: Any, tiny_bundle: Path) -> None:
    agent = Agent.load(tiny_bundle)
    encoder = agent.encoder("image")[1]
    alive, name = weakref.ref(encoder), encoder.id
    del encoder
    made = prepared(data, agent, "prefix")
    assert alive() is None
    assert agent.encoder("image")[1].id == name  # had again when it is asked for
    assert len(made.task.seen.keys) == 10  # type: ignore[attr-defined]
