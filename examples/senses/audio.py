"""What the audio sense reaches on sounds whose makers it never heard, with controls and baselines beside.

    python examples/senses/audio.py --data DATA --encoder ENCODER

Spoken digits (DATA/fsdd/train.parquet, four speakers): each speaker in turn is the test, the others are
learned from, with every seed. ENCODER has heard none of them where it was trained on made sounds alone, as
the embedded one was; of those trained on recordings beside, --folds names a folder with one for each speaker,
trained without that one. Words spoken by text-to-speech programs in voices that are kept from every encoder
(`apt-get install espeak-ng flite`), some that the encoder was trained on and some that it was not; and notes,
noises and chirps. Speakers and voices stand in the column `group`, so that validation and the choice of the
probe's strength keep each on one side.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from seeds import Scores, measured, over, table
from spoken_words import DIGITS, WORDS, plan, say, tones

SPEAKERS = ("lucas", "nicolas", "theo", "yweweler")
KNOWN = tuple(WORDS[:20])
NEW = tuple(
    "cabin pocket signal velvet ladder tunnel pepper basket hollow magnet cotton rocket turtle candle".split()
)
SHOTS, TESTS = 8, 8  # of each word; of each sound twice as many
SOUND = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
Row = dict[str, Any]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="the folder of the data sets")
    parser.add_argument("--encoder", required=True, help="a directory, a hub id, or builtin")
    parser.add_argument("--folds", type=Path, help="a folder of encoders, each without one speaker")
    parser.add_argument("--speakers", nargs="+", default=SPEAKERS)
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2))
    parser.add_argument("--only", default="", help="rows of the table whose name holds this")
    given = parser.parse_args()
    rows: dict[str, Callable[[argparse.Namespace], list[Scores]]] = {
        **{f"spoken digits, {name} never heard": partial(digits, speaker=name) for name in given.speakers},
        f"{len(KNOWN)} words, new voices": known_words,
        f"{len(NEW)} words new to the encoder, new voices": new_words,
        "12 notes, 4 noises, 2 chirps": sounds,
    }
    found = {name: run(given) for name, run in rows.items() if given.only in name}
    if len(spoken := [runs for name, runs in found.items() if name.startswith("spoken digits")]) > 1:
        found[f"spoken digits, mean of {len(spoken)} speakers"] = [
            {name: float(np.mean([one[name] for one in seed])) for name in seed[0]}
            for seed in zip(*spoken, strict=True)
        ]
    print("\n".join(table(found)))


def digits(given: argparse.Namespace, speaker: str) -> list[Scores]:
    """One speaker is asked about, the others are learned from."""
    recordings = pq.read_table(given.data / "fsdd" / "train.parquet").to_pylist()
    rows = [
        {
            "audio": one["audio"],
            "label": one["label"],
            "split": "test" if one["speaker"] == speaker else "train",
            "group": one["speaker"],
        }
        for one in recordings
    ]
    encoder = given.folds / speaker if given.folds else given.encoder
    return over(given.seeds, lambda seed: _measured(rows, encoder, seed))


def known_words(given: argparse.Namespace) -> list[Scores]:
    """Words that the encoder was trained to tell apart, in voices that it never heard."""
    return over(given.seeds, lambda seed: _measured(_spoken(KNOWN, seed), given.encoder, seed))


def new_words(given: argparse.Namespace) -> list[Scores]:
    """Words and voices that the encoder never heard."""
    assert not set(NEW) & {*WORDS, *DIGITS}
    return over(given.seeds, lambda seed: _measured(_spoken(NEW, seed), given.encoder, seed))


def sounds(given: argparse.Namespace) -> list[Scores]:
    """Notes by name in any octave and timbre, noises by colour, chirps by direction."""

    def rows(seed: int) -> Iterator[Row]:
        for split, number in (("train", 1000 + seed), ("test", 2000 + seed)):
            for label, wave, rate in tones(2 * SHOTS, number):
                yield {"audio": wav(wave, rate), "label": label, "split": split}

    return over(given.seeds, lambda seed: _measured(list(rows(seed)), given.encoder, seed))


def _spoken(words: Sequence[str], seed: int) -> list[Row]:
    """Words in voices that encoders heard, to learn from, and in voices kept from them, to be tested on."""
    splits = {
        "train": plan(list(words), SHOTS, 1000 + seed),
        "test": plan(list(words), TESTS, 2000 + seed, held_out=True),
    }
    return [
        {"audio": wav(*say(one)), "label": one.word, "split": split, "group": one.voice}
        for split, ways in splits.items()
        for one in ways
    ]


def wav(wave: Any, rate: int) -> dict[str, Any]:
    import soundfile

    stream = io.BytesIO()
    soundfile.write(stream, wave, rate, format="WAV", subtype="PCM_16")
    return {"bytes": stream.getvalue(), "path": None}


def _measured(rows: Sequence[Row], encoder: Path | str, seed: int) -> Scores:
    """A bundle trained on the rows of the split train, asked about those of the split test."""
    columns = {"audio": SOUND, "label": pa.string(), "split": pa.string(), "group": pa.string()}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "sounds.parquet"
        pq.write_table(pa.Table.from_pylist(list(rows), pa.schema(list(columns.items()))), data)
        return measured(data, Path(folder), seed, ["--encoder", str(encoder)])


if __name__ == "__main__":
    main()
