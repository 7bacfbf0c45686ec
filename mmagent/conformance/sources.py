"""Reading: the same from every kind of source, and one clear line for everything that is none."""

from __future__ import annotations

import io
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmagent.conformance.check import Failed, Skipped, demand, sentence
from mmagent.conformance.subject import Subject
from mmagent.errors import UserError

__all__ = ["broken", "described", "every_source", "refused"]

LONGEST = 600  # characters of a sentence
REFUSAL_SECONDS = 5.0
FOREIGN = {
    "a PDF": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\n" * 8,
    "a program": b"\x7fELF\x02\x01\x01" + bytes(400),
    "a zip archive": b"PK\x03\x04\x14\x00\x00\x00\x08\x00" + bytes(range(256)),
    "zeros": bytes(4096),
}
MOST = 64 << 20  # bytes of a file that is copied and broken
CUTS = (0.5, 0.9)  # shares of a file that are left


def every_source(subject: Subject) -> str:
    """A path, its text, bytes, an open file and standard input give the same value."""
    reader, kinds = subject.reader, 0
    for file in subject.files:
        data = file.read_bytes()
        wanted = reader.fingerprint(reader.load(file))
        with file.open("rb") as stream, _stdin(data):
            sources = {
                "its path as text": str(file),
                "its bytes": data,
                "an open file": stream,
                "a stream in memory": io.BytesIO(data),
                "standard input (-)": "-",
            }
            for kind, source in sources.items():
                try:
                    found = reader.fingerprint(reader.load(source))
                except UserError as error:
                    raise Failed(
                        f"{file.name} is read from its path, and from {kind} not: {error}"
                    ) from error
                demand(found == wanted, f"{file.name} read from {kind} is another value than from its path.")
        kinds = 1 + len(sources)
    return f"{kinds} kinds for {len(subject.files)} files"


def refused(subject: Subject) -> str:
    """What is missing, empty, of another kind, or no source at all: one line each, for people, at once."""
    folder = subject.folder / "refused"
    folder.mkdir(exist_ok=True)
    suffix = next(iter(subject.modality.extensions), "")
    cases: dict[str, object] = {
        "a missing file": folder / f"missing{suffix}",
        "a folder": folder,
        "an object": object(),
    }
    for kind, data in {"an empty file": b"", **FOREIGN}.items():
        cases[kind] = folder / f"{kind.replace(' ', '-')}{suffix}"
        Path(str(cases[kind])).write_bytes(data)
    cases |= {f"wrong source {at}": source for at, source in enumerate(subject.wrong, start=1)}
    for kind, source in cases.items():
        said = _refusal(subject, kind, source)
        demand(said is not None, f"{kind} is read as if it were {subject.modality.name}.")
        if isinstance(source, Path):
            demand(source.name in str(said), f"{kind}: the sentence does not name the file: {said}")
    return f"{len(cases)} kinds, one line each"


def broken(subject: Subject) -> str:
    """A file that is cut off, or followed by what does not belong there, is read or refused in one line."""
    cut, read = 0, 0
    small = [file for file in subject.files if file.stat().st_size <= MOST]
    if not small:
        raise Skipped(f"every file has more than {MOST >> 20} MiB: give a smaller one, too.")
    for file in small:
        data = file.read_bytes()
        variants = {f"{100 * share:.0f} % of {file.name}": data[: int(len(data) * share)] for share in CUTS}
        variants[f"{file.name} with its middle overwritten"] = _spoilt(data)
        for kind, content in variants.items():
            cut += 1
            read += _refusal(subject, kind, content) is None
    return f"{cut} broken files: {cut - read} refused in one line, {read} read all the same"


def described(subject: Subject) -> str:
    """describe is one line; a fingerprint is a sha256 that stays, and differs where values do."""
    reader, prints = subject.reader, []
    for raw in subject.raws:
        line = reader.describe(raw)
        demand(isinstance(line, str) and line.strip(), "`describe` says nothing.")
        demand("\n" not in line and len(line) <= LONGEST, f"`describe` must be one line: {line!r:.80}")
        prints.append(reader.fingerprint(raw))
        demand(
            isinstance(prints[-1], str) and re.fullmatch(r"[0-9a-f]{64}", prints[-1]),
            f"`fingerprint` must be the 64 hexadecimal digits of a sha256, not {prints[-1]!r:.80}",
        )
        demand(reader.fingerprint(raw) == prints[-1], "`fingerprint` of one value changes from call to call.")
    again = [reader.fingerprint(reader.load(sample)) for sample in subject.samples]
    demand(again == prints[: len(again)], "`fingerprint` of a source that is read twice differs.")
    contents = {_content(sample) for sample in subject.samples}
    demand(
        len(set(prints)) > 1 or len(contents) < 2,
        "`fingerprint` is the same for all samples, so one would be answered with the features of another.",
    )
    return reader.describe(subject.raws[0])


def _refusal(subject: Subject, kind: str, source: object) -> str | None:
    """The sentence with which a source is refused, if it is; `Failed` where that is none for people."""
    start = time.monotonic()
    try:
        subject.reader.load(source)
    except UserError as error:
        said = str(error)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        raise Failed(f"{kind}: `load` must raise UserError, and raised {sentence(error)}") from error
    else:
        return None
    seconds = time.monotonic() - start
    demand("\n" not in said and len(said) <= LONGEST, f"{kind}: the sentence must be one line: {said!r:.200}")
    demand(
        re.search(r"[.:;?!] ", said) and said[-1] in ".?!",
        f"{kind}: say what is wrong, and what to do, in whole sentences; it says: {said}",
    )
    demand(seconds < REFUSAL_SECONDS, f"{kind} is refused only after {seconds:.0f} s.")
    return said


def _spoilt(data: bytes) -> bytes:
    third = len(data) // 3
    return data[:third] + bytes(byte ^ 0x5A for byte in data[third : 2 * third]) + data[2 * third :]


def _content(sample: Any) -> object:
    return (
        Path(sample).read_bytes()
        if isinstance(sample, str | Path)
        else sample
        if isinstance(sample, bytes)
        else id(sample)
    )


@contextmanager
def _stdin(data: bytes) -> Iterator[None]:
    before = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(data))
    try:
        yield
    finally:
        sys.stdin = before
