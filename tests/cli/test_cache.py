"""``mmagent cache``: what is kept, in words and as JSON, and how it is cleaned."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
import torch

from mmagent.feature_cache import FeatureCache, FeatureKey
from mmagent.modality import Features

ONE, OTHER = "1a" * 32, "2b" * 32


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The user's cache with two entries of one encoder and an old one of another."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    values = torch.ones(2, 100, 64)
    features = Features(values, torch.ones(2, 100, dtype=torch.bool), values[:, 0])
    with FeatureCache() as cache:
        cache.put_many([FeatureKey("a", OTHER), FeatureKey("b", OTHER)], features)
    for shard in cache.directory.rglob("*.shard"):
        os.utime(shard, (time.time() - 10 * 86400,) * 2)
    with FeatureCache() as cache:
        cache.put_many([FeatureKey("a", ONE), FeatureKey("b", ONE)], features)
    return cache.directory


def kept(call):
    return json.loads(call("cache", "--json").out)


def test_says_where_how_many_and_how_large(call, home):
    lines = call("cache").out.splitlines()
    assert lines[0] == f"{home}: 4 entries, 104.4 kB"
    assert lines[1].split()[:3] == ["encoder", "entries", "size"]
    assert lines[2].split()[:6] == [ONE[:12], "2", "52.2", "kB", "64", "float32"]
    told = kept(call)
    assert (told["directory"], told["entries"]) == (str(home), 4)
    assert told["bytes"] == sum(path.stat().st_size for path in home.rglob("*.shard"))
    assert {row["encoder"]: row["entries"] for row in told["encoders"]} == {ONE: 2, OTHER: 2}


def test_an_empty_cache(call, tmp_path):
    assert call("cache", "--dir", tmp_path / "no").out == f"{tmp_path / 'no'}: 0 entries, 0 bytes\n"


@pytest.mark.parametrize("option", [("--older-than", "1w"), ("--encoder", OTHER[:5])], ids=" ".join)
def test_cleans_what_is_named(call, home, option):
    done = call("cache", "clean", *option, "--yes")
    assert done == (0, "removed 2 entries (52.2 kB)\n", "")
    assert [row["encoder"] for row in kept(call)["encoders"]] == [ONE]


def test_cleans_everything_as_json(call, home):
    done = json.loads(call("cache", "clean", "--yes", "--json").out)
    assert (done["entries"], done["files"]) == (4, 2)
    assert kept(call)["entries"] == 0


def test_asks_first(call, home, monkeypatch):
    done = call("cache", "clean")
    assert done.code == 2
    assert done.err == f"mmagent: this would remove 4 entries (104.4 kB) from {home}. Add --yes to do it.\n"
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    for answer, left in (("n", 4), ("y", 0)):
        monkeypatch.setattr("typer.confirm", lambda text, err, answer=answer: answer == "y")
        call("cache", "clean")
        assert kept(call)["entries"] == left


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--older-than", "soon"], "90m, 12h, 30d, 8w"),
        (["--encoder", "zz"], f"There are: {ONE[:12]}, {OTHER[:12]}"),
    ],
)
def test_a_wrong_option_is_told_in_one_line(call, home, options, said):
    done = call("cache", "clean", *options, "--yes")
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1
    assert kept(call)["entries"] == 4


@pytest.mark.parametrize("arguments", [["cache", "--help"], ["cache", "clean", "--help"], ["cache"]])
def test_needs_no_torch(arguments, home):
    code = (
        "import sys\nfrom mmagent_cli.app import main\n"
        f"code = main({arguments!r})\nassert 'torch' not in sys.modules\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
