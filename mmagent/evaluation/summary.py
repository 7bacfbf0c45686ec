"""An evaluation as plain data: every number that a report tells, computed once, from the rows alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mmagent.evaluation.intervals import paired
from mmagent.evaluation.missing import against_missing, curve
from mmagent.evaluation.report import against_memory, verdict
from mmagent.evaluation.results import Result

if TYPE_CHECKING:
    from mmagent.evaluation.run import Evaluation, Run

__all__ = ["FORMAT", "answers", "summary"]

FORMAT = 1
MOST_CLASSES = 60  # of a confusion matrix that is kept whole
CONFUSED = 20  # pairs of classes that are told one by one


def summary(evaluation: Evaluation) -> dict[str, Any]:
    """The report as JSON has it. `systems` are the rows of its table, the adapter of the verdict first."""
    main = evaluation.main.adapter
    answer, *more = _verdict(evaluation)
    return {
        "format": FORMAT,
        "verdict": [answer, *evaluation.warnings, *more],
        "warnings": list(evaluation.warnings),
        "notes": list(evaluation.notes),
        "n": len(main.rows),
        "judge": main.judge,
        "systems": _systems(evaluation),
        "reliability": [point.as_json() for point in main.reliability()],
        "classes": [one.as_json() for one in main.classes()] if main.labels is not None else [],
        "confusion": _confusion(main),
        "confused": _confused(main),
        "worst": [asdict(shown.row) | {"wanted": list(shown.row.wanted)} for shown in evaluation.shown],
        "runs": [
            {"shots": run.shots, "drawn": list(run.drawn), "prompt": run.prompt, "target": run.target}
            for run in evaluation.runs
        ],
        "missing": _missing(evaluation.main),
        "settings": dict(evaluation.settings),
        "command": list(evaluation.command),
    }


def answers(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Row by row what every system answered: what the scores were computed from."""
    results = [*_results(evaluation), *evaluation.baselines]
    told = []
    for at, row in enumerate(evaluation.main.adapter.rows):
        given = {
            result.name: {
                key: value
                for key in ("got", "correct", "confidence", "logprob", "tokens")
                if (value := getattr(result.rows[at], key)) is not None
            }
            for result in results
        }
        told.append(
            {"source": row.source, "question": row.question, "wanted": list(row.wanted), "answers": given}
        )
    return told


def _results(evaluation: Evaluation) -> list[Result]:
    runs = evaluation.runs
    return [
        one
        for run in runs
        for one in (run.adapter, run.turned, *run.missing.values(), *run.controls.values())
        if one
    ]


def _verdict(evaluation: Evaluation) -> list[str]:
    """What the first run's numbers say, then one sentence on each of the others."""
    resamples, seed = _drawing(evaluation)
    lines: list[str] = []
    for run in evaluation.runs:
        said = verdict(run.adapter, evaluation.baselines, run.controls, resamples=resamples, seed=seed)
        if run.turned is not None:
            said.append(against_memory(run.adapter, run.turned, resamples=resamples, seed=seed))
        said += against_missing(run.adapter, run.missing, resamples=resamples, seed=seed)
        lines += said if run is evaluation.main else said[:1]
    return lines


def _systems(evaluation: Evaluation) -> list[dict[str, Any]]:
    """One entry for each system: its scores, and by how much the adapter is ahead of it on the same rows.

    Baselines are held against the first run; a control, and the agent with its shot memory turned the other
    way, against their own.
    """
    rows = [_system(evaluation, evaluation.main, evaluation.main.adapter, "adapter")]
    rows += [_system(evaluation, evaluation.main, one, "baseline") for one in evaluation.baselines]
    for run in evaluation.runs:
        if run is not evaluation.main:
            rows.append(_system(evaluation, run, run.adapter, "adapter"))
        if run.turned is not None:
            rows.append(_system(evaluation, run, run.turned, "memory"))
        rows += [_system(evaluation, run, one, "missing") for one in run.missing.values()]
        rows += [_system(evaluation, run, one, "control") for one in run.controls.values()]
    return rows


def _system(evaluation: Evaluation, run: Run, result: Result, kind: str) -> dict[str, Any]:
    resamples, seed = _drawing(evaluation)
    ahead = None
    if result is not run.adapter:
        difference = paired(run.adapter.accuracy(), result.accuracy(), resamples=resamples, seed=seed)
        ahead = difference.as_json()
    scores = result.scores(resamples=resamples, seed=seed).as_json()
    shots = None if kind == "baseline" else run.shots
    return {"name": result.name, "kind": kind, "shots": shots, "scores": scores["values"], "ahead": ahead}


def _missing(run: Run) -> list[dict[str, float]]:
    """The missing-sense curve, where every choice of the senses was asked about, none of them included."""
    senses = sorted({name for kept in run.missing for name in kept})
    scores = {kept: one.accuracy().value() for kept, one in run.missing.items()}
    scores[tuple(senses)] = run.adapter.accuracy().value()
    if "blind" in run.controls:
        scores[()] = run.controls["blind"].accuracy().value()
    return curve(senses, scores)


def _drawing(evaluation: Evaluation) -> tuple[int, int]:
    asked = evaluation.settings["asked"]
    return asked["resamples"], asked["seed"]


def _confusion(result: Result) -> dict[str, Any] | None:
    """The matrix, where there are classes and not too many."""
    if result.labels is None or len(result.labels) > MOST_CLASSES:
        return None
    return result.confusion().as_json()


def _confused(result: Result) -> list[dict[str, Any]]:
    """What was said in place of what most often; both in words, and how often."""
    pairs = Counter((row.wanted[0], row.got) for row in result.rows if row.correct < 0.5)
    order = sorted(pairs, key=lambda pair: (-pairs[pair], pair))
    return [{"wanted": pair[0], "got": pair[1], "n": pairs[pair]} for pair in order[:CONFUSED]]
