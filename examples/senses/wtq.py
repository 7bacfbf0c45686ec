"""WikiTableQuestions as it lies in the folder of the data sets: questions, answers, and tables in a zip."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any


class Wtq:
    """The set (Pasupat & Liang 2015); its dev tables are in no training question."""

    def __init__(self, data: Path) -> None:
        self.folder = data / "wtq"

    @cached_property
    def _zip(self) -> zipfile.ZipFile:
        return zipfile.ZipFile(self.folder / "tables.zip")

    @lru_cache(8)  # noqa: B019 (one object in a run)
    def questions(self, part: str) -> list[dict[str, Any]]:
        """Rows of "train" or "dev": id, table, question, answers."""
        lines = (self.folder / f"{part}.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def tables(self, part: str) -> list[str]:
        """Names of a part's tables."""
        return sorted({row["table"] for row in self.questions(part)})

    def content(self, name: str) -> bytes:
        """A table as csv."""
        return self._zip.read(name)

    def rows(self, name: str) -> list[list[str]]:
        """Its rows, the first of them the header."""
        return list(csv.reader(io.StringIO(self.content(name).decode("utf-8"))))
