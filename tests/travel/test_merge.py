"""Merging: the same answers from a plain core, or nothing written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from mmagent import Agent
from mmagent.bundle import Bundle
from mmagent.errors import UserError
from mmagent.plugins import Plugins, load_plugins
from mmagent.request import Request
from mmagent.tensors import read_tensors
from mmagent.travel import diff_bundles, export_bundle, merge_bundle
from mmagent_adapters.bending import PeftAdapter

WEIGHTS = "core-adapter.safetensors"
TOLERANCE = {"float32": 1e-5, "bfloat16": 2e-2}  # of the largest logit, by how the weights are stored


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return load_plugins()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place for what is written; nothing may be left beside it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    yield tmp_path / "here"
    assert not list((tmp_path / "here").glob(".*"))


def read(place: Path, picture: Path) -> tuple[str, torch.Tensor]:
    """What an agent says of a picture, and the logits (1, n, V) of its prompt's embeddings."""
    agent = Agent.load(place, dtype="float32")
    composed = agent.read(Request("What is this?", {"image": [str(picture)]}))
    inputs = agent.core.assemble([composed.prompt])
    logits, _ = agent.core.forward(embeds=inputs.embeds, mask=None, positions=inputs.position_ids)
    return agent.ask("What is this?", image=str(picture), max_tokens=6).text, logits


def apart(a: torch.Tensor, b: torch.Tensor) -> float:
    """The largest difference, as a share of the largest number."""
    return float((a - b).abs().max() / a.abs().max())


def rewritten(source: Path, target: Path, parts: dict[str, Any], core: str = "core") -> Path:
    """A bundle with other parts, and its core elsewhere."""
    manifest = json.loads((source / "bundle.json").read_text())
    del manifest["format"], manifest["files"]
    manifest["core"]["path"] = core
    return Bundle.write(target, manifest, {"image": source / "image", **parts}, card="# changed\n").path


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_the_merged_bundle_answers_the_same_without_an_adapter(
    bent_bundle: Path, tiny_bundle: Path, plugins: Plugins, pictures: Path, here: Path, dtype: str
) -> None:
    bent = Bundle.open(bent_bundle)
    merged = merge_bundle(bent, here / "merged", plugins, dtype=dtype)
    assert merged.core_adapter is None
    assert WEIGHTS not in merged.files
    picture = pictures / "red.png"
    wanted, found, plain = (read(place, picture) for place in (bent_bundle, merged.path, tiny_bundle))
    assert apart(wanted[1], found[1]) <= TOLERANCE[dtype]
    assert apart(wanted[1], plain[1]) > 5 * TOLERANCE[dtype]
    if dtype == "float32":
        assert found[0] == wanted[0]
    with safe_open(merged.path / "core" / "model.safetensors", "pt") as tensors:
        assert {str(tensors.get_tensor(name).dtype) for name in tensors.keys()} == {f"torch.{dtype}"}  # noqa: SIM118


def test_only_the_core_is_another(bent_bundle: Path, plugins: Plugins, here: Path) -> None:
    bent = Bundle.open(bent_bundle)
    merged = merge_bundle(bent, here / "merged", plugins)
    told = json.loads((merged.path / "bundle.json").read_text())["merged"]
    core = Agent.load(merged.path, dtype="float32").core
    assert told["core_sha256"] == Agent.load(bent.path, dtype="float32").core.fingerprint()
    assert told["merged_core_sha256"] == core.fingerprint() != told["core_sha256"]
    assert told["adapter_sha256"] == bent.files[WEIGHTS].sha256
    others = {name: file for name, file in bent.files.items() if name.startswith("image/")}
    assert {name: merged.files[name] for name in others} == others
    changed = {one.tensor for one in diff_bundles(bent, merged) if one.tensor}
    assert changed
    assert all(name.endswith(("q_proj.weight", "v_proj.weight")) for name in changed if name)
    assert "merged into the weights" in merged.card()
    assert bent.card().strip() in merged.card()
    assert Bundle.open(bent_bundle).files == bent.files


def test_a_core_outside_of_the_bundle_is_copied_in(
    bent_bundle: Path, plugins: Plugins, pictures: Path, here: Path, tmp_path: Path
) -> None:
    parts = {WEIGHTS: bent_bundle / WEIGHTS}
    outside = rewritten(bent_bundle, tmp_path / "outside", parts, str(bent_bundle / "core"))
    with pytest.raises(UserError, match="outside of the bundle"):
        export_bundle(Bundle.open(outside), here / "x.tar")
    merged = merge_bundle(Bundle.open(outside), here / "merged", plugins)
    assert merged.core == str(here / "merged" / "core")
    export_bundle(merged, here / "x.tar")
    picture = pictures / "blue.png"
    assert apart(read(merged.path, picture)[1], read(outside, picture)[1]) <= 1e-5


def test_what_cannot_be_merged_is_one_line(
    tiny_bundle: Path, bent_bundle: Path, plugins: Plugins, here: Path
) -> None:
    taken = here / "taken"
    taken.mkdir()
    (taken / "mine.txt").write_text("keep")
    tries: list[tuple[Path, Path, dict[str, Any], str]] = [
        (tiny_bundle, here / "new", {}, "no adapter inside of its core, so there is nothing to merge"),
        (bent_bundle, here / "new", {"dtype": "int8"}, "not stored in 'int8'. There are: float32"),
        (bent_bundle, taken, {}, "is not empty"),
    ]
    for bundle, place, options, told in tries:
        with pytest.raises(UserError, match=told) as caught:
            merge_bundle(Bundle.open(bundle), place, plugins, **options)
        assert "\n" not in str(caught.value)
    assert [path.name for path in here.iterdir()] == ["taken"]
    assert [path.name for path in taken.iterdir()] == ["mine.txt"]


def test_a_core_that_would_answer_otherwise_is_not_written(
    bent_bundle: Path, plugins: Plugins, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def halved(adapter: PeftAdapter) -> None:
        with torch.no_grad():
            for tensor in adapter.parameters():
                tensor.mul_(0.5)
        merge(adapter)

    merge = PeftAdapter.merge
    monkeypatch.setattr(PeftAdapter, "merge", halved)
    with pytest.raises(UserError, match="cannot be merged: with it in the weights, logits differ by"):
        merge_bundle(Bundle.open(bent_bundle), here / "new", plugins)
    assert not list(here.iterdir())


def test_weights_that_are_no_numbers_are_not_merged(
    bent_bundle: Path, plugins: Plugins, here: Path, tmp_path: Path
) -> None:
    state = read_tensors(bent_bundle / WEIGHTS)
    state[sorted(state)[0]][0, 0] = float("nan")
    broken = rewritten(bent_bundle, tmp_path / "broken", {"core": bent_bundle / "core", WEIGHTS: state})
    with pytest.raises(UserError, match="cannot be merged"):
        merge_bundle(Bundle.open(broken), here / "new", plugins)
    assert not list(here.iterdir())
