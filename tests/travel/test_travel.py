"""A bundle that travelled is the bundle that set out; one that was tampered with leaves nothing behind."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mmagent.bundle import Bundle
from mmagent.errors import UserError
from mmagent.files import list_files
from mmagent.travel import diff_bundles, export_bundle, import_bundle, pull_bundle, push_bundle

MANIFEST: dict[str, Any] = {
    "name": "kitchen",
    "version": "1",
    "description": "Knows cups.",
    "core": {"path": "core"},
    "senses": {
        "image": {
            "encoder": "image/encoder",
            "adapter": {
                "family": "prefix",
                "config": {"n_tokens": 2},
                "weights": "image/adapter.safetensors",
            },
            "memory": {"beta": 12.5, "mean": "mean"},
        },
        "audio": {"encoder": "someone/an-audio-model"},
    },
    "calibration": {"scale": 1.5, "bias": -0.2},
    "scores": {"cups": 0.9, "table": {"cups": {"n": 100}}},
}


def write(place: Path, change: Callable[[dict[str, Any], dict[str, Any]], object] | None = None) -> Bundle:
    """A small bundle; `change` gets its manifest and its parts first."""
    manifest = json.loads(json.dumps(MANIFEST))
    parts: dict[str, Any] = {
        "core/config.json": "{}",
        "core/a rather long name for a file that a plain old tar header has no room for at all " * 2
        + "é": "x",
        "image/encoder/config.json": "{}",
        "image/adapter.safetensors": {"w": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2)},
        "image/memory.safetensors": {"mean": torch.zeros(3)},
    }
    if change:
        change(manifest, parts)
    return Bundle.write(place, manifest, parts, card=manifest.pop("card", "# Kitchen\n"))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory that a test works in, with a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def kitchen(tmp_path: Path) -> Bundle:
    return write(tmp_path / "made" / "kitchen")


@pytest.fixture
def packed(kitchen: Bundle, here: Path) -> Path:
    return export_bundle(kitchen, here / "kitchen.tar")


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def left(here: Path) -> list[str]:
    """What lies in the directory, hidden files included."""
    return sorted(os.listdir(here))


def refused(here: Path, file: Path) -> str:
    """What is said when a file is imported that must not be; nothing is left behind."""
    before = left(here)
    with pytest.raises(UserError) as caught:
        import_bundle(file)
    assert left(here) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_was_exported_is_imported_the_same(kitchen: Bundle, packed: Path) -> None:
    found = import_bundle(packed)
    assert found.path == Path("kitchen")
    assert list_files(found.path) == list_files(kitchen.path)
    assert diff_bundles(kitchen, found) == []
    assert import_bundle(packed, "elsewhere/deep").files == kitchen.files


def test_what_lies_beside_the_bundle_stays_behind(kitchen: Bundle, here: Path) -> None:
    (kitchen.path / "optimiser.pt").write_text("large")
    export_bundle(kitchen, here / "kitchen.tar")
    assert not (import_bundle(here / "kitchen.tar").path / "optimiser.pt").exists()


def test_the_same_bundle_gives_the_same_bytes(kitchen: Bundle, packed: Path, tmp_path: Path) -> None:
    other = tmp_path / "another place"
    shutil.copytree(kitchen.path, other)
    for at, path in enumerate(sorted(other.rglob("*"), reverse=True)):
        os.utime(path, (at, at))
        if path.is_file():
            path.chmod(0o600 + at % 2 * 0o77)
    again = export_bundle(Bundle.open(other), "again.tar")
    assert again.read_bytes() == packed.read_bytes()
    assert export_bundle(import_bundle(packed), "third.tar").read_bytes() == packed.read_bytes()


def test_nothing_is_overwritten_by_accident(kitchen: Bundle, packed: Path, here: Path) -> None:
    with pytest.raises(UserError, match="exists already"):
        export_bundle(kitchen, packed)
    export_bundle(kitchen, packed, replace=True)
    import_bundle(packed)
    assert "exists already" in refused(here, packed)
    assert import_bundle(packed, replace=True).name == "kitchen"
    (here / "mine").mkdir()
    (here / "mine" / "x").write_text("")
    with pytest.raises(UserError, match="left alone"):
        import_bundle(packed, "mine", replace=True)


def test_an_export_goes_through_a_link_and_replaces_no_pipe(kitchen: Bundle, here: Path) -> None:
    (here / "deep").mkdir()
    (here / "link.tar").symlink_to("deep/kitchen.tar")
    export_bundle(kitchen, "link.tar")
    assert (here / "link.tar").is_symlink()
    assert import_bundle("deep/kitchen.tar").files == kitchen.files
    os.mkfifo(here / "pipe.tar")
    with pytest.raises(UserError, match=r"pipe\.tar is a pipe"):
        export_bundle(kitchen, "pipe.tar", replace=True)
    assert (here / "pipe.tar").is_fifo()


def test_an_export_that_fails_leaves_no_file(kitchen: Bundle, here: Path) -> None:
    file = kitchen.path / "image" / "memory.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(UserError, match=r"damaged: image/memory\.safetensors"):
        export_bundle(kitchen, here / "kitchen.tar")
    assert left(here) == []


def test_a_bundle_that_needs_what_lies_outside_does_not_set_out(tmp_path: Path, here: Path) -> None:
    (tmp_path / "core").mkdir()
    for word in (str(tmp_path / "core"), "../core", "~/core"):
        bundle = write(tmp_path / "made", lambda m, p, word=word: m["core"].update(path=word))  # type: ignore[misc]
        with pytest.raises(UserError, match=r"uses the core in .* outside of the bundle"):
            export_bundle(bundle, "kitchen.tar")
        with pytest.raises(UserError, match=r"uses the core in .* outside of the bundle"):
            push_bundle(bundle, "./there")
        shutil.rmtree(tmp_path / "made")
    assert left(here) == []


def repack(packed: Path, change: Callable[[dict[str, tuple[tarfile.TarInfo, bytes]]], object]) -> Path:
    """The same tar with some of its members changed."""
    with tarfile.open(packed) as tar:
        found = {
            info.name: (info, stream.read()) for info in tar if (stream := tar.extractfile(info)) is not None
        }
    change(found)
    with tarfile.open(packed, "w") as tar:
        for info, data in found.values():
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return packed


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info, b""


@pytest.mark.parametrize(
    ("added", "said"),
    [
        (member("/etc/passwd"), "does not name a file inside"),
        (member("../outside"), "does not name a file inside"),
        (member("core/../../outside"), "does not name a file inside"),
        (member("core\\outside"), "does not name a file inside"),
        (member("./core/x"), "does not name a file inside"),
        (member("core/link", tarfile.SYMTYPE, "/etc/passwd"), "is a link"),
        (member("core/hard", tarfile.LNKTYPE, "bundle.json"), "is a link"),
        (member("core/pipe", tarfile.FIFOTYPE), "is a device or another special file"),
        (member("core/null", tarfile.CHRTYPE), "is a device or another special file"),
        (member("core/hole", tarfile.GNUTYPE_SPARSE), "special file"),
        (member("folder", tarfile.DIRTYPE), "is a directory"),
        (member("core/config.json"), "holds 'core/config.json' twice"),
        (member("core/stranger"), "which its bundle.json does not list"),
    ],
    ids=lambda value: value[0].name if isinstance(value, tuple) else None,
)
def test_a_hostile_tar_is_refused(
    packed: Path, here: Path, added: tuple[tarfile.TarInfo, bytes], said: str
) -> None:
    assert said in refused(here, repack(packed, lambda found: found.update(extra=added)))
    assert not (here.parent / "outside").exists()


@pytest.mark.parametrize("name", ["image/adapter.safetensors", "core/config.json"])
def test_a_damaged_member_is_refused(packed: Path, here: Path, name: str) -> None:
    def flip(found: dict[str, tuple[tarfile.TarInfo, bytes]]) -> None:
        info, data = found[name]
        found[name] = info, data[:-1] + bytes([data[-1] ^ 1])

    assert f"damaged: {name} has sha256" in refused(here, repack(packed, flip))


def test_a_member_of_another_size_is_refused_before_it_is_written(packed: Path, here: Path) -> None:
    def grow(found: dict[str, tuple[tarfile.TarInfo, bytes]]) -> None:
        info, data = found["core/config.json"]
        found["core/config.json"] = info, data + bytes(1_000_000)

    assert "core/config.json has 1,000,002 bytes, 2 expected" in refused(here, repack(packed, grow))


@pytest.mark.parametrize("name", ["image/adapter.safetensors", "bundle.json"])
def test_a_missing_member_is_told(packed: Path, here: Path, name: str) -> None:
    assert name in refused(here, repack(packed, lambda found: found.pop(name)))


def test_a_name_that_leads_elsewhere_needs_a_place(tmp_path: Path, here: Path) -> None:
    for name in ("../up", "/root/x", ".hidden", ""):
        bundle = write(tmp_path / "made", lambda m, p, name=name: m.update(name=name))  # type: ignore[misc]
        packed = export_bundle(bundle, "x.tar", replace=True)
        assert "--out DIR" in refused(here, packed)
        shutil.rmtree(tmp_path / "made")
    assert import_bundle(packed, "fine").path == Path("fine")


def test_a_file_that_is_cut_off_or_no_tar(packed: Path, here: Path) -> None:
    whole = packed.read_bytes()
    for length in range(0, len(whole) - 10240, 700):
        packed.write_bytes(whole[:length])
        assert str(packed) in refused(here, packed)
    packed.write_text("hello, this is no tar at all " * 40)
    assert "no tar that can be read" in refused(here, packed)
    assert "is not there" in refused(here, here / "no.tar")


def test_a_bundle_does_not_differ_from_itself(kitchen: Bundle) -> None:
    assert diff_bundles(kitchen, kitchen) == []


def test_the_difference_names_a_changed_weight(kitchen: Bundle, tmp_path: Path) -> None:
    def change(manifest: dict[str, Any], parts: dict[str, Any]) -> None:
        parts["image/adapter.safetensors"] = {
            "w": torch.arange(6.0).reshape(2, 3) + torch.tensor([[0, 0, 0], [0, -0.25, 0.125]]),
            "b": torch.ones(3),
        }

    file, b, w = diff_bundles(kitchen, write(tmp_path / "b", change))
    assert (file.part, file.name, file.largest, file.tensor) == (
        "weights",
        "image/adapter.safetensors",
        0.25,
        None,
    )
    assert (b.tensor, b.a, b.b, b.largest) == ("b", "float32 (2,)", "float32 (3,)", None)
    assert (w.tensor, w.largest) == ("w", 0.25)


def test_the_difference_of_large_and_of_broken_numbers(
    kitchen: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmagent.travel.difference.PIECE", 2)
    for at, value in ((5, 1e30), (0, float("nan"))):
        changed = torch.arange(6.0)
        changed[at] = value
        place = tmp_path / str(at)

        def change(manifest: Any, parts: Any, changed: torch.Tensor = changed) -> None:
            parts["image/adapter.safetensors"]["w"] = changed.reshape(2, 3)

        _, w = diff_bundles(kitchen, write(place, change))
        assert w.largest is not None
        assert math.isnan(w.largest) if math.isnan(value) else math.isclose(w.largest, value, rel_tol=1e-6)


def test_the_difference_of_settings_and_scores(kitchen: Bundle, tmp_path: Path) -> None:
    def change(manifest: dict[str, Any], parts: dict[str, Any]) -> None:
        manifest["core"]["path"] = "org/model"
        manifest["senses"]["audio"]["encoder"] = "someone/else"
        manifest["senses"]["image"]["adapter"]["family"] = "resampler"
        manifest["senses"]["image"]["adapter"]["config"] = {"n_tokens": 4, "depth": 2}
        manifest["senses"]["image"]["memory"]["beta"] = 10
        manifest["calibration"] = None
        manifest["scores"]["cups"] = 0.95
        manifest["scores"]["table"]["cups"]["n"] = 200
        manifest["card"] = "# Another\n"

    found = diff_bundles(kitchen, write(tmp_path / "b", change))
    assert {(one.part, one.name): (one.a, one.b) for one in found} == {
        ("core", "path"): ("core", "org/model"),
        ("encoder", "audio.encoder"): ("someone/an-audio-model", "someone/else"),
        ("adapter", "image.adapter.family"): ("prefix", "resampler"),
        ("adapter", "image.adapter.config.n_tokens"): (2, 4),
        ("adapter", "image.adapter.config.depth"): (None, 2),
        ("memory", "image.memory.beta"): (12.5, 10),
        ("calibration", "scale"): (1.5, None),
        ("calibration", "bias"): (-0.2, None),
        ("scores", "cups"): (0.9, 0.95),
        ("scores", "table.cups.n"): (100, 200),
        ("card", "README.md"): ("sha256 " + sha("# Kitchen\n"), "sha256 " + sha("# Another\n")),
    }


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_a_directory_stands_for_a_hub(kitchen: Bundle, tmp_path: Path, here: Path, form: str) -> None:
    store = tmp_path / "a store" / "kitchen"
    address = form.format(str(store).replace(" ", "%20") if "file" in form else store)
    assert push_bundle(kitchen, address) == str(store)
    found = pull_bundle(address)
    assert found.path == Path("kitchen")
    assert diff_bundles(kitchen, found) == []
    with pytest.raises(UserError, match="exists already"):
        push_bundle(kitchen, address)
    push_bundle(kitchen, address, replace=True)
    os.truncate(store / "core" / "config.json", 1)
    with pytest.raises(UserError, match=r"damaged: core/config\.json"):
        pull_bundle(address, "again")
    assert left(here) == ["kitchen"]


@pytest.mark.parametrize("address", ["https://x.org/a/b", "kitchen", "a/b/c", "", "file://host/x"])
def test_an_address_that_names_no_place(kitchen: Bundle, address: str) -> None:
    with pytest.raises(UserError, match="names no place for a bundle"):
        push_bundle(kitchen, address)
