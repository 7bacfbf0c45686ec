"""What scikit-learn makes of the candidates' features: each is judged alone, and the likeliest answers.

The asker weighs the candidates of a question against each other, and operations against the question's words;
gradient boosting and logistic regression see one candidate at a time, with the commonest words as columns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmagent_table.asker import ANSWER_KINDS, Candidates
from mmagent_table.programs import OPERATIONS, Program

__all__ = ["Judges"]

MOST = 40  # candidates of one question that are learned from: right ones, and others drawn
WORDS = 64  # the commonest words of questions, as columns
Row = tuple[Candidates, "np.ndarray[Any, Any]"]


class Judges:
    """Classifiers of candidates, fitted to the same questions as the asker."""

    def __init__(self, rows: Sequence[Row], seed: int) -> None:
        """rows: candidates of each question, and which of them give its answer."""
        from sklearn.ensemble import HistGradientBoostingClassifier
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        counts = Counter(word for found, _ in rows for word in found.words)
        self._words = {word: at for at, (word, _) in enumerate(counts.most_common(WORDS))}
        rng = np.random.default_rng(seed)
        parts, labels = [], []
        for found, right in rows:
            good, others = np.flatnonzero(right)[: MOST // 2], np.flatnonzero(~right)
            picked = np.concatenate([good, rng.permutation(others)[: MOST - len(good)]])
            parts.append(self._columns(found)[picked])
            labels.append(right[picked])
        x, y = np.concatenate(parts), np.concatenate(labels)
        self.models: dict[str, Any] = {
            "gradient boosting": HistGradientBoostingClassifier(max_iter=200, random_state=seed),
            "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)),
        }
        for model in self.models.values():
            model.fit(x, y)

    def best(self, name: str, found: Candidates) -> Program:
        """The program that the model of a name holds to be right."""
        return found.programs[int(self.models[name].predict_proba(self._columns(found))[:, 1].argmax())]

    def _columns(self, found: Candidates) -> np.ndarray[Any, Any]:
        """(C, columns) features, operation, type of the answer, and words of the question."""
        n = len(found.programs)
        heard = np.zeros((n, WORDS), dtype=np.float32)
        heard[:, [self._words[word] for word in found.words if word in self._words]] = 1.0
        kinds = np.eye(len(ANSWER_KINDS), dtype=np.float32)[found.kind]
        operations = np.eye(len(OPERATIONS), dtype=np.float32)[found.operation]
        return np.concatenate([found.features, operations, kinds, heard], axis=1)
