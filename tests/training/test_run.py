"""`mmagent train` from a labelled set to a bundle that answers, and back after a kill."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmagent import Agent
from mmagent.bundle import Bundle
from mmagent.errors import UserError
from mmagent.tensors import read_tensors

ROOT = Path(__file__).resolve().parents[2]
GAUGES = ROOT / "examples" / "gauges"
FEW = ["--epochs", "6", "--validations", "3", "--patience", "0", "--dtype", "float32"]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "mmagent_cli", "train", *arguments]


def run(cache: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, env=env, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("trained") / "gauges"
    done = run(cache, "--data", str(GAUGES / "labels.csv"), "--out", str(out), *FEW)
    assert done.returncode == 0, done.stderr[-2000:]
    return out, done.stdout


def test_it_says_what_trains_and_what_is_frozen(trained: tuple[Path, str]) -> None:
    _, said = trained
    assert "trains  image.words  (3, " in said
    assert "from logistic regression on 78 inputs" in said
    assert "Frozen: the core" in said
    assert "78 examples to learn from, 18 to judge by" in said
    assert "Then fitted to all 96 examples" in said


def test_its_report_says_that_the_bundle_was_fitted_once_more_after_it(trained: tuple[Path, str]) -> None:
    out, _ = trained
    report = out.with_name("gauges-report")
    notes = json.loads((report / "report.json").read_text())["notes"]
    (told,) = [note for note in notes if "fitted once more, to these rows, too" in note]
    assert f"Note: {told}" in (report / "report.html").read_text()


def test_the_bundle_answers_with_its_new_adapter(trained: tuple[Path, str]) -> None:
    out, _ = trained
    agent = Agent.load(out, dtype="float32")
    said = {
        agent.ask("What is this?", image=str(file)).text
        for file in sorted((GAUGES / "test").glob("*.jpg"))[::6]
    }
    assert said <= {"low", "normal", "high"}
    told = json.loads((out / "bundle.json").read_text())["trained"]
    assert told["settings"]["adapter"] == "auto"
    assert Bundle.open(out).senses["image"].adapter.family == "concepts"
    assert "96 inputs" in told["refit"]
    assert not set(told["split"]["train"]) & set(told["split"]["validation"])
    assert told["core_sha256"] == agent.core.fingerprint()


def test_a_changed_weight_is_an_error_and_never_a_warning(trained: tuple[Path, str], tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(trained[0], copy)
    file = copy / "image" / "adapter.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(UserError, match="damaged"):
        Bundle.open(copy)


def test_killed_in_the_middle_and_resumed_it_gives_the_same_bits(
    trained: tuple[Path, str], cache: Path, tmp_path: Path
) -> None:
    out = tmp_path / "gauges"
    arguments = ["--data", str(GAUGES / "labels.csv"), "--out", str(out), *FEW]
    env = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    going = subprocess.Popen(command(*arguments), env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    work = out.with_name(".gauges.training")
    end = time.monotonic() + 200
    while not list(work.glob("step-*")) and going.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    going.send_signal(signal.SIGKILL)
    going.wait()
    assert not out.exists(), "it was done before it could be killed"
    assert list(work.glob("step-*"))
    done = run(cache, *arguments, "--resume")
    assert done.returncode == 0, done.stderr[-2000:]
    one, other = (read_tensors(d / "image" / "adapter.safetensors") for d in (trained[0], out))
    assert one.keys() == other.keys()
    assert all((one[name] == other[name]).all() for name in one)
    assert not work.exists()
    again = json.loads((tmp_path / "gauges-report" / "report.json").read_text())["command"]
    assert again == ["mmagent", "train", *arguments]  # from the start; the bundle and its card say the same
    assert json.loads((out / "bundle.json").read_text())["trained"]["command"] == again
    assert f"`{shlex.join(again)}`" in (out / "README.md").read_text()


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGINT])
def test_ended_while_the_report_is_made_and_resumed_it_gives_the_same_bits(
    trained: tuple[Path, str], cache: Path, tmp_path: Path, signum: int
) -> None:
    out = tmp_path / "gauges"
    arguments = ["--data", str(GAUGES / "labels.csv"), "--out", str(out), *FEW]
    env = {**os.environ, "XDG_CACHE_HOME": str(cache), "PYTHONUNBUFFERED": "1"}
    going = subprocess.Popen(
        command(*arguments), env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert going.stdout is not None
    assert any("Best: " in line for line in going.stdout), "it ended before it told what came of it"
    going.send_signal(signum)
    _, said = going.communicate(timeout=200)
    assert not out.with_name("gauges-report").exists(), "it was done before it could be ended"
    if signum != signal.SIGKILL:
        assert going.returncode == 128 + signum
        assert len(said.splitlines()) == 1, said
        assert f"the bundle is whole in {out}" in said
        assert "Go on with the same command and --resume." in said
    again = run(cache, *arguments, "--resume")
    assert again.returncode == 0, again.stderr[-2000:]
    weights = "image/adapter.safetensors"
    assert (out / weights).read_bytes() == (trained[0] / weights).read_bytes()
    assert out.with_name("gauges-report").exists()
    assert not list(tmp_path.glob(".gauges*"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--adapter", "prefx"], "no adapter family called 'prefx'"),
        (["--epochs", "0"], "epochs is 0"),
        (["--column", "question"], "cannot read --column"),
        (["--encoder", "nowhere/at/all"], "nowhere"),
        (["--data", "missing.csv"], "missing.csv"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    cache: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    given = ["--data", str(GAUGES / "labels.csv"), "--out", str(tmp_path / "out"), *arguments]
    done = run(cache, *given)
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert said in lines[0]
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_there_is_not_touched(cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    done = run(cache, "--data", str(GAUGES / "labels.csv"), "--out", str(out))
    assert done.returncode == 2
    assert "is there already" in done.stderr
    assert (out / "mine.txt").read_text() == "keep"
