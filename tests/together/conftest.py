"""Three throw-away senses, installed as a stranger's plugin would be, and labelled rows of two of them.

`tone` and `smell` name an encoder of their own; `touch` names none. A file is a mark and its numbers, and
the encoder hands these on as the feature.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PLUGIN = '''
"""Vectors of numbers as three modalities."""
import hashlib
from pathlib import Path

from mmagent.hookspecs import hookimpl
from mmagent.modality import Features, Modality

@hookimpl
def register_modalities(register):
    for name, encoder in (("tone", "builtin"), ("smell", "builtin"), ("touch", "")):
        mark = name.upper().encode() + b"\\n"
        register(Modality(name, f"a {name} to ask about", f"together_senses:{name.capitalize()}",
                          (f".{name}",), lambda head, mark=mark: head.startswith(mark), encoder))

class Reader:
    name = ""

    def load(self, source):
        import numpy as np
        from mmagent.errors import UserError
        if not isinstance(source, (str, Path)):
            return np.asarray(source, np.float32)
        if not Path(source).is_file():
            raise UserError(f"there is no file {source}.")
        data = Path(source).read_bytes()
        mark = self.name.upper().encode() + b"\\n"
        if not data.startswith(mark):
            raise UserError(f"{source} is no {self.name}.")
        return np.array(data.removeprefix(mark).split(), np.float32)

    def describe(self, raw):
        return f"{self.name} of {raw.size}"

    def fingerprint(self, raw):
        return hashlib.sha256(self.name.encode() + raw.tobytes()).hexdigest()

    def load_encoder(self, location, **options):
        from mmagent.errors import UserError
        if location not in ("builtin", "other"):
            raise UserError(f"no encoder at {location!r}.")
        return Encoder(f"{self.name} {location}")

class Tone(Reader):
    name = "tone"

class Smell(Reader):
    name = "smell"

class Touch(Reader):
    name = "touch"

class Encoder:
    d_encoder = 6

    def __init__(self, id):
        self.id = hashlib.sha256(id.encode()).hexdigest()

    def encode(self, batch):
        import numpy as np
        import torch
        pooled = torch.from_numpy(np.stack(batch))
        return Features(pooled[:, None], torch.ones(len(batch), 1, dtype=torch.bool), pooled)
'''

CLASSES = ("low", "mid", "high")
QUESTION = "What is this?"


@pytest.fixture(scope="session", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The plugin on the path, as pip would leave it, and a feature cache of these tests' own."""
    site = tmp_path_factory.mktemp("site")
    (site / "together_senses.py").write_text(PLUGIN)
    info = site / "together_senses-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: together-senses\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[mmagent]\ntogether = together_senses\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield site
    sys.modules.pop("together_senses", None)


def write(place: Path, sense: str, vector: Sequence[float]) -> str:
    """A file that the modality reads."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(sense.upper().encode() + b"\n" + " ".join(f"{x:.6f}" for x in vector).encode())
    return str(place)


@pytest.fixture(scope="session")
def write_media() -> Callable[[Path, str, Sequence[float]], str]:
    """Write one input of a sense."""
    return write


Rows = Callable[..., Path]


@pytest.fixture(scope="session")
def write_rows() -> Rows:
    """Write labelled rows as JSON lines: each class a centre in every sense, and noise around it."""

    def made(
        folder: Path,
        senses: Sequence[str],
        n: int = 48,
        *,
        noise: float = 0.3,
        missing: float = 0.0,
        seed: int = 0,
        split: str | None = None,
    ) -> Path:
        rng = np.random.default_rng(seed)
        centres = {s: np.random.default_rng(len(s)).normal(size=(len(CLASSES), 6)) for s in senses}
        lines = []
        for at in range(n):
            row: dict[str, Any] = {"question": QUESTION, "answer": CLASSES[at % len(CLASSES)]}
            gone = rng.choice(senses) if len(senses) > 1 and rng.random() < missing else None
            for sense in senses:
                vector = centres[sense][at % len(CLASSES)] + noise * rng.normal(size=6)
                if sense != gone:
                    row[sense] = write(folder / f"{at}-{seed}.{sense}", sense, vector.tolist())
            lines.append(row | ({"split": split} if split else {}))
        file = folder / f"rows-{seed}.jsonl"
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return file

    return made


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run ``mmagent`` with these arguments: exit code, stdout, stderr."""
    from mmagent_cli.app import main

    def called(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return called
