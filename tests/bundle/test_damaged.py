"""A bundle is whole, or the user is told in one sentence what is wrong with it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from kitchen_parts import BIG, D_CORE, D_ENCODER, FakePlugins, edit, refused
from safetensors.torch import load_file, save_file

from mmagent.bundle import Bundle
from mmagent.errors import UserError


@pytest.mark.parametrize("name", ["core/model.safetensors", "image/adapter.safetensors", "core/config.json"])
def test_a_missing_file(kitchen: Path, name: str) -> None:
    (kitchen / name).unlink()
    message = refused(kitchen)
    assert f"bundle 'kitchen' is incomplete: {name} is missing" in message
    assert "bytes expected" in message


@pytest.mark.parametrize("name", ["core/model.safetensors", "image/adapter.safetensors"])
def test_a_file_that_was_cut_off(kitchen: Path, name: str) -> None:
    size = (kitchen / name).stat().st_size
    os.truncate(kitchen / name, size - 1)
    message = refused(kitchen)
    assert f"{name} has {size - 1:,} bytes, {size:,} expected" in message


@pytest.mark.parametrize("name", ["core/model.safetensors", "image/adapter.safetensors"])
def test_one_changed_byte(kitchen: Path, name: str) -> None:
    Bundle.open(kitchen)
    data = bytearray((kitchen / name).read_bytes())
    data[-1] ^= 1
    (kitchen / name).write_bytes(data)
    message = refused(kitchen)
    assert f"{name} has sha256 " in message
    assert hashlib.sha256(data).hexdigest()[:12] in message


def test_one_changed_byte_with_the_old_time(kitchen: Path) -> None:
    Bundle.open(kitchen)
    file = kitchen / "core" / "model.safetensors"
    before = file.stat()
    file.write_bytes(b"x" + BIG[1:])
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "has sha256" in refused(kitchen)


def test_a_renamed_file(kitchen: Path) -> None:
    (kitchen / "image" / "adapter.safetensors").rename(kitchen / "image" / "adaptor.safetensors")
    assert "image/adapter.safetensors is missing" in refused(kitchen)


def rewrite(kitchen: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Replace the adapter's tensors, checksum and all, as a careless tool might."""
    file = kitchen / "image" / "adapter.safetensors"
    save_file(tensors, file)
    entry = {"sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "bytes": file.stat().st_size}
    edit(kitchen, lambda manifest: manifest["files"].update({"image/adapter.safetensors": entry}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("linear.bias"), "1 missing (linear.bias)"),
        (lambda t: t.update(extra=torch.zeros(1)), "1 unexpected (extra)"),
        (lambda t: t.update({"linear.bais": t.pop("linear.bias")}), "1 missing (linear.bias), 1 unexpected"),
        (
            lambda t: t.update({"linear.bias": torch.zeros(3)}),
            "1 of another shape (linear.bias (3,) for (8,))",
        ),
    ],
)
def test_adapter_tensors_that_do_not_fit(kitchen: Path, change: Any, said: str) -> None:
    tensors = load_file(kitchen / "image" / "adapter.safetensors")
    change(tensors)
    rewrite(kitchen, tensors)
    with pytest.raises(UserError) as caught:
        Bundle.open(kitchen).load_adapter("image", FakePlugins(), D_ENCODER, D_CORE)
    assert said in str(caught.value)


def test_another_encoder_or_core_than_it_was_trained_with(kitchen: Path) -> None:
    with pytest.raises(UserError, match="of another shape"):
        Bundle.open(kitchen).load_adapter("image", FakePlugins(), D_ENCODER + 1, D_CORE)


def test_an_adapter_file_that_is_no_safetensors(kitchen: Path) -> None:
    file = kitchen / "image" / "adapter.safetensors"
    file.write_bytes(b"not tensors at all")
    entry = {"sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "bytes": file.stat().st_size}
    edit(kitchen, lambda manifest: manifest["files"].update({"image/adapter.safetensors": entry}))
    with pytest.raises(UserError, match="is no readable safetensors file"):
        Bundle.open(kitchen).load_adapter("image", FakePlugins(), D_ENCODER, D_CORE)


def test_a_memory_tensor_that_is_not_there(kitchen: Path) -> None:
    edit(kitchen, lambda manifest: manifest["senses"]["image"]["memory"].update(projection="proj"))
    with pytest.raises(UserError, match=r"holds no tensor 'proj'. It holds: mean, other"):
        Bundle.open(kitchen).load_memory("image")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m.pop("name"), '"name" is missing; it must be a JSON string'),
        (lambda m: m.update(name=3), '"name" is 3; it must be a JSON string'),
        (lambda m: m.pop("format"), '"format" is missing'),
        (lambda m: m.update(format=2), "has format 2; this mmagent reads format 1"),
        (lambda m: m.pop("core"), '"core" is missing; it must be a JSON object'),
        (lambda m: m["core"].pop("path"), 'core: "path" is missing'),
        (lambda m: m["core"].update(path=""), "names an empty place"),
        (lambda m: m.update(senses=[]), '"senses" is []; it must be a JSON object'),
        (lambda m: m["senses"]["image"].pop("encoder"), 'senses, image: "encoder" is missing'),
        (lambda m: m["senses"]["image"]["adapter"].pop("family"), '"family" is missing'),
        (lambda m: m["senses"]["image"]["adapter"].update(weights="../x"), "does not name a file inside"),
        (lambda m: m["senses"]["image"]["memory"].update(weights=3), '"weights" is 3'),
        (
            lambda m: m["files"].update({"/etc/passwd": {"sha256": "", "bytes": 1}}),
            "does not name a file inside",
        ),
        (
            lambda m: m["files"]["core/config.json"].pop("bytes"),
            '"bytes" is missing; it must be a JSON integer',
        ),
        (lambda m: m["files"].pop("image/adapter.safetensors"), "lists no checksum for it"),
        (lambda m: m["files"].pop("image/memory.safetensors"), "lists no checksum for it"),
        (lambda m: m.update(calibration=[1]), '"calibration" is [1]'),
        (lambda m: m.update(calibration={"scale": "a"}), "\"scale\" is 'a'; it must be a number"),
        (lambda m: m.update(calibration={"vqa": {"bias": None}}), '"bias" is None; it must be a number'),
        (
            lambda m: m.update(prompts={"max_shots": "many"}),
            "\"max_shots\" is 'many'; it must be a JSON integer",
        ),
    ],
)
def test_a_manifest_that_is_wrong(kitchen: Path, change: Any, said: str) -> None:
    edit(kitchen, change)
    message = refused(kitchen)
    assert said in message
    assert "kitchen" in message


@pytest.mark.parametrize(
    ("change", "idle"),
    [
        (lambda m: m["senses"]["image"].pop("adapter"), "image/adapter.safetensors"),
        (lambda m: m["senses"]["image"].pop("memory"), "image/memory.safetensors"),
        (lambda m: m["senses"].pop("image"), "image/adapter.safetensors"),
    ],
    ids=["adapter", "memory", "sense"],
)
@pytest.mark.parametrize("check_content", [True, False])
def test_weights_that_no_entry_names_are_not_left_out_in_silence(
    kitchen: Path, change: Any, idle: str, check_content: bool
) -> None:
    edit(kitchen, change)
    with pytest.raises(UserError, match=f"'kitchen' lists {idle}, and no entry of its bundle.json uses it"):
        Bundle.open(kitchen, check_content=check_content)


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "\xff"])
def test_a_manifest_that_is_no_json_object(kitchen: Path, text: str) -> None:
    (kitchen / "bundle.json").write_bytes(text.encode("latin-1"))
    assert "bundle.json" in refused(kitchen)


def test_no_bundle_there(tmp_path: Path) -> None:
    assert "it holds no bundle.json" in refused(tmp_path)
