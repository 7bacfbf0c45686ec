"""Molecules in labelled data and in rows of questions: SMILES stand where others have the path of a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmagent.data import check, read_labelled
from mmagent.plugins import load_plugins
from mmagent.request import request_from_row

MOLECULES = {"CCO": "alcohol", "CCCO": "alcohol", "CC(=O)O": "acid", "C/C=C/C(=O)O": "acid"}


def csv(place: Path, column: str = "graph") -> Path:
    rows = [f"{smiles},{kind}" for smiles, kind in MOLECULES.items()]
    place.write_text("\n".join([f"{column},label", *rows]))
    return place


@pytest.mark.parametrize("column", ["graph", "smiles"])
def test_a_column_of_smiles_is_a_column_of_molecules(tmp_path: Path, column: str) -> None:
    pytest.importorskip("rdkit")
    plugins = load_plugins()
    found = read_labelled(csv(tmp_path / "molecules.csv", column), plugins.modalities)
    assert not found.problems
    assert [one.media["graph"] for one in found] == [(smiles,) for smiles in MOLECULES]
    report = check(found, plugins)
    assert not report.problems
    assert report.media == len(MOLECULES)


def test_a_file_of_that_name_goes_first_and_what_is_neither_is_told(tmp_path: Path) -> None:
    (tmp_path / "CCO").write_text("a b\nb c\n")
    rows = [("CCO", "x"), ("CCN", "y"), ("ethanol", "z"), ("ethanol.smi", "z")]
    place = tmp_path / "rows.csv"
    place.write_text("\n".join(["graph,label", *(",".join(row) for row in rows)]))
    found = read_labelled(place, load_plugins().modalities)
    assert [one.media["graph"] for one in found] == [(tmp_path / "CCO",), ("CCN",)]
    assert [problem.what for problem in found.problems] == [
        "there is no file ethanol.",
        "there is no file ethanol.smi.",
    ]


def test_a_question_may_bring_smiles(tmp_path: Path) -> None:
    (tmp_path / "CN").write_text("a b\n")
    row = {"graph": ["CCO", "CN", "some.graphml"], "shots": [{"graph": "CO", "answer": "alcohol"}]}
    asked = request_from_row(row, load_plugins().modalities, tmp_path)
    assert asked.media == {"graph": ["CCO", tmp_path / "CN", tmp_path / "some.graphml"]}
    assert asked.shots[0].media == {"graph": ["CO"]}


def test_molecules_are_learned_scored_and_asked_about(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rdkit")
    pytest.importorskip("sklearn", reason="training needs pip install 'mmagent[train]'")
    from mmagent_cli.app import main

    data, out, answers = csv(tmp_path / "molecules.csv"), tmp_path / "kinds", tmp_path / "answers.jsonl"
    few = ["--epochs", "2", "--validations", "1", "--validation-share", "0.5", "--dtype", "float32"]
    assert main(["train", "--data", str(data), "--out", str(out), *few]) == 0
    assert main(["eval", "--data", str(data), "--bundle", str(out), "--dtype", "float32"]) == 0
    batch = tmp_path / "questions.jsonl"
    batch.write_text(json.dumps({"graph": "CCCCO", "choices": ["alcohol", "acid"]}))
    assert main(["ask", "--batch", str(batch), "--out", str(answers), "--bundle", str(out)]) == 0
    assert json.loads(answers.read_text())["answer"] in ("alcohol", "acid")
