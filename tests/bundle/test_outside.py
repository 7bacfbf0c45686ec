"""A core or an encoder that a bundle names and does not hold is known by its checksums."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmagent import Agent
from mmagent.bundle import Bundle
from mmagent.errors import UserError


@pytest.fixture
def elsewhere(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the core, somewhere else."""
    return Path(shutil.copytree(tiny_bundle / "core", tmp_path / "elsewhere"))


@pytest.fixture
def naming(tiny_bundle: Path, elsewhere: Path, tmp_path: Path) -> Path:
    """The embedded bundle, its core and its encoder named by their places."""
    raw = json.loads((tiny_bundle / "bundle.json").read_text(encoding="utf-8"))
    encoder = shutil.copytree(tiny_bundle / "image/encoder", tmp_path / "seeing")
    raw["core"] = {"path": str(elsewhere)}
    raw["senses"]["image"]["encoder"] = str(encoder)
    held = [name for name in raw.pop("files") if not name.startswith(("core/", "image/encoder/"))]
    raw.pop("format")
    parts = {name: tiny_bundle / name for name in held}
    Bundle.write(tmp_path / "naming", raw, parts, card="# naming\n")
    return tmp_path / "naming"


def nudge(file: Path) -> None:
    """Move one weight of a file a little."""
    tensors = load_file(file)
    name = next(name for name in sorted(tensors) if tensors[name].is_floating_point())
    tensors[name] = tensors[name] + torch.finfo(tensors[name].dtype).eps * 100
    save_file(tensors, file, metadata={"format": "pt"})


def test_what_is_named_is_listed_and_answers(
    naming: Path, tiny_bundle: Path, elsewhere: Path, pictures: Path
) -> None:
    listed = json.loads((naming / "bundle.json").read_text(encoding="utf-8"))["outside"]
    assert set(listed) == {str(elsewhere), str(naming.parent / "seeing")}
    assert "model.safetensors" in listed[str(elsewhere)]
    assert "config.json" in listed[str(elsewhere)]
    picture = sorted(pictures.iterdir())[0]
    assert Agent.load(naming).ask(image=picture).text == Agent.load(tiny_bundle).ask(image=picture).text


def test_a_core_that_changed_is_refused(naming: Path, elsewhere: Path) -> None:
    nudge(elsewhere / "model.safetensors")
    with pytest.raises(UserError, match=r"its core is no longer what the bundle was trained with\. .*sha256"):
        Agent.load(naming)


def test_an_encoder_that_changed_is_refused(naming: Path, pictures: Path) -> None:
    nudge(naming.parent / "seeing" / "model.safetensors")
    agent = Agent.load(naming)
    with pytest.raises(UserError, match=r"its encoder for image is no longer what the bundle was trained"):
        agent.ask(image=sorted(pictures.iterdir())[0])


def test_another_place_with_the_same_weights_will_do(
    naming: Path, tiny_bundle: Path, elsewhere: Path, pictures: Path
) -> None:
    picture = sorted(pictures.iterdir())[0]
    same = Agent.load(naming, core=tiny_bundle / "core")
    assert same.ask(image=picture).text
    nudge(elsewhere / "model.safetensors")
    with pytest.raises(UserError, match="other weights"):
        Agent.load(naming, core=elsewhere).ask(image=picture)


def test_an_id_in_the_hubs_cache_is_known_by_its_snapshot(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmagent.outside import checksums

    place = tmp_path / "hub/models--org--small"
    shutil.copytree(tiny_bundle / "core", place / "snapshots/0123abc")
    (place / "refs").mkdir()
    (place / "refs/main").write_text("0123abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    found = checksums("org/small")
    assert found == checksums(str(tiny_bundle / "core"))
    assert found
    assert checksums("org/other") == {}
    assert checksums("builtin") == {}
