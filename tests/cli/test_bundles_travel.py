"""``mmagent bundles export``, ``import``, ``push``, ``pull`` and ``diff``, as a user meets them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from safetensors.torch import load_file

from mmagent.bundle import Bundle

COMMANDS = ("export", "import", "push", "pull", "merge", "diff")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The directory that the commands are called in."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def changed(tiny_bundle, tmp_path):
    """The bundle with another weight and another score."""
    manifest = json.loads((tiny_bundle / "bundle.json").read_text())
    weights = load_file(tiny_bundle / "image" / "adapter.safetensors")
    name = sorted(weights)[0]
    weights[name].view(-1)[0] += 0.5
    manifest["scores"] = {"nonsense": 0.5}
    del manifest["files"], manifest["format"]
    parts = {"core": tiny_bundle / "core", "image/encoder": tiny_bundle / "image" / "encoder"}
    parts["image/adapter.safetensors"] = weights
    card = (tiny_bundle / "README.md").read_text()
    return Bundle.write(tmp_path / "changed", manifest, parts, card=card).path, name


def test_out_and_in_again(call, here, tiny_bundle):
    done = call("bundles", "export", tiny_bundle, "--out", "r.tar")
    assert (done.code, done.out) == (0, "")
    assert done.err.startswith("mmagent: random is in r.tar (")
    done = call("bundles", "import", "r.tar")
    assert (done.code, done.err.partition("Ask it: ")[2]) == (
        0,
        "mmagent ask --bundle random --image FILE\n",
    )
    for words in (["export", tiny_bundle, "--out", "r.tar"], ["import", "r.tar"]):
        done = call("bundles", *words)
        assert done.code == 2
        assert "exists already. Choose another name, or give --replace." in done.err
    assert call("bundles", "diff", tiny_bundle, "./random") == (
        0,
        "",
        f"mmagent: {tiny_bundle} and ./random do not differ\n",
    )
    assert call("bundles", "push", "./random", "--to", "./store/r").code == 0
    assert call("bundles", "pull", "./store/r").code == 0
    assert json.loads(call("bundles", "diff", "./r", "./random", "--json").out) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["export", "tny", "--out", "x.tar"], "Did you mean 'tiny'?"),
        (["import", "no.tar"], "no.tar is not there"),
        (["import", "text"], "text is no tar"),
        (["pull", "./nothing"], "there is no bundle in nothing"),
        (["push", "tiny", "--to", "somewhere"], "names no place"),
        (["diff", "tiny", "tny"], "Did you mean 'tiny'?"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_a_mistake_is_one_line(call, here, words, said):
    (here / "text").write_text("hello")
    done = call("bundles", *words)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert said in done.err
    assert sorted(path.name for path in here.iterdir()) == ["text"]


def test_tells_what_differs(call, here, tiny_bundle, changed):
    other, name = changed
    lines = call("bundles", "diff", tiny_bundle, other).out.splitlines()
    assert lines[0].split()[:2] == ["part", "name"]
    assert next(line for line in lines if line.startswith("scores")).split()[1:] == ["nonsense", "1", "0.5"]
    assert next(line for line in lines if name in line).split()[-1] == "0.5"
    told = json.loads(call("bundles", "diff", tiny_bundle, other, "--json").out)
    assert [one["part"] for one in told] == ["scores", "weights", "weights"]
    assert (told[2]["tensor"], told[2]["largest"]) == (name, 0.5)


def test_only_the_tensors_that_differ_most_are_shown(call, here, tiny_bundle, tmp_path):
    shutil.copytree(tiny_bundle, tmp_path / "other")
    manifest = json.loads((tiny_bundle / "bundle.json").read_text())
    del manifest["files"], manifest["format"]
    weights = load_file(tiny_bundle / "core" / "model.safetensors")
    for at, name in enumerate(sorted(weights)):
        weights[name] += at
    parts = {"core": tiny_bundle / "core", "core/model.safetensors": weights, "image": tiny_bundle / "image"}
    Bundle.write(tmp_path / "other", manifest, parts, card="# other\n", replace=True)
    out = call("bundles", "diff", tiny_bundle, tmp_path / "other").out
    assert out.count("float32 (") == 2 * 5
    assert sorted(weights)[-1] in out
    assert f"and {len(weights) - 1 - 5} tensors more" in out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_costs_no_heavy_import(command):
    heavy = ("torch", "transformers", "numpy", "huggingface_hub", "safetensors")
    code = (
        "import sys\nfrom mmagent_cli.app import main\n"
        f"code = main(['bundles', {command!r}, '--help'])\n"
        f"print(*sorted(set({heavy!r}) & set(sys.modules)), file=sys.stderr)\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr.split()) == (0, [])
    assert "Usage" in done.stdout
