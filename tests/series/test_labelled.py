"""Labelled series: cells of nested lists, class folders of csv files, and a bundle trained and asked."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmagent.data import check, read_labelled
from mmagent.modality import Modality
from mmagent.plugins import Plugins, load_plugins
from mmagent_series import recognise

ASKED = "What is this?"


def series(kind: str, seed: int) -> np.ndarray:
    """Two channels of 60 samples: quick or slow waves with noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(60)[:, None] + rng.uniform(0, 30, size=2)
    return np.sin(time / (2 if kind == "quick" else 6)) + rng.normal(scale=0.2, size=(60, 2))


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    """What is installed; the series sense must be among it."""
    found = load_plugins()
    if "series" not in found.modalities:
        pytest.skip("the entry point `series` is not installed: pip install -e .")
    return found


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 rows, their values as nested lists, as many data sets of series have them."""
    place = tmp_path_factory.mktemp("labelled") / "waves.parquet"
    labels = ["quick", "slow"] * 12
    rows = {
        "values": [series(label, seed).tolist() for seed, label in enumerate(labels)],
        "label": labels,
        "split": ["train"] * 16 + ["test"] * 8,
    }
    pq.write_table(pa.table(rows), place)
    return place


def test_a_cell_of_nested_lists_is_one_medium(parquet: Path, plugins: Plugins):
    found = read_labelled(parquet, plugins.modalities, columns={"series": "values"})
    assert len(found.examples) == 24
    assert all(len(one.media["series"]) == 1 for one in found)
    report = check(found, plugins)
    assert report.media == 24
    assert not report.problems


def test_rows_in_python_keep_channels_and_rate(plugins: Plugins):
    given = {"values": series("quick", 0), "channels": ["a (V)", "b"], "rate": 10.0}
    found = read_labelled([{"series": given, "label": "quick"}], plugins.modalities)
    (source,) = found.examples[0].media["series"]
    loaded = plugins.resolve(plugins.modalities["series"].reader)().load(source)
    assert (loaded.units, loaded.rate) == (("V", ""), 10)


def test_csv_files_in_class_folders_are_told_from_tables_by_content(tmp_path: Path, plugins: Plugins):
    table = Modality("table", "rows", "none:None", (".csv",), lambda head: b"," in head)
    both = {"series": plugins.modalities["series"], "table": table}
    for label in ("quick", "slow"):
        (tmp_path / label).mkdir()
        np.savetxt(tmp_path / label / "1.csv", series(label, 1), delimiter=",")
        (tmp_path / label / "2.csv").write_text("name,age\nada,36\nalan,41\n")
    found = read_labelled(tmp_path, both)
    assert [list(one.media) for one in found] == [["series"], ["table"]] * 2


def test_a_table_called_labels_goes_before_the_csv_files_beside_it(tmp_path: Path, plugins: Plugins):
    for at, label in enumerate(("quick", "slow")):
        np.savetxt(tmp_path / f"{at}.csv", series(label, at), delimiter=",")
    rows = [{"series": f"{at}.csv", "label": label} for at, label in enumerate(("quick", "slow"))]
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = read_labelled(tmp_path, plugins.modalities)
    assert [(one.answer, one.media["series"][0].name) for one in found] == [
        ("quick", "0.csv"),
        ("slow", "1.csv"),
    ]
    assert not check(found, plugins).problems


def test_a_bundle_is_trained_asked_and_says_no_to_a_table(
    parquet: Path, plugins: Plugins, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    from mmagent_cli.app import main

    options = ["--column", "series=values", "--epochs", "12", "--learning-rate", "0.03", "--validations", "2"]
    options += ["--dtype", "float32"]
    out = tmp_path / "waves"
    assert main(["train", "--data", str(parquet), "--out", str(out), *options]) == 0
    manifest = json.loads((out / "bundle.json").read_text())
    assert manifest["senses"]["series"]["encoder"] == "builtin"
    np.savetxt(tmp_path / "new.csv", series("slow", 99), delimiter=",")
    capsys.readouterr()
    code = main(
        ["ask", ASKED, "--series", str(tmp_path / "new.csv"), "--bundle", str(out), "--dtype", "float32"]
    )
    assert (code, capsys.readouterr().out.strip()) == (0, "slow")
    (tmp_path / "people.csv").write_text("name,age\nada,36\nalan,41\n")
    code = main(["ask", ASKED, "--series", str(tmp_path / "people.csv"), "--bundle", str(out)])
    assert code == 2
    assert "is no number" in capsys.readouterr().err


def test_the_light_module_knows_the_formats():
    assert recognise.NPY == np.lib.format.MAGIC_PREFIX
