"""What an adapter's numbers are worth: metrics, intervals, baselines, controls, and a verdict in words.

    from mmagent.evaluation import evaluate, write_report

    evaluation = evaluate(Agent.load("my-bundle"), read_labelled("flowers/", modalities))
    write_report(evaluation, "report")

The parts serve on their own, too:

    from mmagent.evaluation import Result, judged, verdict

    rows = tuple(judged("What is this?", ["frog"], "frog", confidence=0.9, source="x.jpg") for ...)
    result = Result("the adapter", rows, labels=("frog", "newt"))
    result.scores().values["exact match"]      # value, low, high
    verdict(result, [majority(...).result(result)], {"blind": blind_result})

numpy is all it needs; scikit-learn is imported by the one baseline that uses it.
"""

from __future__ import annotations

from mmagent.evaluation.baselines import (
    Predictions,
    logistic_regression,
    majority,
    nearest_mean,
    per_question,
)
from mmagent.evaluation.calibration import ReliabilityPoint, brier, calibration_error, reliability
from mmagent.evaluation.controls import Example, blind, derangement, oracle, shuffled
from mmagent.evaluation.intervals import Difference, Interval, interval, over_seeds, paired, share, wilson
from mmagent.evaluation.metric import Metric, mean
from mmagent.evaluation.metrics import (
    ClassScore,
    Confusion,
    choice_right,
    confusion,
    exact_match,
    macro_f1,
    perplexity,
)
from mmagent.evaluation.page import write_report
from mmagent.evaluation.report import verdict
from mmagent.evaluation.results import Judge, Result, Row, Scores, judged
from mmagent.evaluation.run import Evaluation, Run, evaluate
from mmagent.evaluation.shot_votes import shot_votes
from mmagent.evaluation.vqa import vqa_accuracy, vqa_right

__all__ = [
    "ClassScore",
    "Confusion",
    "Difference",
    "Evaluation",
    "Example",
    "Interval",
    "Judge",
    "Metric",
    "Predictions",
    "ReliabilityPoint",
    "Result",
    "Row",
    "Run",
    "Scores",
    "blind",
    "brier",
    "calibration_error",
    "choice_right",
    "confusion",
    "derangement",
    "evaluate",
    "exact_match",
    "interval",
    "judged",
    "logistic_regression",
    "macro_f1",
    "majority",
    "mean",
    "nearest_mean",
    "oracle",
    "over_seeds",
    "paired",
    "per_question",
    "perplexity",
    "reliability",
    "share",
    "shot_votes",
    "shuffled",
    "verdict",
    "vqa_accuracy",
    "vqa_right",
    "wilson",
    "write_report",
]
