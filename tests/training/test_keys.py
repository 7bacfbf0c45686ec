"""Keys on made-up features: the votes are those of the memory, whitening helps, tuning helps and repeats."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch

from mmagent.errors import UserError
from mmagent.memory import MemorySettings, ShotMemory
from mmagent.training.ballot import Ballot, mean_logs, shares
from mmagent.training.keys import BETAS, Keys, Material, best_space, nearest, tuned
from mmagent.training.loudness import SILENT, ladder, not_worse
from mmagent_adapters.memory import spaces, whitening

WORDS = ("frog", "cat", "truck", "yes", "no")
WHAT, ALIVE = "What is this?", "Is it alive?"


@dataclass(frozen=True)
class Row:
    """An example, as far as votes look at it."""

    row: int
    answer: str
    question: str | None = WHAT


class Letters:
    """A codec with one token per answer."""

    end_ids = (len(WORDS),)

    def encode(self, answer: str) -> list[int]:
        return [WORDS.index(answer)]


def features(n: int, seed: int, spread: float = 1.0, d: int = 24) -> torch.Tensor:
    """(n, d) of three kinds in turn, apart in weak directions beside strong ones that mean nothing."""
    rng = torch.Generator().manual_seed(seed)
    centres = torch.randn(3, d, generator=torch.Generator().manual_seed(99))
    centres[:, d // 2 :] = 0.0
    made = centres[torch.arange(n) % 3] + spread * torch.randn(n, d, generator=rng)
    return made * torch.linspace(0.5, 3.0, d) + 2.0


def examples(n: int, ask: bool = False) -> list[Row]:
    """Names of the kinds; with `ask` every other row says whether it is alive."""
    rows = [Row(at + 1, WORDS[at % 3]) for at in range(n)]
    if ask:
        rows = [replace(r, answer="no" if r.answer == "truck" else "yes", question=ALIVE)
                if at % 2 else r for at, r in enumerate(rows)]  # fmt: skip
    return rows


def material(n: int = 45, m: int = 30, spread: float = 1.0, ask: bool = False) -> Material:
    pooled, judged = features(n, 0, spread)[:, None], features(m, 1, spread)[:, None]
    return Material(examples(n, ask), examples(m, ask), pooled, judged)  # type: ignore[arg-type]


@pytest.mark.parametrize("power", [1.0, 6.0])
@pytest.mark.parametrize("ask", [False, True])
def test_the_votes_are_those_of_the_memory(power: float, ask: bool) -> None:
    made = material(20, 8, ask=ask)
    settings = MemorySettings(beta=6.0, slope=20.0, threshold=-5.0, power=power, means=False)
    shots, queries = settings.keys(made.pooled[:, 0]), settings.keys(made.judged[:, 0])
    ballot = Ballot.of(made.train, made.validation)
    share, right = shares(mean_logs(queries @ shots.T, ballot, 6.0), ballot, power)
    memory = ShotMemory.build(
        made.pooled[:, 0],
        [row.question for row in made.train],
        [row.answer for row in made.train],
        Letters(),
        settings,
    )
    for at, row in enumerate(made.validation):
        vote = memory.mixer(made.judged[at, 0], row.question)
        mixed = vote([], torch.zeros(len(WORDS) + 1))[: len(WORDS)]
        said = mixed / mixed.sum()
        assert float(share[at].exp()) == pytest.approx(float(said[WORDS.index(row.answer)]), abs=1e-4)
        assert bool(right[at]) == (WORDS[int(said.argmax())] == row.answer)


def test_no_shot_votes_on_itself() -> None:
    made = material(9, 3)
    keys = torch.nn.functional.normalize(made.pooled[:, 0], dim=-1)
    alone = Ballot.of(made.train)
    for at in range(9):
        others = [other for other in range(9) if other != at]
        held = Ballot.of([made.train[o] for o in others], [made.train[at]])
        one = shares(mean_logs(keys[at : at + 1] @ keys[others].T, held, 8.0), held, 3.0)
        every = shares(mean_logs(keys @ keys.T, alone, 8.0), alone, 3.0)[:, at]
        torch.testing.assert_close(one[:, 0], every, atol=1e-5, rtol=1e-4)


def test_whitening_makes_all_directions_alike_and_leaves_unknown_ones() -> None:
    rng = torch.Generator().manual_seed(0)
    rows = torch.randn(4000, 6, generator=rng) * torch.tensor([9.0, 3.0, 1.0, 1.0, 0.5, 0.5]) + 7.0
    mean, projection = whitening(rows, 1e-6)
    assert projection is not None
    white = (rows - mean) @ projection
    spread = white.T @ white / len(white)
    torch.testing.assert_close(spread / spread.trace() * 6, torch.eye(6), atol=1e-3, rtol=1e-3)
    few, projection = whitening(rows[:3], 0.3)  # by the smaller side
    covariance = (rows[:3] - few).double().T @ (rows[:3] - few).double() / 3
    shrunk = 0.7 * covariance + 0.3 * covariance.trace() / 6 * torch.eye(6).double()
    values, vectors = torch.linalg.eigh(shrunk / (0.3 * covariance.trace() / 6))
    assert projection is not None
    torch.testing.assert_close(
        projection.double(), (vectors * values.rsqrt()) @ vectors.T, atol=1e-4, rtol=1e-4
    )
    assert whitening(torch.ones(5, 6))[1] is None
    assert list(spaces(torch.ones(5, 6))) == ["features as they come"]


def test_the_space_that_answers_the_validation_rows_is_taken() -> None:
    made = material(spread=0.6)
    found, tried = best_space(made, spaces(made.pooled[:, 0]))
    plain, _ = best_space(made, {"plain": MemorySettings()})
    assert found.score >= plain.score - 0.05
    assert "whitened" in found.space
    assert tried > 50
    assert found.shots.shape == (45, 1, 24)
    torch.testing.assert_close(found.shots.norm(dim=-1), torch.ones(45, 1))


def test_of_answers_that_are_all_different_the_nearest_speaks() -> None:
    made = material(12, 6)
    own = [replace(row, answer=f"word {row.row}") for row in made.train]  # type: ignore[type-var]
    found, _ = best_space(replace(made, train=own), spaces(made.pooled[:, 0]))
    assert found.settings.beta == max(BETAS)


def test_tuned_keys_are_better_on_new_rows_and_the_same_for_the_same_seed() -> None:
    made = material(90, 60, spread=1.3)
    start, _ = best_space(made, {"plain": MemorySettings()})
    one, again = (tuned(made, start, epochs=30, seed=3) for _ in range(2))
    assert torch.equal(one.keys.shots, again.keys.shots)
    assert one.history[1:] == again.history[1:]
    assert one.history[-1][0] < one.history[1][0]
    assert one.best > 0
    test = Ballot.of(made.train, examples(300))  # type: ignore[arg-type]
    queries = start.settings.keys(features(300, 7, 1.3))

    def right(keys: Keys) -> float:
        logs = mean_logs(queries @ keys.shots[:, 0].T, test, keys.settings.beta or 0.0)
        return float(shares(logs, test, keys.settings.power)[1].mean())

    assert right(one.keys) > right(start) + 0.03
    torch.testing.assert_close(one.keys.shots.norm(dim=-1), torch.ones(90, 1))


@pytest.mark.parametrize("seed", range(3))
def test_the_best_epoch_is_kept_the_untuned_one_included(seed: int) -> None:
    made = material(40, 20, spread=2.5)
    wrong = [replace(row, answer=WORDS[(row.row * 7 + seed) % 3]) for row in made.train]  # type: ignore[type-var]
    made = replace(made, train=wrong)
    start, _ = best_space(made, {"plain": MemorySettings()})
    found = tuned(made, start, epochs=12, seed=seed)
    merits = [(round(score, 6), likelihood) for _, score, likelihood in found.history]
    assert merits[found.best] == max(merits)
    assert found.keys.score == pytest.approx(merits[found.best][0], abs=1e-6)
    assert torch.equal(found.keys.shots, start.shots) == (found.best == 0)


def test_keys_need_fellows_to_be_tuned() -> None:
    made = material(12, 6)
    start, _ = best_space(made, spaces(made.pooled[:, 0]))
    lone = replace(made, train=[Row(at, f"word {at}") for at in range(12)])  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"no answer is given twice.*--tune-keys"):
        tuned(lone, start, epochs=1, seed=0)


def test_a_ladder_goes_from_silent_to_loud() -> None:
    made = material()
    keys, _ = best_space(made, spaces(made.pooled[:, 0]))
    near = nearest(keys, made)
    steps = ladder(keys.settings, near)
    assert steps[0].threshold == SILENT
    heard = [torch.sigmoid(s.slope * (near - s.threshold)) for s in steps]  # type: ignore[operator]
    assert float(heard[0].max()) < 0.01
    assert any(float(one.min()) > 0.99 for one in heard)
    middles = sorted(float(one.median()) for one in heard)
    assert len({round(middle, 2) for middle in middles}) >= 8
    assert [float(one.mean()) for one in heard] == sorted(float(one.mean()) for one in heard)
    assert near.shape == (30,)


def test_the_loudest_is_taken_that_is_not_worse() -> None:
    right = torch.tensor([[0] * 6 + [1] * 14, [1] * 18 + [0] * 2, [1] * 17 + [0] * 3, [1] * 9 + [0] * 11])
    assert not_worse(right.bool().T) == [1, 2]
    assert not_worse(torch.ones(5, 3, dtype=torch.bool)) == [0, 1, 2]
