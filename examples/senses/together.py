"""Two senses beat each alone: noisy pictures of digits with noisy spoken digits, one command, three seeds.

    python examples/senses/together.py --data DATA --out together.json [--audio-encoder DIR]
    python examples/senses/together.py --data DATA --out match.json [--audio-encoder DIR] --match

DATA holds mnist/train.parquet and fsdd/train.parquet. A row is a picture of a digit under strong noise and
the same digit spoken by somebody under strong noise; which picture meets which recording is drawn by the
seed. The speaker of the test rows was never heard in training, their pictures never seen. One run is `mmagent
train` on both senses (each may be missing: `--modality-dropout`) and `mmagent eval` on the test rows: with
both, with each alone, with none, with another row's media, told in words, and beside logistic regression on
the features of both. How strong the noise is was set on training rows alone, so that logistic regression on
one sense is right in about 70 of 100: 74 on pictures (5 folds), 69 on recordings of a speaker left out.

With --match there is no noise, half of the rows show another digit than the one that is spoken, and what is
asked is whether they match: there each sense alone knows nothing.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
from numpy.typing import NDArray
from PIL import Image
from seeds import FEW

SEEDS = (0, 1, 2)
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
QUESTION = "Which digit is this?"
WHETHER = "Do they match?"
CLEAN = {"picture_noise": 0.0, "sound_noise": 100.0}
PICTURE_NOISE = 0.5  # standard deviation, of a picture whose values lie from 0 to 1
SOUND_NOISE = 0.0  # dB: power of the recording over power of the noise
ROWS = {"train": 1200, "test": 400}


@dataclass(frozen=True)
class Cell:
    """One seed: who was tested, exact match by system, the missing-sense curve, the seconds of training."""

    seed: int
    speaker: str
    n_test: int
    scores: dict[str, float]
    lines: list[str]
    curve: list[dict[str, float]]
    loudness: str
    core_same: bool
    seconds: float


def main() -> None:
    """Run what is missing in --out, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    parser.add_argument("--out", type=Path, required=True, help="where the cells are kept; those there stay")
    parser.add_argument("--audio-encoder", type=Path, help="else the one that the modality names")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--picture-noise", type=float, default=PICTURE_NOISE)
    parser.add_argument("--sound-noise", type=float, default=SOUND_NOISE)
    parser.add_argument("--match", action="store_true", help="ask whether they match, without noise")
    parser.add_argument("--train", nargs=argparse.REMAINDER, default=[], help="more options of mmagent train")
    given = parser.parse_args()
    cells = [Cell(**one) for one in json.loads(given.out.read_text())] if given.out.exists() else []
    for seed in given.seeds:
        if any(cell.seed == seed for cell in cells):
            continue
        with tempfile.TemporaryDirectory() as folder:
            cells.append(_cell(given, seed, Path(folder)))
        print("\n".join(cells[-1].lines), file=sys.stderr, flush=True)
        staged = given.out.with_suffix(".new")
        staged.write_text(json.dumps([asdict(one) for one in cells], indent=1))
        staged.replace(given.out)
    print("\n".join(table(cells)))


def pairs(
    data: Path, folder: Path, *, seed: int, picture_noise: float, sound_noise: float, match: bool = False
) -> tuple[Path, str]:
    """Write pictures, recordings and rows.jsonl; the file of the rows and the speaker of the test rows."""
    rng = np.random.default_rng(seed)
    pictures = _by_digit(data / "mnist" / "train.parquet", rng)
    recordings = parquet.read_table(data / "fsdd" / "train.parquet").to_pylist()
    speakers = sorted({one["speaker"] for one in recordings})
    speaker = speakers[seed % len(speakers)]
    lines = []
    for split, n in ROWS.items():
        heard = [one for one in recordings if (one["speaker"] == speaker) == (split == "test")]
        for at, number in enumerate(_evenly(heard, n, rng)):
            digit = shown = heard[number]["digit"]
            question, answer = QUESTION, DIGITS[digit]
            if match:
                other = int(digit + rng.integers(1, len(DIGITS))) % len(DIGITS)
                shown = digit if rng.random() < 0.5 else other
                question, answer = WHETHER, "yes" if shown == digit else "no"
            places = {"image": f"{split}-{at}.png", "audio": f"{split}-{at}.wav"}
            _write_picture(folder / places["image"], next(pictures[shown]), picture_noise, rng)
            _write_sound(folder / places["audio"], heard[number]["audio"]["bytes"], sound_noise, rng)
            told = {"question": question, "answer": answer, "speaker": heard[number]["speaker"]}
            lines.append({**places, **told, "split": split})
    rows = folder / "rows.jsonl"
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return rows, speaker


def _by_digit(file: Path, rng: np.random.Generator) -> dict[int, Iterator[bytes]]:
    """The pictures of each digit in an order of this seed's; none comes twice."""
    rows = parquet.read_table(file, columns=["image", "digit"]).to_pylist()
    order = rng.permutation(len(rows))
    return {
        digit: iter([rows[at]["image"]["bytes"] for at in order if rows[at]["digit"] == digit])
        for digit in range(len(DIGITS))
    }


def _evenly(heard: Sequence[Mapping[str, int]], n: int, rng: np.random.Generator) -> list[int]:
    """Places of `n` recordings, as many of each digit."""
    order = rng.permutation(len(heard))
    per_digit = n // len(DIGITS)
    of = {digit: [int(at) for at in order if heard[at]["digit"] == digit] for digit in range(len(DIGITS))}
    return [at for digit in of for at in of[digit][:per_digit]]


def _write_picture(place: Path, png: bytes, noise: float, rng: np.random.Generator) -> None:
    clean = np.asarray(Image.open(io.BytesIO(png)).convert("L"), np.float64) / 255
    noisy = (clean + noise * rng.normal(size=clean.shape)).clip(0, 1)
    Image.fromarray(np.rint(255 * noisy).astype(np.uint8)).save(place)


def _write_sound(place: Path, wav: bytes, snr: float, rng: np.random.Generator) -> None:
    """A recording with white noise so many dB below it (above it where negative), as loud as 16 bits hold."""
    with wave.open(io.BytesIO(wav)) as stream:
        rate = stream.getframerate()
        clean: NDArray[np.float64] = np.frombuffer(stream.readframes(stream.getnframes()), "<i2").astype(
            float
        )
    power = float(np.square(clean).mean()) or 1.0
    noisy = clean + np.sqrt(power / 10 ** (snr / 10)) * rng.normal(size=clean.shape)
    noisy *= 32767 / max(32767.0, float(np.abs(noisy).max()))
    with wave.open(str(place), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(np.rint(noisy).astype("<i2").tobytes())


def _cell(given: argparse.Namespace, seed: int, folder: Path) -> Cell:
    noise = {"picture_noise": given.picture_noise, "sound_noise": given.sound_noise}
    if given.match:
        noise = CLEAN
    rows, speaker = pairs(given.data, folder, seed=seed, match=given.match, **noise)
    bundle, report = folder / "bundle", folder / "report"
    own = ["--encoder", f"audio={given.audio_encoder}"] if given.audio_encoder else []
    begun = time.perf_counter()
    _run(["train", "--data", rows, "--out", bundle, "--seed", seed, *FEW, *own, *given.train])
    seconds = time.perf_counter() - begun
    _run(["eval", "--data", rows, "--bundle", bundle, "--split", "test", "--out", report])
    found = json.loads((report / "report.json").read_text())
    scores = {one["name"]: one["scores"][found["judge"]]["value"] for one in found["systems"]}
    manifest = json.loads((bundle / "bundle.json").read_text())
    loudness = str(manifest["trained"].get("refit", "")).rpartition("; ")[2]
    same = manifest["trained"]["core_sha256"] == found["settings"]["core"]["sha256"]
    return Cell(
        seed,
        speaker,
        found["n"],
        scores,
        found["verdict"],
        found["missing"],
        loudness,
        same,
        round(seconds, 1),
    )


def _run(arguments: Sequence[object]) -> None:
    command = [sys.executable, "-m", "mmagent_cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")


def table(cells: Sequence[Cell]) -> list[str]:
    """Markdown: a line for each system, every seed and their mean; then the missing-sense curve."""
    cells = sorted(cells, key=lambda cell: cell.seed)
    who = ", ".join(f"{cell.seed} ({cell.speaker})" for cell in cells)
    lines = [f"seed (speaker of the test rows): {who}; {cells[0].n_test} rows each.", ""]
    lines += ["| system | exact match, % |", "|---|---|"]
    for name in cells[0].scores:
        lines.append(f"| {'both senses' if name == 'the adapter' else name} | {_seeds(cells, name)} |")
    ahead = [
        100 * (cell.scores["the adapter"] - max(cell.scores["image alone"], cell.scores["audio alone"]))
        for cell in cells
    ]
    shown = ", ".join(f"{value:+.1f}" for value in ahead)
    lines += ["", f"Both over the better of the two alone: {np.mean(ahead):+.1f} points ({shown})."]
    lines += ["", "| chance of each sense to be missing, % | exact match, % |", "|---|---|"]
    for at, point in enumerate(cells[0].curve):
        values = [cell.curve[at]["score"] for cell in cells]
        lines.append(f"| {100 * point['missing']:.0f} | {100 * np.mean(values):.1f} |")
    return lines


def _seeds(cells: Sequence[Cell], name: str) -> str:
    values = [100 * cell.scores[name] for cell in cells]
    return f"{np.mean(values):.1f} ({', '.join(f'{value:.1f}' for value in values)})"


if __name__ == "__main__":
    main()
