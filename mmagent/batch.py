"""Many questions from a file: one row in, one row out, in order, and never half a file.

Rows are answered a window at a time. Answers go to a file beside the output (``answers.jsonl.partial``), or
beside what the output leads to, where it is a link; it takes the output's name when the last row is done.
With `resume` the complete windows found there are kept; because windows begin at the same rows every time, an
interrupted and resumed run writes the very bytes of an uninterrupted one.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from mmagent.answer import Answer
from mmagent.errors import UserError
from mmagent.files import landing
from mmagent.request import Request, Shot, request_from_row
from mmagent.rows import Row, held, json_rows, text_lines

if TYPE_CHECKING:
    from mmagent.agent import Agent, ShotsLike

__all__ = ["BatchReport", "run_batch"]

WINDOW = 4  # batches per window: enough rows to sort by length, few enough to lose little


@dataclass(frozen=True)
class BatchReport:
    """What a batch came to."""

    rows: int
    """Rows in the input."""
    errors: int
    """Rows in the output that hold an error instead of an answer."""
    resumed: int
    """Rows that were there already."""
    seconds: float
    out: Path


@dataclass
class _Output:
    """The file that is written beside the output: complete lines, and how many of them are errors."""

    file: Path
    rows: int = 0
    errors: int = 0
    n_bytes: int = 0

    def add(self, line: bytes) -> None:
        """Count a line."""
        self.rows += 1
        self.n_bytes += len(line)
        self.errors += "error" in json.loads(line)

    def write(self, handle: BinaryIO, lines: Sequence[bytes]) -> None:
        """Write and count lines."""
        for line in lines:
            handle.write(line)
            self.add(line)
        handle.flush()


def run_batch(
    agent: Agent,
    rows_path: str | Path,
    out_path: str | Path,
    *,
    resume: bool = False,
    shots: ShotsLike = (),
    batch_size: int = 64,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> BatchReport:
    """Answer every row of a JSON-lines file; the other options are those of `Agent.ask_many`.

    A row has `question`, `choices`, `shots` and media by modality (paths relative to the file), all optional;
    every other key passes through. The output row is the input row with `answer` and `confidence` (or with
    `error`); a line that is no row becomes ``{"line": n, "error": ...}``. Rows may come from a pipe, or from
    standard input ("-"); their paths are relative to where one is. `shots` here serve every row, beside its
    own. `progress(done, total)` is called as answers come, and after each window once it is written; what it
    raises ends the batch. Raises UserError, before anything is written, for files that cannot be read or
    written, and for a `resume` whose output was made from other rows. KeyboardInterrupt says what is kept.
    """
    start = time.perf_counter()
    source, target = Path(rows_path), Path(out_path)
    place = _demand_writable(source, target)
    common = agent.shots(shots)
    tell = progress or _silent
    beside = place.with_name(place.name + ".partial")
    window = max(1, batch_size) * WINDOW
    with held(source) as given:
        base, total = source.parent if given == source else Path(), _count(given, source)
        output = _kept(source, given, place, beside, window, total) if resume else _Output(beside)
        resumed = output.rows
        try:
            with _continued(output, beside) as handle:
                rows = islice(json_rows(given), resumed, None)
                if resumed:
                    tell(resumed, total)
                while chunk := list(islice(rows, window)):
                    within = partial(_within, tell, output.rows + len(chunk), total)
                    how = {**options, "batch_size": batch_size, "progress": within}
                    output.write(handle, _answered(agent, chunk, base, common, how))
                    tell(output.rows, total)
                os.fsync(handle.fileno())
        except KeyboardInterrupt as stopped:
            raise type(stopped)(_so_far(output.rows, total, window)) from stopped
        finally:
            if total and not output.rows:
                beside.unlink(missing_ok=True)  # nothing was answered: leave nothing behind
    beside.replace(place)
    return BatchReport(total, output.errors, resumed, time.perf_counter() - start, target)


def _answered(
    agent: Agent,
    rows: Sequence[Row],
    base: Path,
    common: Sequence[Shot],
    options: dict[str, Any],
) -> list[bytes]:
    """The output lines of one window."""
    asked: dict[int, Request] = {}
    outcome: dict[int, Answer | UserError] = {}
    for at, row in enumerate(rows):
        try:
            asked[at] = _request(row, agent, base, common)
        except UserError as error:
            outcome[at] = error
    answers = agent.ask_many(list(asked.values()), **options)
    outcome.update(zip(asked, answers, strict=True))
    return [_line(row, outcome[at]) for at, row in enumerate(rows)]


def _within(tell: Callable[[int, int], None], end: int, total: int, done: int, asked: int) -> None:
    """Tell how far a window has come that ends with row `end`; it is done when it is written, not before."""
    if done < asked:
        tell(end - asked + done, total)


def _silent(done: int, total: int) -> None:
    """What is called where nobody wants to know."""


def _so_far(kept: int, total: int, window: int) -> str:
    """What is left of a batch that was stopped."""
    if not kept:
        return f"None of {total:,} rows is kept: they are written {window:,} at a time."
    return f"{kept:,} of {total:,} rows are kept. Go on with the same command and --resume."


def _request(row: Row, agent: Agent, base: Path, common: Sequence[Shot]) -> Request:
    if row.error is not None:
        raise UserError(row.error)
    request = request_from_row(row.content, agent.plugins.modalities, base)
    if not common:
        return request
    shots = [*request.shots, *common] if request.shots else common
    return Request(request.question, request.media, shots, request.choices)


def _line(row: Row, outcome: Answer | UserError) -> bytes:
    """One output line: the row and its answer, or the row and what is wrong with it."""
    content = {
        key: value for key, value in row.content.items() if key not in ("answer", "confidence", "error")
    }
    if isinstance(outcome, UserError):
        content["error"] = str(outcome)
    else:
        content["answer"] = outcome.text
        content["confidence"] = round(outcome.confidence, 6)
    try:
        return json.dumps(content, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:  # half a surrogate pair is valid JSON but not valid UTF-8
        return json.dumps(content).encode() + b"\n"


def _continued(output: _Output, beside: Path) -> BinaryIO:
    """The file to write, cut after what is kept of it."""
    if output.rows == 0:
        return beside.open("wb")
    if output.file != beside:
        shutil.copyfile(output.file, beside)
    handle = beside.open("r+b")
    handle.truncate(output.n_bytes)
    handle.seek(output.n_bytes)
    return handle


def _count(given: Path, source: Path) -> int:
    """Rows in the input; raises UserError where it cannot be read."""
    try:
        return sum(1 for _ in text_lines(given))
    except OSError as error:
        reason = "it is a directory" if source.is_dir() else (error.strerror or "not readable").lower()
        raise UserError(
            f"cannot read the rows in {source} ({reason}). Give a JSON-lines file with one question per line."
        ) from error


def _demand_writable(source: Path, target: Path) -> Path:
    """Where the answers land, links followed. Raises UserError where no file of answers can be written."""
    if target.is_dir():
        raise UserError(f"cannot write the answers to {target}: it is a directory. Give a file name.")
    try:
        place = landing(target)
    except UserError as error:
        raise UserError(f"cannot write the answers: {error}") from error
    if not place.parent.is_dir():
        raise UserError(f"cannot write the answers to {target}: there is no directory {place.parent}.")
    if place.exists() and place == source.resolve():
        raise UserError(f"the answers would overwrite the questions in {source}. Give another --out.")
    if not os.access(place.parent, os.W_OK):
        raise UserError(f"cannot write the answers to {target}: {place.parent} is not writable.")
    return place


def _kept(source: Path, given: Path, target: Path, beside: Path, window: int, total: int) -> _Output:
    """What need not be done again of an earlier run: its whole windows, or all of a finished output.

    Raises UserError where it answers other rows than those `given`, which came from `source`.
    """
    earlier = beside if beside.is_file() else target
    output, whole = _Output(earlier), _Output(earlier)
    if not earlier.is_file():
        return whole
    with earlier.open("rb") as handle:
        for line, row in zip(handle, json_rows(given), strict=False):
            if not line.endswith(b"\n"):
                break
            if not _answers(line, row):
                raise UserError(
                    f"{earlier} was made from other rows than {source} (they differ at line {row.number}). "
                    "Run without --resume to begin anew."
                )
            output.add(line)
            if output.rows % window == 0 or output.rows == total:
                whole = replace(output)
    return whole


def _answers(line: bytes, row: Row) -> bool:
    """Whether an output line is that of a row."""
    try:
        found = json.loads(line)
    except ValueError:
        return False
    for made in ("answer", "confidence", "error"):
        found.pop(made, None)
    given = {key: value for key, value in row.content.items() if key not in ("answer", "confidence", "error")}
    return bool(found == given)
