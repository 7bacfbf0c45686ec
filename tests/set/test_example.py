"""The table of what sets tell: which scenes are tested, what stands beside them, how long each row learns."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pa = pytest.importorskip("pyarrow")

EXAMPLES = Path(__file__).parents[2] / "examples" / "senses"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`examples/senses/set.py`; what lies beside it is found as it is where the file is run."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    spec = importlib.util.spec_from_file_location("example_of_sets", EXAMPLES / "set.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two scenes for each of eight statements, as the data of NLVR are kept; number 1 says what 0 says."""
    import pyarrow.parquet as parquet

    rows = [
        {
            "identifier": f"{number}-{scene}",
            "sentence": f"There are {number} black items." if number else "there are 1 black  items",
            "label": ("true", "false")[scene],
            "structured_rep": [[{"type": "circle", "color": color, "x_loc": 1, "y_loc": 2, "size": 9}]],
            "image": {"bytes": b"picture", "path": None},
        }
        for number in range(8)
        for scene, color in enumerate(("Black", "Yellow"))
    ]
    (tmp_path / "nlvr").mkdir()
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "nlvr" / "dev.parquet")
    return tmp_path


def told(folder: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]


def test_no_statement_of_the_test_was_learned_and_the_rows_differ_in_what_is_shown_alone(
    example: ModuleType, data: Path
) -> None:
    rows = {}
    for shown in ("objects", "nothing", "picture"):
        rows[shown] = told(example.scenes(data, data / shown, shown=shown))
        asked = {(one["split"], one["question"]) for one in rows[shown]}
        assert {words for part, words in asked if part == "test"} == {
            "there are 1 black  items",
            "There are 4 black items.",
        }
        learned = {words for part, words in asked if part == "train"}
        assert learned == {f"There are {number} black items." for number in (2, 3, 5, 6, 7)}
    objects, nothing = (
        {(data / shown / one["set"]).read_bytes() for one in rows[shown]} for shown in ("objects", "nothing")
    )
    assert (len(objects), len(nothing)) == (2, 1)
    assert {(data / "picture" / one["image"]).read_bytes() for one in rows["picture"]} == {b"picture"}
    common = [[(one["question"], one["answer"], one["split"]) for one in rows[shown]] for shown in rows]
    assert common[0] == common[1] == common[2]


def test_statements_are_learned_longer_than_one_question_and_the_user_has_the_last_word(
    example: ModuleType, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    taken: list[tuple[Any, ...]] = []

    def measured(place: Path, work: Path, seed: int, options: Sequence[str]) -> dict[str, float]:
        taken.append((len(told(place)), seed, list(options)))
        return {"the adapter": 0.5 + seed / 10}

    monkeypatch.setattr(example, "measured", measured)
    words = ["set.py", "--data", str(data), "--only", "statement alone", "--seeds", "1", "2"]
    monkeypatch.setattr("sys.argv", [*words, "--train", "--epochs", "4"])
    example.main()
    options = [*example.STATEMENTS, "--epochs", "4"]
    assert taken == [(14, 1, options), (14, 2, options)]
    assert "| NLVR, statement alone | 65.0 (60.0, 70.0) |" in capsys.readouterr().out
