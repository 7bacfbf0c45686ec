"""A bundle appears at once or not at all, and replaces another only on purpose."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from kitchen_parts import MANIFEST, parts

from mmagent.bundle import Bundle
from mmagent.errors import UserError


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
