"""What the video sense reaches on clips that it has not seen: one command, three seeds, controls beside.

    python examples/senses/video.py --data DATA --out video.json

DATA holds `easy_vqa_video` (1,500 clips of ten frames to learn from, 200 to test on): one shape moves up,
down, left or right. Each row is a run of `mmagent train` on the bundle `tiny`, which has no video sense, with
`--clips` of the training clips by seed, and of `mmagent eval`; nothing was chosen by the test clips. Besides
blind and shuffled (another clip), the trained bundle is asked about the test clips played backwards, with
their frames in random order, and with the first frame alone: a sense that sees the order of frames says the
opposite of the first, and must fail on the others.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

SEEDS = (0, 1, 2)
CLIPS = 500
OPPOSITE = {"up": "down", "down": "up", "left": "right", "right": "left"}
SHAPES = ("circle", "rectangle", "triangle")
PLAIN = {
    "direction": "what direction does the shape move?",
    "shape": "what shape is present?",
    "colour": "what is the color of the shape?",
}
ALL = "all questions"
CLIP = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@dataclass(frozen=True)
class Cell:
    """One run: a row of the table, its seed, exact match by system, and what `mmagent train` took."""

    row: str
    seed: int
    n_train: int
    n_test: int
    scores: dict[str, float]
    by_topic: dict[str, float]
    seconds: float
    family: str


def main() -> None:
    """Run what is missing in --out, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    parser.add_argument("--out", type=Path, required=True, help="where the cells are kept; those there stay")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--clips", type=int, default=CLIPS, help="training clips, drawn by seed")
    parser.add_argument("--rows", nargs="+", choices=(*PLAIN, ALL), default=(*PLAIN, ALL))
    parser.add_argument("--encoder", help="an image encoder that looks at the frames; default: none")
    parser.add_argument("--train", nargs=argparse.REMAINDER, default=[], help="more options of mmagent train")
    given = parser.parse_args()
    cells = [Cell(**one) for one in json.loads(given.out.read_text())] if given.out.exists() else []
    for topic in given.rows:
        row = f"{topic}, {given.clips:,} clips" + (f", {given.encoder}" if given.encoder else "")
        for seed in given.seeds:
            if any((one.row, one.seed) == (row, seed) for one in cells):
                continue
            options = [*(["--encoder", given.encoder] if given.encoder else []), *given.train]
            with tempfile.TemporaryDirectory() as folder:
                cells.append(_cell(row, topic, seed, given, options, Path(folder)))
            print(cells[-1], file=sys.stderr, flush=True)
            staged = given.out.with_suffix(".new")
            staged.write_text(json.dumps([asdict(one) for one in cells], indent=1))
            staged.replace(given.out)
    print("\n".join(_table(cells)))


def asked(
    data: Path, split: str, topic: str, most: int | None = None, seed: int = 0
) -> Iterator[dict[str, Any]]:
    """Rows of one split, of at most so many clips that the topic is asked of, drawn by seed.

    Of one topic: each clip once, and the topic's plain question; else all questions, as they are.
    """
    clips = pq.read_table(data / "easy_vqa_video" / f"{split}.parquet").to_pylist()
    about = [
        any(topic in (ALL, _topic(*pair)) for pair in zip(one["questions"], one["answers"], strict=True))
        for one in clips
    ]
    order = np.flatnonzero(about)
    if most is not None:
        order = np.sort(np.random.Generator(np.random.PCG64(seed)).permutation(order)[:most])
    for clip in (clips[at] for at in order):
        pairs = list(zip(clip["questions"], clip["answers"], strict=True))
        if topic != ALL:
            pairs = [(PLAIN[topic], answer) for q, answer in pairs if _topic(q, answer) == topic][:1]
        for question, answer in pairs:
            yield {"video": clip["video"], "question": question, "answer": answer, "split": split}


def _topic(question: str, answer: str) -> str:
    if "direction" in question:
        return "direction"
    return "shape" if answer in SHAPES else "colour"


def _cell(
    row: str, topic: str, seed: int, given: argparse.Namespace, options: Sequence[str], folder: Path
) -> Cell:
    rows = [*asked(given.data, "train", topic, given.clips, seed), *asked(given.data, "test", topic)]
    columns = {"video": CLIP, "question": pa.string(), "answer": pa.string(), "split": pa.string()}
    file, bundle, report = folder / "clips.parquet", folder / "bundle", folder / "report"
    pq.write_table(pa.Table.from_pylist(rows, pa.schema(list(columns.items()))), file)
    begun = time.perf_counter()
    _run(["train", "--data", file, "--bundle", "tiny", "--out", bundle, "--seed", seed, *options])
    seconds = time.perf_counter() - begun
    controls = ["--controls", "blind,shuffled"]
    _run(["eval", "--data", file, "--bundle", bundle, "--split", "test", *controls, "--out", report])
    found = json.loads((report / "report.json").read_text())
    scores = {
        one["name"]: one["scores"][found["judge"]]["value"] for one in found["systems"] if not one["shots"]
    }
    test = [one for one in rows if one["split"] == "test"]
    answered, by_topic = _turned(bundle, test)
    family = json.loads((bundle / "bundle.json").read_text())["senses"]["video"]["adapter"]["family"]
    n_train = len(rows) - len(test)
    return Cell(row, seed, n_train, found["n"], scores | answered, by_topic, round(seconds, 1), family)


def _turned(bundle: Path, rows: Sequence[dict[str, Any]]) -> tuple[dict[str, float], dict[str, float]]:
    """Exact match where clips are played otherwise, and as they are by topic of the question."""
    from mmagent import Agent, Request

    agent = Agent.load(bundle)
    rng = np.random.Generator(np.random.PCG64(0))
    clips = [_frames(row["video"]["bytes"]) for row in rows]
    orders: dict[str, Callable[[int], Any]] = {
        "as it is": np.arange,
        "played backwards": lambda n: np.arange(n)[::-1],
        "frames in random order": rng.permutation,
        "first frame only": lambda n: np.zeros(n, int),
    }
    right: dict[str, NDArray[np.bool_]] = {}
    opposite = 0.0
    for name, order in orders.items():
        media = [{"frames": clip[order(len(clip))], "fps": 5} for clip in clips]
        asks = [Request(row["question"], {"video": [one]}) for row, one in zip(rows, media, strict=True)]
        texts = [getattr(one, "text", "") for one in agent.ask_many(asks, batch_size=32)]
        right[name] = np.array([text == row["answer"] for text, row in zip(texts, rows, strict=True)])
        if name == "played backwards":
            turned = [OPPOSITE.get(row["answer"]) for row in rows]
            told = [text == other for text, other in zip(texts, turned, strict=True) if other]
            opposite = float(np.mean(told)) if told else float("nan")
    topics = np.array([_topic(row["question"], row["answer"]) for row in rows])
    scores = {name: float(values.mean()) for name, values in right.items() if name != "as it is"}
    if opposite == opposite:
        scores["played backwards, the opposite said"] = opposite
    return scores, {str(one): float(right["as it is"][topics == one].mean()) for one in sorted(set(topics))}


def _frames(data: bytes) -> NDArray[np.uint8]:
    """(T, H, W, 3)"""
    with Image.open(io.BytesIO(data)) as image:
        frames = []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            frames.append(np.asarray(image.convert("RGB")))
    return np.stack(frames)


def _run(arguments: Sequence[object]) -> None:
    command = [sys.executable, "-m", "mmagent_cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")


def _table(cells: Sequence[Cell]) -> list[str]:
    """Markdown: a line for each row, every seed and their mean, per cent."""
    systems = list(dict.fromkeys(name for cell in cells for name in cell.scores))
    lines = [f"| questions | family | {' | '.join(systems)} |", f"|---|---|{'---|' * len(systems)}"]
    for row in dict.fromkeys(cell.row for cell in cells):
        own = sorted((cell for cell in cells if cell.row == row), key=lambda cell: cell.seed)
        said = [_seeds([cell.scores.get(name) for cell in own]) for name in systems]
        lines.append(f"| {row} | {', '.join({cell.family for cell in own})} | {' | '.join(said)} |")
        for topic in own[0].by_topic if len(own[0].by_topic) > 1 else ():
            values = _seeds([cell.by_topic[topic] for cell in own])
            lines.append(f"| - of them on {topic} | | {values} |{' |' * (len(systems) - 1)}")
    return lines


def _seeds(values: Sequence[float | None]) -> str:
    there = [100 * value for value in values if value is not None]
    if not there:
        return ""
    return f"{np.mean(there):.1f} ({', '.join(f'{value:.1f}' for value in there)})"


if __name__ == "__main__":
    main()
