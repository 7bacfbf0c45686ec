"""The hash of a large file is remembered, and done without where it cannot be."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mmagent.bundle import Bundle


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
