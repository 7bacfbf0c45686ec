"""Entry points are found as `importlib.metadata` finds them, without importing it."""

from __future__ import annotations

import importlib.metadata
import sys

from mmagent.entrypoints import find_entry_points


def test_finds_what_the_standard_library_finds():
    theirs = importlib.metadata.entry_points(group="console_scripts")
    ours = {(entry.name, entry.value) for entry in find_entry_points("console_scripts")}
    assert ours == {(entry.name, entry.value) for entry in theirs}
    assert len(ours) > 5


def test_the_first_copy_on_the_path_counts(tmp_path, monkeypatch):
    for at, version in enumerate(("2.0", "1.0")):
        info = tmp_path / str(at) / f"My_Plugin-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Name: My_Plugin\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(
            "[other]\na = b\n[a group]\n# a comment\nx = some.module:thing.inner\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path / str(at)))
    [found] = find_entry_points("a group")
    assert (found.name, found.value, found.distribution, found.version) == (
        "x",
        "some.module:thing.inner",
        "my-plugin",
        "1.0",
    )


def test_asks_the_standard_library_where_an_import_hook_finds_packages(monkeypatch):
    class Hook:
        @staticmethod
        def find_spec(*_):
            return None

        @staticmethod
        def find_distributions(*_):
            return iter(())

    plain = list(find_entry_points("mmagent"))
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Hook])
    assert list(find_entry_points("mmagent")) == plain
    assert {entry.name for entry in plain} >= {"adapters", "image", "tiny"}


def test_loads_modules_and_attributes():
    loaded = {
        entry.name: entry.load() for entry in find_entry_points("mmagent") if entry.distribution == "mmagent"
    }
    assert loaded["image"].__name__ == "mmagent_image"
