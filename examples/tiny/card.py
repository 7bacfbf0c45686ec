"""Stage `card`: the figures of the table go into the bundle's manifest and onto its card.

python examples/tiny/card.py --bundle DIR --table table.json --trained notes.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from calibrate import rewrite

HERE = Path(__file__).parent
HEADLINE = {  # what a listing of bundles shows
    "CIFAR-10": "CIFAR-10: what is this",
    "digits": "MNIST: which digit",
    "easy-VQA": "easy-VQA questions",
    "new words, 5-way 5-shot": "shot memory, 5-way 5-shot",
}


def lines_of(table: dict[str, Any]) -> list[str]:
    """The table as Markdown, one line a row."""
    names = ["blind", "shuffled", "oracle", "nearest shot mean", "no shots"]
    out = ["| what | n | right | 95 % | " + " | ".join(names) + " | ECE |", "|---" * (len(names) + 5) + "|"]
    for row in table["rows"]:
        controls = " | ".join(f"{100 * row[k]:.1f}" if k in row else "" for k in names)
        low, high = row["interval"]
        spread = f"{100 * low:.1f} to {100 * high:.1f}"
        ece = f"{row['ece']:.3f}" if row["ece"] else ""
        out.append(
            f"| {row['row']} | {row['n']} | {100 * row['score']:.1f} | {spread} | {controls} | {ece} |"
        )
    return out


def main() -> None:
    """Write scores and card."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", type=Path, required=True, help="folder of the bundle, which is rewritten")
    parser.add_argument("--table", type=Path, required=True, help="what evaluate.py wrote with --out")
    parser.add_argument("--trained", type=Path, required=True, help="JSON of facts about the training run")
    options = parser.parse_args()
    table = json.loads(options.table.read_text(encoding="utf-8"))
    facts = json.loads(options.trained.read_text(encoding="utf-8"))
    text = (HERE / "card.md").read_text(encoding="utf-8")
    text = text.replace("@TABLE@", "\n".join(lines_of(table))).replace("@ECE@", f"{table['ece']:.3f}")
    for name, value in facts.items():
        text = text.replace(f"@{name}@", str(value))
    rows = {row["row"]: row for row in table["rows"]}
    scores: dict[str, Any] = {short: rows[name]["score"] for short, name in HEADLINE.items()}
    scores["table"] = {name: {k: row[k] for k in ("score", "n", "interval")} for name, row in rows.items()}
    rewrite(options.bundle, {"scores": scores}, text)


if __name__ == "__main__":
    main()
