"""Put the senses for sound, series, tables, clips, graphs and sets into the embedded bundle.

    python examples/senses/embed.py --data DATA --audio ENCODER --asker ENCODER --spelling FILE --out BUNDLE

Each sense is trained with `mmagent train` on a copy of the bundle, measured with `mmagent eval` on rows that
it never saw (`embedded.py` has both), and its entry and files are put beside what is there: the core and the
other senses are copied byte for byte. ENCODER and FILE are what `train_audio.py`, `train_table.py` and
`train_table_spelling.py` write. `--only SENSE` does one and keeps the others as BUNDLE has them. The bundle
is written aside and then renamed; the card and the scores say what each sense was trained on and for.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from embedded import LEARNERS, Row

from mmagent import Agent
from mmagent.bundle import Bundle, find_bundle
from mmagent.evaluation import wilson
from mmagent.manifest import MANIFEST
from mmagent.plugins import load_plugins

TABLES, QUESTIONS = 120, 500  # dev tables that questions are made of, and own dev questions
Parts = dict[str, bytes]
Scores = dict[str, Any]
SENSES = (*LEARNERS, "table")
DESCRIPTION = (
    "the embedded bundle: a 5 M core that read text only, an image sense trained on captions only, and small "
    "senses for sound, series, tables, clips, graphs and sets"
)
TITLE, LIMITS = "## The other senses", "## What it cannot do"
EPOCHS = {"series": 12, "graph": 12, "set": 10}  # few rows, or each asks something else; elsewhere 3
CONTROLS = ("--controls", "blind,shuffled", "--baselines", "majority")


def main() -> None:
    """Train, measure, put together."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    parser.add_argument("--audio", default="builtin", help="the encoder of sounds")
    parser.add_argument("--asker", type=Path, help="the encoder of tables")
    parser.add_argument("--spelling", type=Path, help="the adapter of tables")
    parser.add_argument("--bundle", default="tiny", help="the bundle to begin with, where --out is none yet")
    parser.add_argument("--out", type=Path, required=True, help="the bundle that is written")
    parser.add_argument("--only", nargs="+", choices=SENSES, default=SENSES)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if "table" in given.only and not (given.asker and given.spelling):
        parser.error("the sense for tables needs --asker and --spelling; --only names the others")
    for sense in given.only:
        with tempfile.TemporaryDirectory() as folder:
            make = told if sense == "table" else trained
            found = make(sense, given, Path(folder))
            there = (given.out / MANIFEST).is_file()
            base = given.out if there else find_bundle(given.bundle, load_plugins().bundles)
            made = merged(Bundle.open(base), sense, *found, given.out)
        print(f"{sense}: {made.size / 1e6:.1f} MB in all", flush=True)


def trained(sense: str, given: argparse.Namespace, work: Path) -> tuple[dict[str, Any], Parts, Scores]:
    """Entry and parts of a sense that learned, and its scores by topic."""
    rows = list(LEARNERS[sense](given.data))
    data, out = work / "learn.parquet", work / "bundle"
    written(taught(sense, [row for row in rows if row["split"] == "train"]), sense, data)
    options = ["--epochs", EPOCHS.get(sense, 3), "--validations", 6]
    options += ["--encoder", given.audio] if sense == "audio" else []
    _run(["train", "--data", data, "--bundle", given.bundle, "--out", out, "--seed", given.seed,
          "--adapter", "concepts", *options])  # fmt: skip
    scores = {}
    for topic in dict.fromkeys(row["topic"] for row in rows):
        test = work / f"test-{len(scores)}.parquet"
        written((row for row in rows if (row["topic"], row["split"]) == (topic, "test")), sense, test)
        scores[f"{sense}: {topic}"] = measured(test, out, work / f"report-{len(scores)}")
        print(f"{sense}: {topic}: {scores[f'{sense}: {topic}']}", flush=True)
    return *_taken(out, sense), scores


def taught(sense: str, rows: Sequence[Row]) -> Iterator[Row]:
    """Rows to learn from: a half of what is asked is what `ask` asks of an input without a question.

    Which rows these are changes nothing but how often the core reads each question: what an input is, the
    probe learns of its features. A sense that knows what is asked is asked that alone.
    """
    from mmagent.compose import DEFAULT_QUESTION

    if load_plugins().modalities[sense].asked:
        yield from rows
        return
    seen: Counter[str] = Counter()
    for row in rows:
        seen[row["answer"]] += 1
        yield row if seen[row["answer"]] % 2 else {**row, "question": DEFAULT_QUESTION}


def told(sense: str, given: argparse.Namespace, work: Path) -> tuple[dict[str, Any], Parts, Scores]:
    """Entry, parts and scores of the sense for tables, which `train_table*.py` trained."""
    import table
    from wtq import Wtq

    data, out = Wtq(given.data), table.write_bundle(work / "bundle", given.asker, given.spelling)
    posed = table.questions(data, TABLES, given.seed) + table.own_questions(data, QUESTIONS)
    rights = table.answered(Agent.load(out, dtype="float32"), given.asker, posed, given.seed, None)
    scores: Scores = {}
    for row in dict.fromkeys(one.row for one in posed):
        right = {
            name: [found for found, one in zip(rights[name], posed, strict=True) if one.row == row]
            for name in ("agent", "blind", "shuffled")
        }
        n = len(right["agent"])
        spread = wilson(sum(right["agent"]), n)
        scores[f"{sense}: {row}"] = {"score": round(sum(right["agent"]) / n, 4), "n": n}
        scores[f"{sense}: {row}"] |= {"interval": [round(spread.low, 4), round(spread.high, 4)]}
        scores[f"{sense}: {row}"] |= {name: round(sum(right[name]) / n, 4) for name in ("blind", "shuffled")}
    return *_taken(out, sense), scores


def _taken(bundle: Path, sense: str) -> tuple[dict[str, Any], Parts]:
    """Entry and files of one sense of a bundle."""
    entry = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))["senses"][sense]
    names = [name for name in Bundle.open(bundle).files if name.startswith(f"{sense}/")]
    return entry, {name: (bundle / name).read_bytes() for name in names}


def merged(
    base: Bundle, sense: str, entry: Mapping[str, Any], parts: Parts, scores: Scores, out: Path
) -> Bundle:
    """The bundle `base` with one sense put in, written to `out`, whole or not at all."""
    manifest = json.loads((base.path / MANIFEST).read_text(encoding="utf-8"))
    for name in ("format", "files", "outside"):
        manifest.pop(name, None)
    there = manifest["senses"] | {sense: entry}
    manifest["senses"] = {name: there[name] for name in ("image", *SENSES) if name in there}
    manifest["description"] = DESCRIPTION
    before = manifest.setdefault("scores", {}).get("table", {})
    rows = {name: row for name, row in before.items() if not name.startswith(f"{sense}: ")}
    manifest["scores"]["table"] = dict(sorted((rows | scores).items(), key=_place))
    whole: dict[str, Any] = {
        name: base.path / name for name in base.files if not name.startswith(f"{sense}/")
    }
    return Bundle.write(out, manifest, whole | parts, card=card(base.card(), manifest), replace=True)


def _place(row: tuple[str, Any]) -> int:
    """Rows of the image sense first, then those of each other in its turn."""
    sense = row[0].partition(": ")[0]
    return SENSES.index(sense) + 1 if sense in SENSES else 0


def card(before: str, manifest: Mapping[str, Any]) -> str:
    """The card with a part about the senses put in, before what the bundle cannot do."""
    head, _, tail = before.partition(LIMITS)
    head, _, _ = head.partition(TITLE)
    lines = [TITLE, "", (Path(__file__).parent / "embedded.md").read_text(encoding="utf-8").strip(), ""]
    scored = [(name, row) for name, row in manifest["scores"]["table"].items() if "blind" in row]
    if scored:
        lines += ["| what | n | right | 95 % | blind | shuffled |", "|---|---|---|---|---|---|"]
    for name, row in scored:
        low, high = row["interval"]
        controls = f"{100 * row['blind']:.1f} | {100 * row['shuffled']:.1f}"
        spread = f"{100 * low:.1f} to {100 * high:.1f}"
        lines.append(f"| {name} | {row['n']} | {100 * row['score']:.1f} | {spread} | {controls} |")
    return "\n".join([head.rstrip(), "", *lines, "", LIMITS]) + tail


def written(rows: Iterable[Row], sense: str, place: Path) -> None:
    """A labelled set as one parquet file: the inputs with their questions and answers."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    plain = ("question", "answer", "split", "group")
    columns = {sense: content, **dict.fromkeys(plain, pa.string())}
    made = [{**row, sense: {"bytes": row["content"], "path": None}} for row in rows]
    pq.write_table(pa.Table.from_pylist(made, pa.schema(list(columns.items()))), place)


def measured(test: Path, bundle: Path, report: Path) -> dict[str, Any]:
    """Exact match on a test, with its interval, blind and with another's input."""
    _run(["eval", "--data", test, "--bundle", bundle, "--split", "test", *CONTROLS, "--out", report])
    found = json.loads((report / "report.json").read_text(encoding="utf-8"))
    scores = {one["name"]: one["scores"][found["judge"]] for one in found["systems"] if not one["shots"]}
    own = next(iter(scores.values()))
    interval = [round(own[end], 4) for end in ("low", "high")]
    controls = {name: round(one["value"], 4) for name, one in scores.items() if name in ("blind", "shuffled")}
    return {"score": round(own["value"], 4), "n": found["n"], "interval": interval, **controls}


def _run(arguments: Sequence[object]) -> None:
    command = [sys.executable, "-m", "mmagent_cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stdout[-3000:], file=sys.stderr, flush=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")


if __name__ == "__main__":
    main()
