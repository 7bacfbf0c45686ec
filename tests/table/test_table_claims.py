"""Which of the senses that read csv takes a file: the content says, and an option says otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmagent.inspection import inspect_file, modality_of
from mmagent.plugins import load_plugins
from mmagent.sniff import modality_of as by_suffix_and_content

FILES = {
    "words": ("table", "town,people\nOslo,700000\nRome,2800000\nLima,9000000\n"),
    "things of numbers": ("table", "house_id,rooms,price\n1,3,200\n2,4,300\n3,2,150\n4,5,420\n"),
    "a class at the end": ("table", "width,height,species\n1,2,setosa\n2,3,virginica\n3,4,setosa\n"),
    "channels": ("series", "time,volt,ampere\n0.0,1.5,2\n0.1,1.6,2\n0.2,1.7,3\n0.3,1.8,3\n"),
    "channels with gaps": ("series", "time,volt\n0.0,nan\n0.1,NaN\n0.2,1.7\n0.3,1.8\n0.4,1.9\n"),
    "moments": ("series", "time,volt\n2024-01-01,1\n2024-01-02,2\n2024-01-03,3\n2024-01-04,3\n"),
    "tabs": ("table", "town\tpeople\nOslo\t700000\nRome\t2800000\n"),
    "an edge list with names": ("table", "source,target\nOslo,Rome\nRome,Lima\nLima,Oslo\n"),
}


@pytest.fixture
def senses() -> None:
    """The senses that read csv are installed."""
    for name in ("series", "table"):
        if name not in load_plugins().modalities:
            pytest.skip(f"the plugin {name} is not installed")


@pytest.mark.usefixtures("senses")
@pytest.mark.parametrize("case", FILES)
def test_content_chooses_between_the_senses_that_read_csv(case: str, tmp_path: Path) -> None:
    wanted, content = FILES[case]
    file = tmp_path / "a.csv"
    file.write_text(content)
    modalities = load_plugins().modalities
    assert modality_of(file, modalities) == wanted
    assert by_suffix_and_content(file, modalities) == wanted


@pytest.mark.usefixtures("senses")
@pytest.mark.parametrize("modality", ["series", "table"])
def test_an_option_reads_the_same_file_as_either(modality: str, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text(FILES["channels"][1])
    found = inspect_file(file, modality=modality, bundle=None)
    assert found.modality == modality
    assert found.description.startswith(modality)
