"""`mmagent plugins new`: a package that works as it is written, and a line for every name that cannot be."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import numpy as np
import pytest

from mmagent.conformance.subject import python_beside
from mmagent.errors import UserError
from mmagent.inspection.look import modality_of
from mmagent.plugins import load_plugins
from mmagent.scaffold import write_plugin
from mmagent_cli.app import main


def refusal(name: str, place: Path, taken: dict[str, str] | None = None) -> str:
    """Why nothing is written; and nothing is."""
    before = sorted(place.parent.glob("*"))
    with pytest.raises(UserError) as caught:
        write_plugin(name, place, taken=taken)
    assert sorted(place.parent.glob("*")) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Thermal", "'thermal' would do"),
        ("heat-map", "'heat_map' would do"),
        ("2d", "'d' would do"),
        ("two words", "'two_words' would do"),
        ("", "lower-case letters"),
        ("émoi", "lower-case letters"),
        ("../thermal", "'thermal' would do"),
        ("class", "a word of Python"),
        ("match", "a word of Python"),
        ("choices", "an option or a column"),
        ("x" * 41, "at most 40"),
        ("cli", "mmagent_cli is a package of mmagent itself"),
    ],
)
def test_a_bad_name_is_one_line(name: str, words: str, tmp_path: Path) -> None:
    assert words in refusal(name, tmp_path / "new")


def test_a_taken_name_says_by_whom(tmp_path: Path) -> None:
    said = refusal("image", tmp_path / "new", {"image": "mmagent 0.1.0"})
    assert "'image' is taken: mmagent 0.1.0 brings it" in said


def test_nothing_that_is_there_is_touched(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("there", "dangling"):
        assert "is there already" in refusal("thermal", tmp_path / name)
    assert "no folder" in refusal("thermal", tmp_path / "nowhere" / "new")


def test_the_command_writes_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["plugins", "new", "heat_map", "--description", 'the "true" heat.']) == 0
    out = capsys.readouterr().out
    for words in ("mmagent-heat-map", "pip install -e", "mmagent plugins check heat_map", "sensor.py"):
        assert words in out
    assert main(["plugins", "new", "heat_map"]) == 2
    assert main(["plugins", "new", "image"]) == 2
    assert "'image' is taken: mmagent" in capsys.readouterr().err


def test_every_file_is_whole_and_says_its_name(tmp_path: Path) -> None:
    made = write_plugin("heat_map", tmp_path / "new", description='the """true""" heat \\ cold\x00\n.')
    assert {path.relative_to(made.folder).as_posix() for path in made.folder.rglob("*.*")} >= set(made.files)
    for name in made.files:
        text = (made.folder / name).read_text(encoding="utf-8")
        assert "{{" not in text
        if name.endswith(".py"):
            ast.parse(text)
        if name.endswith(".toml"):
            tomllib.loads(text)
    project = tomllib.loads((made.folder / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["mmagent"] == {"heat_map": "mmagent_heat_map"}
    assert project["description"] == 'the """true""" heat \\ cold'


def test_it_is_there_at_once(thermal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plugins = load_plugins()
    assert plugins.problems == []
    assert plugins.modalities["thermal"].encoder == "builtin"
    assert plugins.presets["thermal"].file.is_file()
    assert main(["ask", "--help"]) == 0
    assert "--thermal FILE" in capsys.readouterr().out


def test_files_of_other_senses_stay_theirs(thermal: Path, tmp_path: Path) -> None:
    known = load_plugins().modalities
    ours = {name: one for name, one in known.items() if name != "thermal"}
    for name in ("s.npy", "s.thermal"):
        with (tmp_path / name).open("wb") as file:
            np.save(file, np.random.default_rng(0).normal(size=(50, 500)))
    (tmp_path / "s.csv").write_text("\n".join(f"{at / 7:.3f},{at % 5}" for at in range(30)))
    for name in ("s.npy", "s.csv"):
        assert modality_of(tmp_path / name, known) == modality_of(tmp_path / name, ours)
    assert modality_of(tmp_path / "s.thermal", known) == "thermal"


def test_its_tests_pass_without_a_warning_of_pytest(thermal: Path) -> None:
    tests = str(thermal / "tests")
    few = "declared or broken or describe"
    strict = ("-W", "error::pytest.PytestWarning", "-p", "no:cacheprovider")
    done = python_beside("-m", "pytest", "-q", *strict, "-k", few, "--rootdir", str(thermal), tests)
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x93NUMPY\x01\x00\x10", "damaged .npy"),
        (b"1;2\n3;\n\n", None),
        (b"hour,heat\n1,2\n3,4\n", None),
        (b"1 2\n3 4\n", None),
        (b"1,2\n3\n", "line 2 has 1 numbers and the lines before it 2"),
        (b"1,2\nlow,high\n", "line 2: 'low,high' is no row of numbers"),
        (b"\xff\xd8\xff\xe0", "starts like a JPEG picture"),
        (b"nan\ninf\n1e300\n", "holds no finite number"),
    ],
)
def test_what_it_reads_before_it_is_changed(thermal: Path, data: bytes, words: str | None) -> None:
    from mmagent_thermal.reader import ThermalReader

    if words is None:
        assert ThermalReader().load(data).shape == (2, 2)
        return
    with pytest.raises(UserError, match=words):
        ThermalReader().load(data)


def test_a_header_that_promises_too_much_is_refused_before_memory_is_taken(thermal: Path) -> None:
    from mmagent_thermal.reader import ThermalReader

    header = np.lib.format.header_data_from_array_1_0(np.zeros(1)) | {"shape": (10**9,)}
    from io import BytesIO

    stream = BytesIO()
    np.lib.format.write_array_header_1_0(stream, header)
    with pytest.raises(UserError, match="announces 1,000,000,000 values"):
        ThermalReader().load(stream.getvalue())


def test_the_encoder_is_known_by_its_code(thermal: Path) -> None:
    """Features of an older text of sensor.py must never come out of the cache."""
    import torch

    from mmagent_thermal import sensor
    from mmagent_thermal.reader import ThermalReader

    def known() -> str:
        return ThermalReader().load_encoder("builtin", device=torch.device("cpu"), dtype=torch.float32).id

    before, file = known(), Path(sensor.__file__)
    text = file.read_text()
    assert known() == before
    try:
        file.write_text(text + "# other features\n")
        assert known() != before
    finally:
        file.write_text(text)
