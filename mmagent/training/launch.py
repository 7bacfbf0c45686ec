"""Several processes of one command on this machine: started together, ended together.

torch's elastic launcher reports a failure as a table with tracebacks and loads torch once more for itself.
Here the first process speaks for all, and what ends one ends all.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import IO

from mmagent.training.processes import LOST

__all__ = ["LAUNCHED", "launch"]

LAUNCHED = "MMAGENT_LAUNCHED"
"""Set in processes that `launch` watches over: it says what became of a lost one."""

GRACE = 5.0  # seconds for the others to end by themselves once one has ended badly
LAST_GRACE = 10.0  # and after they were asked to
PR_SET_PDEATHSIG = 1


def launch(command: Sequence[str], processes: int, say: Callable[[str], None]) -> int:
    """Run `command` as so many processes of one run; returns the exit code of the one that failed, or 0.

    The first process has this one's output. SIGINT and SIGTERM are handed on. `say` is given the one line
    that a failed process could not say itself. If this process is killed, so are they.
    """
    with contextlib.ExitStack() as files:
        said = [None, *(files.enter_context(tempfile.TemporaryFile("w+")) for _ in range(processes - 1))]
        common = _environment(processes)
        running = [
            subprocess.Popen(
                command,
                env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                stdout=None if rank == 0 else subprocess.DEVNULL,
                stderr=said[rank],
                start_new_session=True,  # so that Ctrl-C reaches them through here, once
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
            for rank in range(processes)
        ]
        with _handing_on(running):
            ended = _wait(running)
        return _verdict(ended, running, said, say)


def _environment(processes: int) -> dict[str, str]:
    threads = max(1, len(os.sched_getaffinity(0)) // processes) if hasattr(os, "sched_getaffinity") else 1
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return {
        "OMP_NUM_THREADS": str(threads),
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        LAUNCHED: "1",
    }


def _wait(running: Sequence[subprocess.Popen[bytes]]) -> list[int]:
    """Wait for all, and stop the others once one ended badly; ranks in the order of their end."""
    ended: list[int] = []
    deadline = None
    asked = False
    while len(ended) < len(running):
        time.sleep(0.05)
        ended += [at for at, one in enumerate(running) if at not in ended and one.poll() is not None]
        if deadline is None and any(running[at].returncode for at in ended):
            deadline = time.monotonic() + GRACE
        if deadline is not None and time.monotonic() > deadline:
            for one in running:
                if one.poll() is None:
                    one.send_signal(signal.SIGKILL if asked else signal.SIGTERM)
            asked, deadline = True, time.monotonic() + LAST_GRACE
    return ended


def _verdict(
    ended: Sequence[int],
    running: Sequence[subprocess.Popen[bytes]],
    said: Sequence[IO[str] | None],
    say: Callable[[str], None],
) -> int:
    """The exit code of the process that ended the run, its line said if it has not said it itself."""
    codes = [one.returncode for one in running]
    bad = [at for at in ended if codes[at]]
    rank = next((at for at in bad if codes[at] != LOST), bad[0] if bad else None)
    if rank is None:
        return 0
    code = codes[rank]
    if code < 0:
        say(
            f"process {rank + 1} of {len(codes)} was ended by signal {-code} ({signal.Signals(-code).name}), "
            "so the others were stopped. Go on with the same command and --resume."
        )
        return 128 - code
    file = said[rank]
    if file is not None and codes[0] == LOST:
        file.seek(0)
        lines = file.read().strip().splitlines()
        say(f"process {rank + 1} of {len(codes)}: {lines[-1].removeprefix('mmagent: ') if lines else code}")
    return code


@contextlib.contextmanager
def _handing_on(running: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """SIGINT and SIGTERM go to the processes, which save and end."""

    def hand_on(number: int, frame: object) -> None:
        for one in running:
            if one.poll() is None:
                one.send_signal(number)

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _die_with_parent() -> None:
    """Linux: this process is killed when the thread that started it is gone."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
