"""The benchmarks run, and compare like with like. No time is asserted: a busy machine is no defect."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from mmagent.plugins import load_plugins

ROOT = Path(__file__).resolve().parents[2]
FIGURES = {
    "startup": 1,
    "plugins": 2,
    "cold_ask": 2,
    "warm_generate": 2,
    "batch": 2,
    "episodes": 1,
    "finetune": 3,
    "padding": 6,
    "growth": 3,
    "streaming": sum(
        2 if one.encoder else 1
        for name, one in load_plugins().modalities.items()
        if name in ("audio", "series", "table")
    ),
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy bundle of the embedded one's kind, with random weights."""
    place = tmp_path_factory.mktemp("bundle") / "random"
    python("-m", "benchmarks.random_bundle", place, "--small")
    return place


def python(*words: object, fails: bool = False) -> subprocess.CompletedProcess[str]:
    """Run Python at the root of the checkout, where the benchmarks are."""
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert (done.returncode != 0) == fails, done.stderr
    return done


@pytest.mark.parametrize("script", FIGURES)
def test_a_benchmark_runs_and_its_two_sides_agree(script, bundle):
    done = python("-m", f"benchmarks.{script}", "--quick", "--json", "--bundle", bundle, "--dtype", "float32")
    figures = json.loads(done.stdout)
    assert len(figures) == FIGURES[script]
    for figure in figures:
        assert figure["ratios"]
        assert min(figure["ratios"]) > 0


def test_the_runner_writes_a_page_with_figure_floor_and_machine(tmp_path):
    page = tmp_path / "page.md"
    done = python("-m", "benchmarks", "startup", "--quick", "--write", page)
    text = page.read_text(encoding="utf-8")
    assert text == done.stdout
    rows = [line for line in text.splitlines() if line.startswith("| `mmagent --help`")]
    assert len(rows) == 1
    assert "at most 1.5" in rows[0]
    assert ("pass" in rows[0]) != ("**miss**" in rows[0])
    for word in ("processor", "memory", "torch", "transformers", "dtype", "date"):
        assert f"- {word}: " in text


def test_an_unknown_benchmark_is_refused_with_those_there_are():
    assert "There are: startup, plugins, cold_ask" in python("-m", "benchmarks", "speed", fails=True).stderr


@pytest.mark.parametrize("peer", ["peer_ask.py", "peer_finetune.py"])
def test_the_peer_scripts_import_nothing_of_mmagent(peer):
    tree = ast.parse((ROOT / "benchmarks" / peer).read_text(encoding="utf-8"))
    froms = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    names = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert {str(name).partition(".")[0] for name in froms | names} <= {
        *("PIL", "safetensors", "torch", "transformers"),
        *sys.stdlib_module_names,
    }


@pytest.fixture
def measure(monkeypatch):
    """The module behind all of them; it is not installed, so it is imported from the checkout."""
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import measure

    return measure


@pytest.mark.parametrize(
    ("at_least", "ratios", "passed"),
    [
        (True, [3.0, 4.5, 9.0], True),
        (True, [3.9, 3.0, 9.0], False),
        (False, [1.0, 1.1, 9.0], True),
        (False, [1.3, 1.0, 1.4], False),
    ],
)
def test_a_figure_passes_by_its_median(measure, at_least, ratios, passed):
    limit = 4.0 if at_least else 1.25
    figure = measure.Figure("a", "b", at_least, limit, ratios, ours="", theirs="")
    assert figure.passed is passed
    assert figure.value == sorted(ratios)[1]
    assert figure.spread == f"{min(ratios):.2f} to {max(ratios):.2f}"


def test_the_two_sides_take_turns(measure):
    order = []

    def side(name, seconds):
        def run():
            order.append(name)
            return measure.Run(seconds, 0.0, name)

        return run

    pairs = measure.in_turns(side("A", 2.0), side("B", 8.0), Namespace(quick=False, runs=3), usual=9)
    assert "".join(order) == "AB" * 4  # the first of each is not counted
    assert pairs.ratios(lambda one: one.seconds) == [0.25] * 3
    assert pairs.ratios(lambda one: one.seconds, speed=True) == [4.0] * 3


def test_other_answers_are_a_disagreement(measure):
    measure.demand_equal(["dax"], ["dax"], "answers")
    with pytest.raises(measure.Disagreement, match="1 of 2 differ; number 1 is 'dax' against 'blicket'"):
        measure.demand_equal(["dax", "dax"], ["dax", "blicket"], "answers")


def test_a_command_is_measured_and_its_failure_told(measure):
    hungry = measure.run([sys.executable, "-c", "x = bytearray(200 << 20); print(len(x))"])
    frugal = measure.run([sys.executable, "-c", "print(1)"])
    assert hungry.result.strip() == str(200 << 20)
    assert hungry.peak - frugal.peak > 100 << 20
    with pytest.raises(RuntimeError, match="ended with 3"):
        measure.run([sys.executable, "-c", "raise SystemExit(3)"])
