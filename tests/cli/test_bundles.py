"""``mmagent bundles``: what is there, where from, how big, how good; and the card of one."""

from __future__ import annotations

import json
import shutil


def test_lists_the_embedded_one_and_those_of_the_folder(call, tiny_bundle, monkeypatch):
    monkeypatch.chdir(tiny_bundle.parent)
    rows = {row["name"]: row for row in json.loads(call("bundles", "--json").out)}
    assert rows["tiny"]["origin"] == "embedded"
    mine = rows["./random"]
    assert (mine["origin"], mine["problem"], mine["scores"]) == ("yours", None, {"nonsense": 1.0})
    assert mine["bytes"] == sum(
        file.stat().st_size
        for file in tiny_bundle.rglob("*")
        if file.is_file() and file.name not in ("bundle.json", "README.md")
    )


def test_the_table_is_for_people(call, tiny_bundle, monkeypatch):
    monkeypatch.chdir(tiny_bundle.parent)
    lines = call("bundles").out.splitlines()
    assert lines[0].split() == ["bundle", "version", "from", "size", "state", "scores"]
    assert next(line for line in lines if line.startswith("./random")).endswith("nonsense 100.0%")


def test_a_broken_bundle_is_listed_with_what_is_wrong(call, tiny_bundle, tmp_path, monkeypatch):
    shutil.copytree(tiny_bundle, tmp_path / "broken")
    (tmp_path / "broken" / "image" / "adapter.safetensors").unlink()
    monkeypatch.chdir(tmp_path)
    done = call("bundles")
    assert done.code == 0
    assert "out" in next(line for line in done.out.splitlines() if line.startswith("./broken"))
    assert "adapter.safetensors" in done.err


def test_shows_the_card(call, tiny_bundle):
    assert call("bundles", "show", tiny_bundle).out == "# random\n\nRandom weights, for tests.\n"
    manifest = json.loads(call("bundles", "show", tiny_bundle, "--json").out)
    assert manifest["name"] == "random"


def test_an_unknown_name_gets_the_nearest(call):
    done = call("bundles", "show", "tny")
    assert done.code == 2
    assert "Did you mean 'tiny'?" in done.err
