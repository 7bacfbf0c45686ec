"""Episodes as plain data: every number of the table, from the answers alone, and what they say in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from mmagent.evaluation.intervals import paired, share
from mmagent.evaluation.metric import Floats, mean
from mmagent.evaluation.results import Row

if TYPE_CHECKING:
    from mmagent.evaluation.episodes.run import EpisodeRun, EpisodesEvaluation

__all__ = ["FORMAT", "NEAREST", "answers", "summary", "table"]

FORMAT = 1
NEAREST = "nearest shot mean"


def summary(evaluation: EpisodesEvaluation) -> dict[str, Any]:
    """The report as JSON has it; `rows` are those of its table."""
    asked = evaluation.settings["asked"]
    drawing = {"resamples": asked["resamples"], "seed": asked["seed"]}
    rows = [_row(run, drawing) for run in evaluation.runs]
    answer, *more = _headline(rows, evaluation.settings["bundle"]["name"])
    headline = [answer, *evaluation.warnings, *more]
    return {
        "format": FORMAT,
        "kind": "episodes",
        "headline": headline,
        "verdict": [*headline, *map(_line, rows)],
        "warnings": list(evaluation.warnings),
        "notes": list(evaluation.notes),
        "scorer": asked["scorer"],
        "rows": rows,
        "settings": dict(evaluation.settings),
        "command": list(evaluation.command),
    }


def table(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Head and lines of the table, in per cent, as people read it."""
    controls = list(report["rows"][0]["controls"])
    head = ["setting", "shots in", "right", "95 %", "any name", *controls, "chance", NEAREST]
    lines = []
    for row in report["rows"]:
        score = row["score"]
        lines.append(
            [
                row["setting"],
                "context + memory" if row["memory"] else "context",
                _percent(score["value"]),
                f"{_percent(score['low'])} to {_percent(score['high'])}",
                _percent(row["any_name"]["value"]),
                *(_percent(row["controls"][name]["value"]) for name in controls),
                _percent(row["chance"]),
                _percent(row["nearest"]["value"]),
            ]
        )
    return head, lines


def answers(evaluation: EpisodesEvaluation) -> list[dict[str, Any]]:
    """Query by query what was asked and answered: what the scores were computed from."""
    told = []
    for run in evaluation.runs:
        at = 0
        for episode in run.episodes:
            for example, wanted in episode.queries:
                said = {"own": run.answers[at]} | {name: rows[at] for name, rows in run.controls.items()}
                told.append(
                    {
                        "setting": run.name,
                        "episode": episode.number,
                        "names": dict(zip(episode.classes, episode.names, strict=True)),
                        "source": example.source,
                        "wanted": wanted,
                        "prompt_sha256": run.prompts.hashes[at],
                        "answers": {
                            name: {"got": row.got, "correct": row.correct, "confidence": row.confidence}
                            for name, row in said.items()
                        },
                        NEAREST: run.nearest[at],
                    }
                )
                at += 1
    return told


def _row(run: EpisodeRun, drawing: Mapping[str, Any]) -> dict[str, Any]:
    """One line of the table; every interval is over episodes, not over answers."""
    own = _per_episode(run, _correct(run.answers))
    nearest = _per_episode(run, run.nearest)
    controls = {name: _per_episode(run, _correct(rows)) for name, rows in run.controls.items()}

    def ahead(other: Floats) -> dict[str, Any]:
        return paired(mean(own), mean(other), **drawing).as_json()

    hashes = iter(run.prompts.hashes)
    return {
        "setting": run.setting.name,
        "ways": run.setting.ways,
        "shots": run.setting.shots,
        "repeats": run.setting.repeats,
        "queries": run.setting.queries,
        "memory": run.memory,
        "episodes": len(run.episodes),
        "answers": len(run.answers),
        "shots_in_context": {"fewest": min(run.prompts.in_context), "of": run.setting.n_shots},
        "score": share(own, **drawing).as_json(),
        "controls": {name: share(values, **drawing).as_json() for name, values in controls.items()},
        "any_name": share(_per_episode(run, _named(run)), **drawing).as_json(),
        "chance": run.setting.chance,
        "nearest": share(nearest, **drawing).as_json(),
        "ahead": {NEAREST: ahead(nearest)} | {name: ahead(values) for name, values in controls.items()},
        "prompt": run.prompts.example,
        "target": run.prompts.target,
        "prompts_sha256": [list(islice(hashes, len(one.queries))) for one in run.episodes],
    }


def _per_episode(run: EpisodeRun, correct: Sequence[float]) -> Floats:
    """(episodes,) the share of each episode's queries that are right."""
    return np.asarray(np.reshape(correct, (len(run.episodes), -1)).mean(axis=1), dtype=np.float64)


def _named(run: EpisodeRun) -> list[float]:
    """For each answer 1 where it is one of the episode's names, be it the right one or not."""
    queries = (episode for episode in run.episodes for _ in episode.queries)
    return [float(row.got in episode.names) for row, episode in zip(run.answers, queries, strict=True)]


def _correct(rows: Sequence[Row]) -> list[float]:
    return [row.correct for row in rows]


def _headline(rows: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    """Whether the bundle stands up to its blind control and to the nearest shot mean, what is lost first."""
    lost, won = [], []
    if "blind" in rows[0]["controls"]:
        tied = [row for row in rows if _ahead(row, "blind") != "better"]
        if not tied:
            won.append(f"{name} beats its blind control in every row.")
        elif len(tied) == len(rows):
            lost.append(f"In no row does {name} beat its blind control.")
        else:
            lost.append(f"{name} does not beat its blind control in {_of(tied, rows)}.")
    else:
        won.append("No blind control was run, so it is not known whether the media matter at all.")
    below = [row for row in rows if _ahead(row, NEAREST) == "worse"]
    level = [row for row in rows if _ahead(row, NEAREST) == "tied"]
    parts = [f"below it in {_of(below, rows)}"] if below else []
    parts += [f"level with it, as far as can be told from chance, in {_of(level, rows)}"] if level else []
    if parts:
        lost.append(f"{name} does not beat the {NEAREST} on the same features: {'; '.join(parts)}.")
    else:
        won.append(f"{name} beats the {NEAREST} on the same features in every row.")
    return [*lost, *won]


def _of(some: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> str:
    if len(some) == len(rows):
        return "every row" if len(rows) > 1 else "the only row"
    return f"{len(some)} of {len(rows)} rows ({', '.join(map(_short, some))})"


def _short(row: Mapping[str, Any]) -> str:
    return f"{row['setting']}{' with memory' if row['memory'] else ''}"


def _line(row: Mapping[str, Any]) -> str:
    """One row of the table as a sentence."""
    gap, score = row["ahead"][NEAREST], row["score"]
    points = [f"{100 * gap[name] + 0.0:.1f}" for name in ("low", "high")]
    ends = f"{_percent(score['low'])} to {_percent(score['high'])}"
    return (
        f"{_name(row)}: {_percent(score['value'])} % ({ends}), "
        f"chance {_percent(row['chance'])} %; against the {NEAREST} ({_percent(row['nearest']['value'])} %) "
        f"{100 * gap['value'] + 0.0:+.1f} points ({' to '.join(points)})."
    )


def _ahead(row: Mapping[str, Any], name: str) -> str:
    return str(row["ahead"][name]["verdict"])


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['setting']}, {'context and memory' if row['memory'] else 'context alone'}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"
