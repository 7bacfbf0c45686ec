"""A bundle is found by its name or its path, and the listing says what there is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mmagent.bundle import Bundle, BundleSource, find_bundle, list_bundles
from mmagent.errors import UserError


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
