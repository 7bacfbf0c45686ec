"""A result's scores, tables and JSON, and the sentences that say what they are worth."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from mmagent.errors import UserError
from mmagent.evaluation import Result, Scores, judged, verdict, wilson


def answered(name: str, right: list[bool] | np.ndarray, wanted: str = "ab") -> Result:
    """Rows whose wanted answers alternate; a wrong answer is 'wrong'."""
    rows = tuple(
        judged("what?", [wanted[at % len(wanted)]], wanted[at % len(wanted)] if ok else "wrong")
        for at, ok in enumerate(right)
    )
    return Result(name, rows)


def mostly(name: str, share: float, n: int = 400, seed: int = 0) -> Result:
    return answered(name, np.random.default_rng(seed).permutation(n) < share * n)


def small() -> Result:
    rows = (
        judged("q1", ["a"], "a ", confidence=0.9, logprob=-0.5, tokens=1, source="1.png"),
        judged("q2", ["b", "bee"], "bee", confidence=0.8, logprob=-1.5, tokens=2, source="2.png"),
        judged("q3", ["b"], "a", confidence=0.6, logprob=-2.0, tokens=1, source="3.png"),
        judged("q4", ["a"], "dragon", confidence=0.95, logprob=-4.0, tokens=2, source="4.png"),
    )
    return Result("the adapter", rows, labels=("a", "b"))


def test_every_metric_the_rows_allow_is_scored():
    scores = small().scores(resamples=200)
    assert list(scores.values) == ["exact match", "macro-F1", "ECE", "Brier score", "perplexity"]
    assert scores.values["exact match"] == wilson(2, 4)
    assert scores.values["perplexity"].value == pytest.approx(math.exp(8.0 / 6.0))
    # a: TP 1, FN 1, FP 1; b, 'bee' counted as its class: TP 1, FN 1, FP 0
    assert scores.values["macro-F1"].value == pytest.approx((0.5 + 2 / 3) / 2)
    assert scores.values["Brier score"].value == pytest.approx((0.01 + 0.04 + 0.36 + 0.9025) / 4)
    assert all(one.low <= one.value <= one.high for one in scores.values.values())


def test_metrics_that_lack_a_column_are_left_out():
    rows = tuple(replace(row, confidence=None, tokens=None) for row in small().rows)
    assert list(Result("x", rows).scores(resamples=10).values) == ["exact match"]


def test_vqa_accuracy_is_judged_row_by_row():
    people = ["red"] * 3 + ["blue"] * 7
    rows = tuple(judged("colour?", people, got, "VQA accuracy") for got in ("Red", "blue", "green"))
    result = Result("x", rows, "VQA accuracy")
    assert [row.correct for row in rows] == pytest.approx([0.9, 1.0, 0.0])
    assert result.scores(resamples=50).values["VQA accuracy"].value == pytest.approx(1.9 / 3)
    assert result.answered("y", ["green", "red!", "x"]).accuracy().value() == pytest.approx(0.3)


def test_the_worst_mistakes_are_the_surest():
    assert [row.source for row in small().worst()] == ["4.png", "3.png"]
    assert [row.source for row in small().worst(1)] == ["4.png"]
    blank = replace(small(), rows=tuple(replace(row, confidence=None) for row in small().rows[2:]))
    assert [row.source for row in blank.worst()] == ["3.png", "4.png"]


def test_confusion_has_a_column_for_other_answers():
    assert small().confusion().counts.tolist() == [[1, 0, 1], [1, 1, 0]]
    assert [one.label for one in small().classes()] == ["a", "b"]


def test_results_and_scores_go_to_json_and_back_in_a_fixed_order():
    result = small()
    text = json.dumps(result.as_json(), allow_nan=False)
    assert Result.from_json(json.loads(text)) == result
    assert json.dumps(Result.from_json(json.loads(text)).as_json()) == text
    scores = result.scores(resamples=50)
    assert Scores.from_json(json.loads(json.dumps(scores.as_json(), allow_nan=False))) == scores
    endless = replace(result, rows=tuple(replace(row, logprob=-9000.0) for row in result.rows))
    scored = endless.scores(resamples=10)
    assert scored.values["perplexity"].value == math.inf
    assert Scores.from_json(json.loads(json.dumps(scored.as_json(), allow_nan=False))) == scored


def test_results_that_cannot_be_read_are_refused():
    with pytest.raises(UserError, match=r"format 7; this version reads 1"):
        Result.from_json({"format": 7})
    with pytest.raises(UserError, match=r"cannot be read .*wanted"):
        Result.from_json({"format": 1, "name": "x", "judge": "exact match", "labels": None, "rows": [{}]})
    with pytest.raises(UserError, match=r"Did you mean 'exact match'"):
        Result("x", (), "exact mach")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"confidence 1.5, not 0 to 1"):
        judged("q", ["a"], "a", confidence=1.5)


def test_beating_everything_is_said_with_the_hardest_rival_and_the_blind_control():
    lines = verdict(
        mostly("the adapter", 0.9),
        [mostly("majority class", 0.3, seed=1), mostly("logistic regression", 0.7, seed=2)],
        {"blind": mostly("blind", 0.4, seed=3)},
    )
    assert lines[0].startswith(
        "The adapter beats every baseline and its blind control: 90.0 % exact match (86.7 to 92.6), +20.0 "
        "points ("
    )
    assert "over logistic regression (70.0 %) and +50.0 points (" in lines[0]
    assert lines[0].endswith("over its blind control (40.0 %); 95 % paired intervals, 400 rows.")
    assert lines[1].startswith("Against majority class (30.0 %): +60.0 points (")
    assert lines[1].endswith("more than chance, p < 0.001.")


def test_a_tie_is_no_win():
    lines = verdict(
        mostly("the adapter", 0.71),
        [mostly("logistic regression", 0.70, seed=2)],
        {"blind": mostly("blind", 0.4, seed=3)},
    )
    assert lines[0].startswith("The adapter does not beat logistic regression: 71.0 % exact match (")
    assert "against 70.0 % of logistic regression, a difference of +1.0 points (" in lines[0]
    assert "that may be chance" in lines[0]


def test_a_loss_is_called_one():
    lines = verdict(
        mostly("the adapter", 0.5),
        [mostly("nearest class mean", 0.8, seed=1), mostly("logistic regression", 0.9, seed=2)],
        {"blind": mostly("blind", 0.2, seed=3)},
    )
    assert lines[0].startswith(
        "The adapter loses to nearest class mean and logistic regression: 50.0 % exact"
    )
    assert "against 90.0 % of logistic regression, -40.0 points (" in lines[0]


def test_an_adapter_as_good_as_blind_does_not_sense():
    lines = verdict(mostly("the adapter", 0.5), [], {"blind": mostly("blind", 0.5, seed=3)})
    assert lines[0].startswith("The adapter does not beat its blind control")
    assert "Without its media it answers as well: what it says does not come from what it senses." in lines


def test_too_few_rows_do_not_say_that_nothing_is_sensed():
    """Five right of six against none: far apart, and no more than chance may do (p = 0.06)."""
    adapter, other = answered("the adapter", [True] * 5 + [False]), answered("other", [False] * 6)
    lines = verdict(adapter, [], {"blind": other, "shuffled": other})
    assert any(
        line.startswith("6 rows are too few to tell whether what it says comes from what it senses: +83.3 ")
        and line.endswith(") over its blind control.")
        for line in lines
    )
    assert any(
        line.startswith("With another row's media (shuffled) 0.0 %, with its own +83.3 points (")
        and line.endswith(" more: 6 rows are too few to tell whether it matters which input it gets.")
        for line in lines
    )
    assert not any("answers as well" in line or "hardly matters" in line for line in lines)


def test_a_shuffled_input_that_serves_better_is_said_to():
    controls = {"shuffled": mostly("shuffled", 0.7, seed=1)}
    (line,) = [one for one in verdict(mostly("the adapter", 0.3), [], controls) if "(shuffled)" in one]
    assert "with its own -40.0 points (" in line
    assert line.endswith("): another row's serves it better than its own.")


def test_many_rows_of_the_same_score_say_that_nothing_is_sensed():
    """One row of a thousand is ahead; the interval leaves nothing worth having."""
    right = np.arange(1000) < 500
    blind = answered("blind", np.arange(1000) < 499)
    lines = verdict(answered("the adapter", right), [], {"blind": blind})
    assert "Without its media it answers as well: what it says does not come from what it senses." in lines


def test_a_number_without_company_proves_nothing():
    lines = verdict(mostly("the adapter", 0.9))
    assert lines == [
        "The adapter reaches 90.0 % exact match (86.7 to 92.6) on 400 rows, but no baseline and no blind "
        "control was run beside it, so the number proves nothing yet."
    ]
    half = verdict(mostly("the adapter", 0.9), [mostly("majority class", 0.3)])
    assert "beats every baseline, but no blind control was run" in half[0]


def test_shuffled_and_oracle_are_put_in_words():
    controls = {"shuffled": mostly("shuffled", 0.4, seed=1), "oracle": mostly("oracle", 0.98, seed=2)}
    lines = verdict(mostly("the adapter", 0.7), [], controls)
    assert any(line.endswith("more: it matters which input it gets.") for line in lines)
    assert any("(oracle) 98.0 %: 28.0 points (" in line and "lost on the way in" in line for line in lines)
    same = verdict(mostly("the adapter", 0.7), [], {"shuffled": mostly("shuffled", 0.7, seed=1)})
    assert any(line.endswith("it hardly matters which input it gets.") for line in same)


def test_few_rows_are_said_to_be_few():
    lines = verdict(mostly("the adapter", 0.8, n=30), [mostly("majority class", 0.5, n=30, seed=1)])
    assert lines[-1].startswith("30 rows are few: differences of less than about ")


@pytest.mark.parametrize(
    ("n", "said"),
    [
        (48, "48 rows are few: differences of less than about 12 points cannot be told from chance here."),
        (5, "5 rows are few: no difference can be told from chance here."),
        (1, "1 row is few: no difference can be told from chance here."),
    ],
)
def test_rows_without_any_difference_do_not_tell_the_smallest_one(n, said):
    """The interval of rows that are all equal is a point, and the test still needs six that differ."""
    same = answered("majority class", [True] * n)
    lines = verdict(answered("the adapter", [True] * n), [same])
    assert "against 100.0 % of majority class, no difference in any row; 95 %" in lines[0]
    assert lines[1] == "Against majority class (100.0 %): no difference in any row."
    assert lines[-1] == said


@pytest.mark.parametrize(
    ("own", "told", "said"),
    [
        ([False] * 8, [False] * 8, "0.0 %: the core cannot answer this even when told in words, so what the"),
        ([True] * 2 + [False] * 6, [True] * 3 + [False] * 5, "37.5 %: the core mostly fails at this even"),
        (
            [True] * 5 + [False] * 3,
            [True] * 8,
            "8 rows are too few to tell whether the sense loses anything.",
        ),
        ([True] * 47 + [False], [True] * 48, "100.0 %, 2.1 points (0.0 to "),
        ([True] * 8, [True] * 8, "100.0 %: the sense loses nothing that could be told from chance."),
    ],
)
def test_an_oracle_that_fails_says_nothing_of_the_sense(own, told, said):
    lines = verdict(answered("the adapter", own), [], {"oracle": answered("oracle", told)})
    assert any(said in line for line in lines), lines


def test_other_rows_are_not_compared():
    with pytest.raises(UserError, match=r"not evaluated on the same rows"):
        verdict(mostly("the adapter", 0.5), [answered("other", [True] * 400, wanted="xy")])
