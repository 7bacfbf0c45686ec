"""A bundle whose core bends: asked with that adapter, or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmagent import Agent
from mmagent.bundle import Bundle
from mmagent.core import Core
from mmagent.errors import UserError
from mmagent.plugins import load_plugins
from mmagent_adapters.bending import build_lora

QUESTION = "What is this?"
CHOICES = ["a cup", "a frog", "a dax"]
WEIGHTS = "core-adapter.safetensors"


def said(agent: Agent, **media: Any) -> list[float]:
    """How probable each choice is."""
    found = agent.ask(QUESTION, choices=CHOICES, **media).choices
    assert found is not None
    return [found[choice] for choice in CHOICES]


def rewritten(
    source: Path, target: Path, change: Callable[[dict[str, Any], dict[str, torch.Tensor]], object]
) -> Path:
    """The bundle written anew, all hashes right, with another manifest or tensors."""
    manifest = json.loads((source / "bundle.json").read_text())
    del manifest["format"], manifest["files"]
    tensors = load_file(source / WEIGHTS)
    change(manifest, tensors)
    parts = {"core": source / "core", "image": source / "image", WEIGHTS: tensors}
    return Bundle.write(target, manifest, parts, card="# changed\n").path


def test_it_is_asked_with_the_adapter_inside_of_its_core(
    tiny_bundle: Path, bent_bundle: Path, pictures: Path
) -> None:
    plain, bent = Agent.load(tiny_bundle, dtype="float32"), Agent.load(bent_bundle, dtype="float32")
    picture = {"image": str(pictures / "red.png")}
    assert max(abs(a - b) for a, b in zip(said(plain, **picture), said(bent, **picture), strict=True)) > 1e-3
    by_hand = Core.load(tiny_bundle / "core", device="cpu", dtype="float32")
    adapter = by_hand.bend(lambda model: build_lora({"r": 2}, model))
    adapter.load_state_dict(load_file(bent_bundle / WEIGHTS))
    assert said(bent) == pytest.approx(said(Agent(Bundle.open(bent_bundle), by_hand, load_plugins())))
    bent.core.assert_frozen()
    assert bent.core.fingerprint() == plain.core.fingerprint()
    assert not any(parameter.requires_grad for parameter in bent.core.model.parameters())


def test_an_agent_made_of_bundle_and_core_has_the_adapter_too(bent_bundle: Path, tiny_bundle: Path) -> None:
    plugins, core = load_plugins(), Core.load(tiny_bundle / "core", device="cpu", dtype="float32")
    made = Agent(Bundle.open(bent_bundle), core, plugins)
    assert said(made) == pytest.approx(said(Agent.load(bent_bundle, dtype="float32")))
    with pytest.raises(UserError, match="is not that of bundle 'random'"):
        Agent(Bundle.open(tiny_bundle), core, plugins)
    with torch.no_grad():
        next(core.adapter.parameters()).add_(1)  # type: ignore[union-attr]
    with pytest.raises(UserError, match="is not that of bundle 'bent'"):
        Agent(Bundle.open(bent_bundle), core, plugins)


def test_a_bundle_that_lost_the_entry_of_its_adapter_is_not_asked(bent_bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bent_bundle, tmp_path / "copy"))
    manifest = json.loads((copy / "bundle.json").read_text())
    del manifest["core"]["adapter"]
    (copy / "bundle.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=f"lists {WEIGHTS}, and no entry of its bundle.json uses it"):
        Agent.load(copy)


def drop(manifest: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    del tensors[sorted(tensors)[0]]


def add(manifest: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    tensors["model.layers.9.self_attn.q_proj.lora_A.weight"] = torch.zeros(2, 32)


def reshape(manifest: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    name = sorted(tensors)[0]
    tensors[name] = torch.zeros(3, 32)


def other_family(manifest: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    manifest["core"]["adapter"]["family"] = "lra"


def of_a_sense(manifest: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    manifest["core"]["adapter"] |= {"family": "prefix", "config": {}}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (drop, r"1 missing \(model.layers.0"),
        (add, r"1 unexpected \(model.layers.9"),
        (reshape, "1 of another shape"),
        (other_family, "needs the adapter family 'lra'.*Did you mean 'lora'"),
        (of_a_sense, "'prefix' is one of a sense"),
    ],
    ids=["missing", "unexpected", "shape", "family", "kind"],
)
def test_what_does_not_fit_is_an_error(bent_bundle: Path, tmp_path: Path, change: Any, told: str) -> None:
    with pytest.raises(UserError, match=told) as caught:
        Agent.load(rewritten(bent_bundle, tmp_path / "changed", change))
    assert "\n" not in str(caught.value)


def test_a_family_of_the_core_is_none_of_a_sense(bent_bundle: Path, tmp_path: Path, pictures: Path) -> None:
    def change(manifest: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        manifest["senses"]["image"]["adapter"]["family"] = "lora"

    agent = Agent.load(rewritten(bent_bundle, tmp_path / "changed", change))
    with pytest.raises(UserError, match=r"'lora' for 'image', which goes into a core"):
        agent.ask(QUESTION, image=str(pictures / "red.png"))


def test_changed_weights_and_missing_hashes_are_errors(bent_bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(bent_bundle, tmp_path / "b")
    tensors = load_file(tmp_path / "b" / WEIGHTS)
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, tmp_path / "b" / WEIGHTS)
    with pytest.raises(UserError, match=f"damaged: {WEIGHTS}"):
        Agent.load(tmp_path / "b")
    file = tmp_path / "b" / "bundle.json"
    manifest = json.loads(file.read_text())
    del manifest["files"][WEIGHTS]
    file.write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=f"uses {WEIGHTS}, but .* lists no checksum"):
        Agent.load(tmp_path / "b")


def test_another_core_is_refused_and_a_copy_is_bent(bent_bundle: Path, tmp_path: Path) -> None:
    same, other = tmp_path / "same", tmp_path / "other"
    shutil.copytree(bent_bundle / "core", same)
    shutil.copytree(bent_bundle / "core", other)
    file = other / "model.safetensors"
    changed = {name: tensor + 0.01 for name, tensor in load_file(file).items()}
    save_file(changed, file, metadata={"format": "pt"})
    own = Agent.load(bent_bundle, dtype="float32")
    assert said(Agent.load(bent_bundle, core=same, dtype="float32")) == pytest.approx(said(own))
    with pytest.raises(UserError, match=r"adapter \(lora\) that was trained inside of its own core"):
        Agent.load(bent_bundle, core=other)
