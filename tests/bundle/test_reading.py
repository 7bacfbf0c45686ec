"""What was written into a bundle is read from it, wherever it stands."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from kitchen_parts import BIG, D_CORE, D_ENCODER, FakePlugins, edit, trained

from mmagent.bundle import Bundle
from mmagent.errors import UserError
from mmagent_adapters import FAMILIES


def test_what_was_written_is_read(kitchen: Path) -> None:
    bundle = Bundle.open(kitchen)
    assert (bundle.name, bundle.version, bundle.description) == ("kitchen", "1.2", "Knows cups.")
    assert bundle.core == str(kitchen / "core")
    assert bundle.senses["image"].encoder == str(kitchen / "image" / "encoder")
    assert bundle.senses["audio"].encoder == "someone/an-audio-model"
    assert bundle.senses["audio"].adapter is None
    assert bundle.prompts == {"default_question": "What is this?"}
    assert bundle.calibration == {"scale": 1.5, "bias": -0.2}
    assert bundle.scores == {"cups": 0.97}
    assert bundle.licence == "Apache-2.0"
    assert bundle.card() == "# Kitchen\n"
    listed = bundle.files["core/model.safetensors"]
    assert (listed.bytes, listed.sha256) == (len(BIG), hashlib.sha256(BIG).hexdigest())
    assert "core/deeper/x.txt" in bundle.files
    assert {"bundle.json", "README.md"}.isdisjoint(bundle.files)
    on_disk = [path for path in kitchen.rglob("*") if path.is_file()]
    assert len(bundle.files) == len(on_disk) - 2
    assert bundle.size == sum(path.stat().st_size for path in on_disk if path.parent != kitchen)


def test_a_bundle_can_be_moved(kitchen: Path, tmp_path: Path) -> None:
    moved = kitchen.rename(tmp_path / "elsewhere")
    assert Bundle.open(moved).core == str(moved / "core")


def test_a_core_by_hub_id_or_absolute_path(kitchen: Path, tmp_path: Path) -> None:
    for place in ("org/model", str(tmp_path)):
        edit(kitchen, lambda manifest, place=place: manifest["core"].update(path=place))  # type: ignore[misc]
        assert Bundle.open(kitchen).core == place


def test_the_card_may_be_edited_and_may_be_absent(kitchen: Path) -> None:
    (kitchen / "README.md").write_text("better words")
    assert Bundle.open(kitchen).card() == "better words"
    (kitchen / "README.md").unlink()
    assert Bundle.open(kitchen).card() == "Knows cups."


def test_the_adapter_comes_back_frozen(kitchen: Path) -> None:
    found: Any = Bundle.open(kitchen).load_adapter("image", FakePlugins(), D_ENCODER, D_CORE)
    assert torch.equal(found.linear.weight, trained().linear.weight)
    assert not found.training
    assert not any(parameter.requires_grad for parameter in found.parameters())
    again: Any = Bundle.open(kitchen).load_adapter("image", FakePlugins(), D_ENCODER, D_CORE, trainable=True)
    assert all(parameter.requires_grad for parameter in again.parameters())


def test_memory_settings_with_their_tensors(kitchen: Path) -> None:
    found = Bundle.open(kitchen).load_memory("image")
    assert found.pop("mean").tolist() == [0, 1, 2, 3, 4, 5]
    assert found == {"beta": 12.5, "threshold": 0.4}
    assert Bundle.open(kitchen).load_memory("audio") == {}


def test_a_sense_that_is_not_there(kitchen: Path) -> None:
    with pytest.raises(
        UserError, match=r"no sense for 'imag'. Its senses: image, audio. Did you mean 'image'"
    ):
        Bundle.open(kitchen).sense("imag")


def test_a_sense_without_an_adapter(kitchen: Path) -> None:
    with pytest.raises(UserError, match="has no adapter for 'audio'"):
        Bundle.open(kitchen).load_adapter("audio", FakePlugins(), D_ENCODER, D_CORE)


def test_an_adapter_family_that_nobody_brings(kitchen: Path) -> None:
    plugins = FakePlugins({"prefixes": FAMILIES[0]})
    with pytest.raises(UserError, match=r"family 'prefix', which no plugin brings.*Did you mean 'prefixes'"):
        Bundle.open(kitchen).load_adapter("image", plugins, D_ENCODER, D_CORE)
