"""Fit what asks a table: weights of a conditional logistic regression over programs, from answers alone.

    python examples/senses/train_table.py --data DATA --out ENCODER

DATA is the folder of the data sets (`wtq` in it). Fitted are WikiTableQuestions' training questions and
questions made by templates of the training tables; the dev tables and the wordings kept for testing are not
looked at. A tenth of the training tables is held out to choose how strongly the weights are pulled to 0.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from table_questions import made_of
from torch import Tensor
from wtq import Wtq

from mmagent_table.asker import ANSWER_KINDS, N_FEATURES, Asker, Candidates, candidates
from mmagent_table.encoders import write_asker
from mmagent_table.programs import OPERATIONS
from mmagent_table.reader import TableReader
from mmagent_table.words import same_answer

MOST = 150  # candidates of one question that are fitted: all right ones and some of the others
WORDS = 500  # words and pairs of words that have weights
ROUNDS = 60
PULLS = (1.5, 5.0)


@dataclass(frozen=True, eq=False)
class Fitted:
    """Questions as tensors: (N, C, F), (N, C), (N, C), (N, C) bool, (N, C) bool, (N, V)."""

    features: Tensor
    operation: Tensor
    kind: Tensor
    right: Tensor
    there: Tensor
    words: Tensor

    def __getitem__(self, rows: Tensor | slice) -> Fitted:
        return Fitted(*(part[rows] for part in vars(self).values()))


def main() -> None:
    """Fit, choose the pull on held out tables, fit again on all, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=int, default=6000, help="of WikiTableQuestions' training questions")
    given = parser.parse_args()
    rows = questions(Wtq(given.data), given.seed, given.most)
    found = [(table, one, right) for table, one, right in rows if right.any()]
    print(f"{len(rows):,} questions, {len(found):,} of which some program answers", flush=True)
    counts = Counter(word for _, one, _ in found for word in one.words)
    words = tuple(word for word, count in counts.most_common(WORDS) if count > 15)
    data = stacked([(one, right) for _, one, right in found], words, given.seed)
    held = torch.tensor([hash_of(table) % 10 == 0 for table, _, _ in found])
    scores = {}
    for pull in PULLS:
        weights = fitted(data[~held], pull)
        scores[pull] = accuracy(data[held], weights)
        print(f"pull {pull}: {100 * scores[pull]:.1f} % right of those on held out tables", flush=True)
    pull = max(scores, key=lambda one: scores[one])
    features, by_word, by_kind = (part.numpy() for part in fitted(data, pull))
    write_asker(given.out, Asker(features, by_word, by_kind, words))


def questions(data: Wtq, seed: int, most: int) -> list[tuple[str, Candidates, np.ndarray]]:
    """Table, candidates, and which of them give the answer, for WikiTableQuestions' and made questions."""
    reader, rng = TableReader(), random.Random(seed)
    by_table: dict[str, list[tuple[str, list[str]]]] = {}
    rows = data.questions("train")
    for row in rng.sample(rows, min(most, len(rows))):
        by_table.setdefault(row["table"], []).append((row["question"], row["answers"]))
    made = []
    for name, asked in by_table.items():
        table = reader.table(data.content(name))
        own = [(one.question, [one.answer]) for one in made_of(table, rng, kept=False)]
        for question, answer in [*asked, *own]:
            found = candidates(question, table.grid)
            right = np.array([same_answer(one.said, answer) for one in found.programs], dtype=bool)
            made.append((name, found, right))
    return made


def stacked(rows: Sequence[tuple[Candidates, np.ndarray]], words: Sequence[str], seed: int) -> Fitted:
    """All right candidates and as many others as fit, drawn."""
    rng = np.random.default_rng(seed)
    n = len(rows)
    place = {word: at for at, word in enumerate(words)}
    features = torch.zeros(n, MOST, N_FEATURES)
    operation, kind = (torch.zeros(n, MOST, dtype=torch.long) for _ in range(2))
    right, there = (torch.zeros(n, MOST, dtype=torch.bool) for _ in range(2))
    heard = torch.zeros(n, len(words))
    for at, (found, good) in enumerate(rows):
        chosen = np.flatnonzero(good)[: MOST // 2]
        others = np.flatnonzero(~good)
        others = rng.permutation(others)[: MOST - len(chosen)]
        picked = np.concatenate([chosen, others])
        k = len(picked)
        features[at, :k] = torch.from_numpy(found.features[picked])
        operation[at, :k] = torch.from_numpy(found.operation[picked])
        kind[at, :k] = torch.from_numpy(found.kind[picked])
        right[at, :k] = torch.from_numpy(good[picked])
        there[at, :k] = True
        heard[at, [place[word] for word in found.words if word in place]] = 1.0
    return Fitted(features, operation, kind, right, there, heard)


def scores_of(data: Fitted, weights: Sequence[Tensor]) -> Tensor:
    """(N, C) log-odds."""
    features, by_word, by_kind = weights
    by_operation = data.features @ features.T  # (N, C, operations)
    own = by_operation.gather(2, data.operation.unsqueeze(2)).squeeze(2)
    operation = (data.words @ by_word).gather(1, data.operation)
    kind = (data.words @ by_kind).gather(1, data.kind)
    return (own + operation + kind).masked_fill(~data.there, -1e9)


def fitted(data: Fitted, pull: float) -> tuple[Tensor, Tensor, Tensor]:
    """The weights that make the right candidates likeliest; pull: L2, per thousand questions."""
    v = data.words.shape[1]
    sizes = ((len(OPERATIONS), N_FEATURES), (v, len(OPERATIONS)), (v, len(ANSWER_KINDS)))
    weights = [torch.zeros(size, requires_grad=True) for size in sizes]
    optimiser = torch.optim.Adam(weights, lr=0.08)
    n = len(data.words)
    for step in range(ROUNDS):
        for group in optimiser.param_groups:
            group["lr"] = 0.08 * (1 - step / ROUNDS) + 0.002
        optimiser.zero_grad()
        total = 0.0
        for at in range(0, n, 500):
            part = data[slice(at, at + 500)]
            scores = scores_of(part, weights)
            good = scores.masked_fill(~part.right, -1e9)
            loss = (scores.logsumexp(1) - good.logsumexp(1)).sum() / n
            loss.backward()
            total += loss.item()
        (pull / 1000 * sum(one.pow(2).sum() for one in weights)).backward()
        optimiser.step()
    print(f"loss {total:.3f}", flush=True)
    return tuple(one.detach() for one in weights)  # type: ignore[return-value]


@torch.no_grad()
def accuracy(data: Fitted, weights: Sequence[Tensor]) -> float:
    """Share of questions whose likeliest candidate is right."""
    best = scores_of(data, weights).argmax(1)
    return float(data.right[torch.arange(len(best)), best].float().mean())


def hash_of(name: str) -> int:
    """A number of a table's name, the same in every run."""
    import zlib

    return zlib.crc32(name.encode())


if __name__ == "__main__":
    main()
