"""Every command in the README does what it says there."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)


def commands(program: str) -> list[list[str]]:
    """Lines of console blocks that start with a program, split as a shell splits them."""
    lines = [line for block in blocks("console") for line in block.splitlines()]
    return [shlex.split(line) for line in lines if line.startswith(program)]


def spans(program: str) -> list[list[str]]:
    """Commands that stand in running text, each once."""
    prose = re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)
    found = dict.fromkeys(" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose))
    return [shlex.split(span) for span in found if span.startswith(program)]


def scripts() -> list[list[str]]:
    """Every script that the README has run: in blocks, in running text, and in the table of the senses."""
    table = [["python", f"examples/senses/{words[0]}", *words[1:]] for words in spans("") if is_script(words)]
    return commands("python examples") + spans("python examples") + table


def is_script(words: list[str]) -> bool:
    """Whether a span names a script of examples/senses, as the table of the senses does."""
    return (ROOT / "examples" / "senses" / words[0]).is_file()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like the checkout to a command, and may be written to."""
    there = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "examples", there / "examples")
    return there


def test_the_first_two_blocks_set_everything_up() -> None:
    ask, test = blocks("sh")[:2]
    assert "mmagent ask" in ask
    assert "--image examples/" in ask
    assert "pip install" in ask
    assert "pytest" in test
    assert "[test]" in test
    assert len(ask.strip().splitlines()) == len(test.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "words", [c for c in commands("mmagent") if "my-tiny" not in c], ids=lambda c: " ".join(c[1:6])
)
def test_a_command_of_the_readme_runs(words: list[str], place: Path) -> None:
    call = [sys.executable, "-m", "mmagent_cli", *words[1:]]
    done = subprocess.run(call, cwd=place, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    if "--batch" in words:
        assert (place / words[words.index("--out") + 1]).read_text(encoding="utf-8").count("\n") == 4
    else:
        assert done.stdout.strip()


def test_the_python_of_the_readme_runs(place: Path) -> None:
    code = next(block for block in blocks("python") if "Agent.load" in block)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=place, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_plugin_of_the_readme_registers(monkeypatch: pytest.MonkeyPatch) -> None:
    code = next(block for block in blocks("python") if "register_modalities" in block)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    registered: list[object] = []
    names["register_modalities"](registered.append)  # type: ignore[operator]
    assert registered[0].name == "thermal"  # type: ignore[attr-defined]


@pytest.mark.parametrize("words", spans("mmagent "), ids=lambda c: " ".join(c[1:6]))
def test_a_command_in_the_text_of_the_readme_is_there(words: list[str]) -> None:
    bare = [word for word in words[1:] if not word.startswith("-") and word.islower()]
    names = bare[:2] if bare[0] in ("bundles", "plugins", "data") else bare[:1]
    call = [sys.executable, "-m", "mmagent_cli", *names, "--help"]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert f"mmagent {' '.join(names)}" in done.stdout
    for option in (word for word in words if word.startswith("--")):
        assert option in done.stdout


@pytest.mark.parametrize("words", scripts(), ids=lambda c: " ".join(c[1:]))
def test_a_script_of_the_readme_knows_its_options(words: list[str]) -> None:
    pytest.importorskip("pyarrow", reason="the recipe reads Parquet: pip install -e '.[train]'")
    call = [sys.executable, str(ROOT / words[1]), "--help"]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    for option in (word for word in words if word.startswith("--")):
        assert option in done.stdout


def test_every_file_and_link_that_the_readme_names_is_there() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (ROOT / target).exists(), target
    tree = TEXT.split("## The house\n\n```\n")[1].split("```")[0]
    parent = ""
    for line in tree.splitlines():
        names = [word for word in line.split("  ") if word.strip() and word.strip().endswith(("/", ".py"))]
        if not line.startswith(" "):
            parent = line.split()[0]
        for name in (n.strip() for n in names):
            assert (ROOT / name).exists() or (ROOT / parent / name).exists(), name
