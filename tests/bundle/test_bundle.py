"""A bundle is whole, or the user is told what is wrong with it; it appears at once, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmagent.adapter import AdapterFamily
from mmagent.bundle import Bundle, BundleSource, find_bundle, list_bundles
from mmagent.errors import UserError
from mmagent_adapters import FAMILIES
from mmagent_adapters.prefix import build_linear

D_ENCODER, D_CORE = 6, 4
MANIFEST: dict[str, Any] = {
    "name": "kitchen",
    "version": "1.2",
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
            "memory": {"beta": 12.5, "threshold": 0.4, "mean": "mean"},
        },
        "audio": {"encoder": "someone/an-audio-model"},
    },
    "prompts": {"default_question": "What is this?"},
    "calibration": {"scale": 1.5, "bias": -0.2},
    "scores": {"cups": 0.97},
    "licence": "Apache-2.0",
}
BIG = b"0123456789abcdef" * 100_000  # 1.6 MB, enough for its hash to be remembered


@dataclass
class FakePlugins:
    """The adapter families, as plugins bring them."""

    adapters: dict[str, AdapterFamily] = field(default_factory=lambda: {f.name: f for f in FAMILIES})

    def resolve(self, dotted: str) -> Any:
        """The linear prefix, whatever is asked for."""
        assert dotted == "mmagent_adapters.prefix:build_linear"
        return build_linear


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache directory of the test's own."""
    place = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(place))
    monkeypatch.setenv("LOCALAPPDATA", str(place))
    return place


def trained() -> Any:
    """An adapter with weights one can recognise."""
    torch.manual_seed(3)
    return build_linear({"n_tokens": 2}, D_ENCODER, D_CORE).eval()


def parts(tmp_path: Path) -> dict[str, Any]:
    """What goes into the bundle."""
    core = tmp_path / "trained core"
    (core / "deeper").mkdir(parents=True, exist_ok=True)
    (core / "model.safetensors").write_bytes(BIG)
    (core / "config.json").write_text("{}")
    (core / "deeper" / "x.txt").write_text("x")
    return {
        "core": core,
        "image/encoder/config.json": "{}",
        "image/encoder/model.safetensors": b"weights",
        "image/adapter.safetensors": trained().state_dict(),
        "image/memory.safetensors": {"mean": torch.arange(6.0), "other": torch.zeros(1)},
    }


@pytest.fixture
def kitchen(tmp_path: Path) -> Path:
    """A whole bundle."""
    return Bundle.write(tmp_path / "kitchen", MANIFEST, parts(tmp_path), card="# Kitchen\n").path


def refused(path: Path) -> str:
    """What is said when a bundle is opened that cannot be used."""
    with pytest.raises(UserError) as caught:
        Bundle.open(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change bundle.json in place."""
    file = path / "bundle.json"
    manifest = json.loads(file.read_text())
    change(manifest)
    file.write_text(json.dumps(manifest))


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
    ],
)
def test_a_manifest_that_is_wrong(kitchen: Path, change: Any, said: str) -> None:
    edit(kitchen, change)
    message = refused(kitchen)
    assert said in message
    assert "kitchen" in message


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "\xff"])
def test_a_manifest_that_is_no_json_object(kitchen: Path, text: str) -> None:
    (kitchen / "bundle.json").write_bytes(text.encode("latin-1"))
    assert "bundle.json" in refused(kitchen)


def test_no_bundle_there(tmp_path: Path) -> None:
    assert "it holds no bundle.json" in refused(tmp_path)


def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files hashed from now on."""
    import mmagent.files as files

    names: list[str] = []
    real = files.sha256_of

    def watched(path: Path) -> str:
        names.append(path.name)
        return real(path)

    monkeypatch.setattr(files, "sha256_of", watched)
    return names


def test_a_large_file_is_hashed_once(kitchen: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(cache, ignore_errors=True)
    names = hashed(monkeypatch)
    Bundle.open(kitchen)
    assert sorted(set(names)) == [
        "adapter.safetensors",
        "config.json",
        "memory.safetensors",
        "model.safetensors",
        "x.txt",
    ]
    assert [path.name for path in cache.rglob("*") if path.is_file()] == ["hashes.json"]
    names.clear()
    Bundle.open(kitchen)
    assert names.count("model.safetensors") == 1  # the encoder's seven bytes; the core is remembered


@pytest.mark.parametrize("content", ["", "[]", '{"x": 3}', "\x00"])
def test_a_broken_memory_of_hashes_is_done_without(kitchen: Path, cache: Path, content: str) -> None:
    file = next(cache.rglob("hashes.json"))
    file.write_text(content)
    assert Bundle.open(kitchen).name == "kitchen"


def test_a_cache_that_cannot_be_written_is_done_without(
    kitchen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert Bundle.open(kitchen).name == "kitchen"


def contents(directory: Path) -> list[str]:
    """Every name in a directory, hidden ones too."""
    return sorted(path.name for path in directory.iterdir())


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "place"
    place.mkdir()
    given = parts(tmp_path)
    for bad in ({"core": tmp_path / "nowhere"}, {"../x": b""}, {"image/adapter.safetensors": None}):
        with pytest.raises((UserError, AttributeError)):
            Bundle.write(place / "kitchen", MANIFEST, {**given, **bad}, card="")
        assert contents(place) == []
    with pytest.raises(UserError, match="lists no checksum"):
        Bundle.write(place / "kitchen", MANIFEST, {"core": given["core"]}, card="")
    assert contents(place) == []
    monkeypatch.setattr(
        Bundle, "open", classmethod(lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    )
    with pytest.raises(KeyboardInterrupt):
        Bundle.write(place / "kitchen", MANIFEST, given, card="")
    assert contents(place) == []


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    given = parts(tmp_path)
    monkeypatch.setattr(shutil, "copyfile", full)
    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(UserError, match="No space left on device"):
        Bundle.write(tmp_path / "kitchen", MANIFEST, given, card="")
    assert not (tmp_path / "kitchen").exists()


def test_an_existing_bundle_is_replaced_only_on_purpose(kitchen: Path, tmp_path: Path) -> None:
    given = parts(tmp_path)
    with pytest.raises(UserError, match="exists already"):
        Bundle.write(kitchen, {**MANIFEST, "version": "2"}, given, card="")
    assert Bundle.open(kitchen).version == "1.2"
    (kitchen / "stale.txt").write_text("")
    before = contents(tmp_path)
    Bundle.write(kitchen, {**MANIFEST, "version": "2"}, given, card="", replace=True)
    assert Bundle.open(kitchen).version == "2"
    assert not (kitchen / "stale.txt").exists()
    assert contents(tmp_path) == before


def test_a_replacement_that_fails_keeps_the_old_bundle(
    kitchen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, real = parts(tmp_path), os.rename

    def second_fails(source: Any, target: Any) -> None:
        if Path(source).name == "new":
            raise OSError(5, "Input/output error")
        real(source, target)

    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises(UserError, match="cannot be written"):
        Bundle.write(kitchen, {**MANIFEST, "version": "2"}, given, card="", replace=True)
    assert Bundle.open(kitchen).version == "1.2"


def test_a_directory_that_is_no_bundle_is_never_replaced(tmp_path: Path) -> None:
    given = parts(tmp_path)
    home = tmp_path / "home"
    home.mkdir()
    (home / "letter.txt").write_text("dear")
    with pytest.raises(UserError, match="left alone"):
        Bundle.write(home, MANIFEST, given, card="", replace=True)
    with pytest.raises(UserError, match="is a file"):
        Bundle.write(home / "letter.txt", MANIFEST, given, card="", replace=True)
    assert (home / "letter.txt").read_text() == "dear"


@pytest.mark.skipif(os.name != "posix", reason="file modes are a POSIX matter")
def test_others_may_read_a_bundle(kitchen: Path) -> None:
    mask = os.umask(0)
    os.umask(mask)
    assert kitchen.stat().st_mode & 0o777 == 0o777 & ~mask


@pytest.fixture
def sources(kitchen: Path) -> dict[str, BundleSource]:
    """One bundle that a plugin brings."""
    return {"tiny": BundleSource("tiny", kitchen, "embedded")}


def test_finding_by_name_path_and_manifest(
    kitchen: Path, sources: dict[str, BundleSource], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for word in ("tiny", "./kitchen", "kitchen", kitchen, str(kitchen), kitchen / "bundle.json"):
        assert find_bundle(word, sources).resolve() == kitchen
    kitchen.rename(tmp_path / "other")
    assert find_bundle("kitchen", {}).resolve() == tmp_path / "other"


def test_a_registered_name_wins_over_a_directory(
    sources: dict[str, BundleSource], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(sources["tiny"].directory(), tmp_path / "tiny")
    assert find_bundle("tiny", sources) == sources["tiny"].path
    assert find_bundle("./tiny", sources) == Path("tiny")


def test_an_unknown_bundle_says_what_there_is(
    sources: dict[str, BundleSource], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        find_bundle("tny", sources)
    assert str(caught.value) == (
        "no bundle called 'tny'. There are: tiny (embedded), ./kitchen (yours). Did you mean 'tiny'?"
    )
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty is a directory without a bundle.json.*There are: tiny"):
        find_bundle("empty", sources)
    with pytest.raises(UserError, match="There are none"):
        find_bundle("x", {}, here=tmp_path / "empty")


def test_the_listing_shows_size_and_scores_and_what_is_broken(
    kitchen: Path, sources: dict[str, BundleSource], tmp_path: Path
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "bundle.json").write_text("{")
    sources["gone"] = BundleSource("gone", "no_such_package.x:PATH", "a-distribution")
    rows = {row.name: row for row in list_bundles(sources, here=tmp_path)}
    assert list(rows) == ["tiny", "gone", f"{tmp_path}/broken", f"{tmp_path}/kitchen"]
    tiny = rows["tiny"]
    assert (tiny.version, tiny.origin, tiny.scores, tiny.problem) == ("1.2", "embedded", {"cups": 0.97}, None)
    assert tiny.bytes == Bundle.open(kitchen).size
    assert "is not JSON" in str(rows[f"{tmp_path}/broken"].problem)
    assert "no_such_package" in str(rows["gone"].problem)


def test_a_source_by_dotted_path() -> None:
    assert BundleSource("x", "os:getcwd", "a test").directory() == Path.cwd()
    assert BundleSource("x", "os:curdir", "a test").directory() == Path()
