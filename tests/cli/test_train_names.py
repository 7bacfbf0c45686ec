"""Labels that the data give by number are named in training as in every other command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

COLOURS = ("red", "blue")


def test_named_labels_are_kept_and_the_command_of_the_report_gives_its_figure_again(
    call: Any, tmp_path: Path, monkeypatch: Any, tiny_bundle: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    lines = ["image,label,part"]
    for at in range(12):
        Image.new("RGB", (20, 20 + at), COLOURS[at % 2]).save(f"{at}.png")
        lines.append(f"{at}.png,{at % 2},{'train' if at < 8 else 'val'}")
    Path("rows.csv").write_text("\n".join(lines))
    Path("names.txt").write_text("\n".join(COLOURS))
    given = ["--data", "rows.csv", "--names", "names.txt", "--split-column", "part", "--out", "out"]
    few = ["--adapter", "prefix", "--epochs", "1", "--validations", "1", "--dtype", "float32"]
    done = call("train", *given, "--bundle", tiny_bundle, *few)
    assert done.code == 0, done.err
    told = json.loads(Path("out/bundle.json").read_text())["trained"]
    assert (told["names"], told["columns"]["split"]) == ("names.txt", "part")
    assert "Class names from `names.txt`." in Path("out/README.md").read_text()
    report = json.loads(Path("out-report/report.json").read_text())
    assert report["settings"]["data"]["names"] == "names.txt"
    answers = Path("out-report/answers.jsonl").read_text()
    assert "red" in answers
    again = call(*report["command"][1:], "--dtype", "float32", "--out", "again")
    assert again.code == 0, again.err
    assert Path("again/answers.jsonl").read_text() == answers
