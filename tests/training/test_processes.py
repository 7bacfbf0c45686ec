"""`mmagent train --processes`: the adapter of one process, one voice, and nobody left waiting."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmagent.tensors import read_tensors
from mmagent.training.launch import launch

ROOT = Path(__file__).resolve().parents[2]
TWO = ["--processes", "2"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("processes")


def command(bundle: Path, out: Path, *more: str) -> list[str]:
    given = ["--data", str(ROOT / "examples" / "gauges" / "labels.csv"), "--bundle", str(bundle)]
    given += ["--out", str(out), "--adapter", "prefix", "--device", "cpu", "--dtype", "float32"]
    given += ["--epochs", "5", "--validations", "3", "--patience", "0"]
    return [sys.executable, "-m", "mmagent_cli", "train", *given, *more]


def environment(base: Path) -> dict[str, str]:
    return {**os.environ, "XDG_CACHE_HOME": str(base / "cache"), "OMP_NUM_THREADS": "1"}


def run(base: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments, capture_output=True, text=True, env=environment(base), timeout=200, check=False
    )


def stopped_after_a_state(base: Path, arguments: list[str], out: Path, signum: int) -> tuple[int, str]:
    """Start, send the signal once there is a state, and return exit code and stderr."""
    going = subprocess.Popen(
        arguments, env=environment(base), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    work = out.with_name(f".{out.name}.training")
    end = time.monotonic() + 150
    while not list(work.glob("step-*")) and going.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    going.send_signal(signum)
    said = going.communicate(timeout=100)[1].decode()
    return going.returncode, said


def test_two_processes_give_the_adapter_of_one_also_when_stopped_and_resumed(
    base: Path, tiny_bundle: Path
) -> None:
    one, two = base / "one", base / "two"
    alone = run(base, command(tiny_bundle, one))
    assert alone.returncode == 0, alone.stderr[-2000:]
    long = ["--validations", "15"]
    code, said = stopped_after_a_state(base, command(tiny_bundle, two, *long, *TWO), two, signal.SIGTERM)
    assert code == 128 + signal.SIGTERM, said
    assert said.count("mmagent: ") == 1
    assert "Go on with the same command and --resume" in said
    done = run(base, command(tiny_bundle, two, *long, *TWO, "--resume"))
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("trains  image.linear.weight") == 1
    assert done.stderr.count("the bundle is in") == 1
    single, double = (read_tensors(place / "image" / "adapter.safetensors") for place in (one, two))
    start = read_tensors(tiny_bundle / "image" / "adapter.safetensors")
    for name, tensor in single.items():
        assert (tensor - double[name]).abs().max() < 1e-5, name
        assert (tensor - start[name]).abs().max() > 1e-3, name


@pytest.mark.parametrize(
    ("how", "rank", "code", "told"),
    [
        ("error", 1, 2, "process 2 of 2: row 7 cannot be read."),
        ("error", 0, 2, "mmagent: row 7 cannot be read."),
        ("kill", 1, 137, "process 2 of 2 was ended by signal 9 (SIGKILL), so the others were stopped"),
    ],
)
def test_a_process_that_fails_ends_all_with_its_line(
    capfd: pytest.CaptureFixture[str], how: str, rank: int, code: int, told: str
) -> None:
    script = [sys.executable, str(Path(__file__).with_name("failing.py")), how, str(rank)]
    began = time.monotonic()
    found = launch(script, 2, lambda text: print(text, file=sys.stderr))
    said = capfd.readouterr().err
    assert found == code, said
    assert len(said.splitlines()) == 1, said
    assert told in said
    assert time.monotonic() - began < 60


@pytest.mark.parametrize(("processes", "told"), [("2", "said"), ("1", "said, taken down")])
def test_one_of_several_ends_at_once_with_its_words_and_its_code(processes: str, told: str) -> None:
    script = (
        "import atexit; from mmagent.training.processes import leave; "
        "atexit.register(print, ', taken down', end=''); print('said', end=''); leave(3)"
    )
    env = {**os.environ, "RANK": "0", "WORLD_SIZE": processes}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=env, check=False
    )
    assert (done.returncode, done.stdout) == (3, told)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends processes with their parent")
def test_nobody_is_left_when_the_launcher_is_killed(base: Path, tiny_bundle: Path) -> None:
    out = base / "killed"
    arguments = command(tiny_bundle, out, *TWO, "--epochs", "500", "--validations", "500")
    code, _ = stopped_after_a_state(base, arguments, out, signal.SIGKILL)
    assert code == -signal.SIGKILL
    end = time.monotonic() + 10
    while running_with(str(out)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not running_with(str(out))


def running_with(word: str) -> list[str]:
    """Processes that have a word in their command line."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if word in words:
            found.append(place.name)
    return found
