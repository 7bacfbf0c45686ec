"""Twelve labelled pictures, and the same rows in every layout that people keep them in."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from mmagent.data import LabelledSet, read_labelled
from mmagent.modality import Modality
from mmagent.plugins import Plugins, load_plugins

COLOURS = ("red", "green", "blue")
Read = Callable[..., LabelledSet]


@pytest.fixture(scope="session")
def plugins() -> Plugins:
    return load_plugins()


@pytest.fixture(scope="session")
def modalities(plugins: Plugins) -> Mapping[str, Modality]:
    return plugins.modalities


@pytest.fixture
def read(modalities: Mapping[str, Modality]) -> Read:
    """`read_labelled` with the installed modalities."""
    return lambda source, **more: read_labelled(source, modalities, **more)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Class folders under train/ and val/: three colours, three and one pictures of each, all different."""
    from PIL import Image

    for split, count in (("train", 3), ("val", 1)):
        for colour in COLOURS:
            folder = tmp_path / "set" / split / colour
            folder.mkdir(parents=True)
            for at in range(count):
                Image.new("RGB", (8 + at, 8 if split == "train" else 9), colour).save(folder / f"{at}.png")
    return tmp_path / "set"


@pytest.fixture
def rows(place: Path) -> list[dict[str, str]]:
    """The rows of those class folders, in their order."""
    files = sorted((place / "train").rglob("*.png")) + sorted((place / "val").rglob("*.png"))
    return [
        {
            "image": str(file.relative_to(place)),
            "label": file.parent.name,
            "split": file.relative_to(place).parts[0],
        }
        for file in files
    ]


def write_lines(target: Path, rows: list[dict[str, Any]]) -> Path:
    """Rows as JSON lines."""
    target.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return target


def write_csv(target: Path, rows: list[dict[str, Any]], separator: str = ",") -> Path:
    """Rows as a table with a header."""
    with target.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]), delimiter=separator)
        table.writeheader()
        table.writerows(rows)
    return target


@pytest.fixture
def lines(place: Path) -> Callable[..., Path]:
    """Write rows as JSON lines beside the pictures."""
    return lambda rows, name="rows.jsonl": write_lines(place / name, rows)
