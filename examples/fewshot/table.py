"""The few-shot table of a bundle: new names in episodes, and questions with 0, 1 and 4 shots, with controls.

    python examples/fewshot/table.py --data DATA [--bundle tiny] [--seeds 0,1,2] [--out table.json]

Nothing is trained. The rows with the shot memory are not blind: its two constants (`FEW` and `ODDS` in
mmagent/memory.py) were compared on other pictures, but after scores on these had been seen. Episodes are
drawn from the characters of two alphabets that no training saw (`sets.omniglot`): in context alone, and with
the shot memory beside it.
Questions are about NLVR's and COCO-MINI's pictures (`sets.nlvr`, `sets.coco_*`), their shots drawn by lot or
nearest. Of several seeds every score is told, and their mean.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sets import SETS, write

from mmagent import Agent
from mmagent.data import LabelledSet, read_labelled
from mmagent.evaluation import evaluate
from mmagent.evaluation.episodes import evaluate_episodes, parse_settings

EPISODES = ("ways=2,shots=1,3,5", "ways=5,shots=1,3")
QUESTIONS = ("nlvr", "nlvr-choices", "coco-exists", "coco-count", "coco-captions")
SHOTS = (0, 1, 4)
CONTROLS = ("blind", "shuffled")
Line = dict[str, Any]


def episode_lines(
    agent: Agent,
    labelled: LabelledSet,
    seeds: Sequence[int],
    count: int,
    induction: bool,
    controls: Sequence[str] = CONTROLS,
) -> list[Line]:
    """One line for each setting, with the memory and without."""
    lines = []
    for text in EPISODES:
        reports = [
            evaluate_episodes(
                agent,
                labelled,
                parse_settings(text),
                controls=controls,
                induction=induction,
                count=count,
                seed=seed,
            ).report
            for seed in seeds
        ]
        for rows in zip(*(report["rows"] for report in reports), strict=True):
            others = {name: [row["controls"][name] for row in rows] for name in controls}
            others["nearest shot mean"] = [row["nearest"] for row in rows]
            shots = "context and memory" if rows[0]["memory"] else "context alone"
            line = _line(rows[0]["setting"], shots, [row["score"] for row in rows], others)
            lines.append(line | {"chance": rows[0]["chance"]})
    return lines


def question_lines(
    agent: Agent,
    name: str,
    labelled: LabelledSet,
    seeds: Sequence[int],
    choices: Sequence[str] = ("random", "nearest"),
    controls: Sequence[str] = CONTROLS,
) -> list[Line]:
    """One line for each number of shots and each way of choosing them."""
    lines = []
    for choice in choices:
        reports = [
            evaluate(
                agent,
                labelled,
                shots=SHOTS,
                controls=controls,
                baselines=("majority", "nearest"),
                shot_choice=choice,  # type: ignore[arg-type]
                max_tokens=12,
                seed=seed,
            ).report
            for seed in seeds
        ]
        for shots in SHOTS:
            if shots == 0 and choice != choices[0]:
                continue
            found: dict[str, list[Any]] = {}
            for report in reports:
                for system in report["systems"]:
                    if system["shots"] in (shots, None):
                        key = system["name"].partition(" with ")[0]
                        found.setdefault(key, []).append(system["scores"][report["judge"]])
            told = f"{shots} shot{'s' if shots > 1 else ''}, {choice}" if shots else "no shots"
            own = found.pop("the adapter")
            lines.append(_line(name, told, own, found))
    return lines


def _line(what: str, shots: str, own: Sequence[Line], others: dict[str, list[Line]]) -> Line:
    return {
        "what": what,
        "shots": shots,
        "scores": [one["value"] for one in own],
        "intervals": [[one["low"], one["high"]] for one in own],
        "others": {name: [one["value"] for one in some] for name, some in others.items()},
    }


def markdown(lines: Sequence[Line]) -> str:
    """The lines as a table, in per cent; means over the seeds, and every seed's own score."""
    names = list(dict.fromkeys(name for line in lines for name in line["others"]))
    head = ["what", "shots", "right", "by seed", "95 % (first seed)", "chance", *names]
    rows = [head, ["---"] * len(head)]
    for line in lines:
        low, high = line["intervals"][0]
        rows.append(
            [
                line["what"],
                line["shots"],
                f"**{_mean(line['scores'])}**",
                ", ".join(_percent(one) for one in line["scores"]),
                f"{_percent(low)} to {_percent(high)}",
                _percent(line["chance"]) if "chance" in line else "",
                *(_mean(line["others"][name]) if name in line["others"] else "" for name in names),
            ]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _mean(values: Sequence[float]) -> str:
    return _percent(sum(values) / len(values))


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def main() -> None:
    """Print the table; write it as JSON where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--bundle", default="tiny")
    parser.add_argument("--seeds", default="0,1,2", help="of episodes, shots and shuffling (0,1,2)")
    parser.add_argument("--count", type=int, default=500, help="episodes of each setting")
    parser.add_argument("--limit", type=int, help="at most so many test rows of each set of questions")
    parser.add_argument("--induction", action="store_true", help="say what the answers are before the shots")
    parser.add_argument("--controls", default=",".join(CONTROLS), help="blind and shuffled unless told")
    parser.add_argument("--only", choices=tuple(SETS), action="append", help="this set; repeatable")
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    options = parser.parse_args()
    seeds = [int(word) for word in options.seeds.split(",")]
    controls = [word for word in options.controls.split(",") if word]
    agent = Agent.load(options.bundle)
    lines: list[Line] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only or SETS:
            rows = SETS[name](options.data)
            if name in QUESTIONS and options.limit:
                test = [row for row in rows if row["split"] == "test"]
                rows = [row for row in rows if row["split"] == "train"] + test[: options.limit]
            labelled = read_labelled(write(rows, Path(folder) / f"{name}.parquet"), agent.plugins.modalities)
            if name in QUESTIONS:
                made = question_lines(agent, name, labelled, seeds, controls=controls)
            else:
                made = episode_lines(agent, labelled, seeds, options.count, options.induction, controls)
            print(markdown(made), flush=True)
            lines += made
    if options.out:
        options.out.write_text(json.dumps(lines, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
