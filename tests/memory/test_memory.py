"""What the shot memory promises: near shots answer, far ones are silent, whatever the answer or number."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from mmagent.errors import UserError
from mmagent.memory import FEW, ODDS, MemorySettings, ShotMemory, Vote
from mmagent.question_match import question_match

ALPHABET = "\n abcdefghijklmnopqrstuvwxyz#"
END, EOS = 0, len(ALPHABET) - 1
SETTINGS = MemorySettings(beta=20.0, slope=20.0, threshold=0.6, means=False)
WHAT = "What is this?"


class Letters:
    """A codec with one token per letter; a newline or the end of text ends an answer."""

    end_ids = (END, EOS)

    def encode(self, answer: str) -> list[int]:
        return [ALPHABET.index(letter) for letter in f" {answer}"]


def uniform() -> torch.Tensor:
    return torch.full((len(ALPHABET),), 1.0 / len(ALPHABET))


def unit(*values: float) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.tensor(values, dtype=torch.float32), dim=0)


def memory(
    features: Sequence[torch.Tensor], answers: Sequence[str], questions: Sequence[str] | None = None
) -> ShotMemory:
    asked = questions or [WHAT] * len(answers)
    return ShotMemory.build(torch.stack(list(features)), asked, answers, Letters(), SETTINGS)


def greedy(vote: Vote, core: torch.Tensor, limit: int = 40) -> str:
    """Decode with a core that always says the same distribution."""
    ids: list[int] = []
    while len(ids) < limit:
        token = int(vote.leading(ids, core, vote(ids, core)).argmax())
        if token in Letters.end_ids:
            break
        ids.append(token)
    return "".join(ALPHABET[at] for at in ids).strip()


def test_which_of_the_shots_answers_it_is_the_votes_decide_and_whether_it_is_one_the_core() -> None:
    """A core that is sure of the wrong shot gives way; one that is sure of another answer does not."""
    shots = memory([unit(1.0, 0.0), unit(0.0, 1.0)], ["dax", "wug"])
    query = unit(0.56, -0.828)  # near enough to be heard, not near enough to outvote the core
    vote = shots.mixer(query, WHAT)
    assert 0.05 < vote.weight < 0.4
    sure = torch.full((len(ALPHABET),), 0.001)
    start = [ALPHABET.index(" ")]
    misled, elsewhere = sure.clone(), sure.clone()
    misled[ALPHABET.index("w")] = elsewhere[ALPHABET.index("k")] = 1.0 - 0.001 * (len(ALPHABET) - 1)
    assert int(vote(start, misled).argmax()) == ALPHABET.index("d")
    assert int(vote(start, elsewhere).argmax()) == ALPHABET.index("k")
    assert float(vote(start, misled).sum()) == pytest.approx(1.0)
    # a shot of another question decides nothing
    assert shots.mixer(query, "How many wheels does it have?").weight == 0.0


def test_of_few_shots_the_mean_votes_too() -> None:
    """Two shots on either side of the query, and one of another answer that is a little nearer than each."""
    keys = [unit(1.0, 0.8, 0.0), unit(1.0, -0.8, 0.0), unit(1.0, 0.0, 0.7)]
    answers, query = ["dax", "dax", "wug"], unit(1.0, 0.0, 0.0)
    both = replace(SETTINGS, means=True)
    shots = ShotMemory.build(torch.stack(keys), [WHAT] * 3, answers, Letters(), both)
    alone = ShotMemory.build(torch.stack(keys), [WHAT] * 3, answers, Letters(), SETTINGS)
    start = [ALPHABET.index(" ")]
    found = {name: one.mixer(query, WHAT)(start, uniform()) for name, one in (("means", shots), ("", alone))}
    dax, wug = ALPHABET.index("d"), ALPHABET.index("w")
    assert found[""][wug] > found[""][dax]
    assert found["means"][dax] > found["means"][wug]
    near = float(keys[2] @ query)
    share = 2 / (2 + FEW)
    each = math.exp(-20 * (1 - float(keys[0] @ query)))
    vote = [share * each + (1.0 - share), math.exp(-20 * (1 - near))]
    assert float(found["means"][dax] / found["means"][wug]) == pytest.approx(vote[0] / vote[1], rel=1e-4)
    told = shots.explain(query, WHAT)
    assert sum(one.weight for one in told) == pytest.approx(1.0, abs=0.01)


def test_the_mixture_is_the_formula_by_hand() -> None:
    shots = memory([unit(1.0, 0.0), unit(0.6, 0.8), unit(0.0, 1.0)], ["dax", "dax", "wug"])
    vote = shots.mixer(unit(0.8, -0.6), WHAT)
    mixed = vote([ALPHABET.index(" ")], uniform())
    votes = {s: torch.exp(torch.tensor(-20.0 * (1 - s))) for s in (0.8, 0.0, -0.6)}
    dax, wug = (votes[0.8] + votes[0.0]) / 2, votes[-0.6]
    weight = torch.sigmoid(torch.tensor(20.0 * (0.8 - 0.6)))
    expected = uniform() * (1 - weight)
    answers = [ALPHABET.index("d"), ALPHABET.index("w")]
    theirs = expected[answers].sum()  # what the core gives to answers of shots is shared among them
    expected[answers] = (theirs + weight) * torch.stack([dax, wug]) / (dax + wug)
    torch.testing.assert_close(mixed, expected)
    assert vote.weight == pytest.approx(float(weight))


@pytest.mark.parametrize("answer", ["dax", "a small blue wug on the left", "daxa"])
def test_answers_of_several_tokens_come_back_exactly(answer: str) -> None:
    shots = memory([unit(1, 0, 0), unit(0, 1, 0), unit(0, 0, 1)], [answer, "a small red cup", "dax"])
    assert greedy(shots.mixer(unit(1.0, 0.05, 0.05), WHAT), uniform()) == answer


def test_every_mixture_is_a_distribution() -> None:
    shots = memory([unit(1, 0), unit(0, 1)], ["dax", "da"])
    vote = shots.mixer(unit(0.8, 0.6), WHAT)
    for begun in ([], [1], Letters().encode("da"), Letters().encode("dax")):
        assert float(vote(begun, uniform()).sum()) == pytest.approx(1.0, abs=1e-6)


def test_far_shots_leave_the_core_as_it_is() -> None:
    shots = memory([unit(1, 0, 0), unit(0, 1, 0)], ["dax", "wug"])
    vote = shots.mixer(unit(0.1, 0.1, 1.0), WHAT)
    core = torch.rand(len(ALPHABET)).softmax(0)
    assert vote.weight == 0.0
    assert torch.equal(vote([], core), core)
    assert vote.explain() == []


def test_shots_that_the_core_has_read_share_its_word_for_them_at_any_distance() -> None:
    shots = memory([unit(1, 0, 0), unit(0, 1, 0)], ["dax", "wug"])
    far = unit(0.2, 0.1, 1.0)
    start = [ALPHABET.index(" ")]
    d, w, k = (ALPHABET.index(letter) for letter in "dwk")
    core = torch.full((len(ALPHABET),), 0.0)
    core[d], core[w], core[k] = 0.1, 0.4, 0.5
    vote = shots.mixer(far, WHAT, heard=True)
    assert vote.weight == 0.0
    mixed = vote(start, core)
    dax, wug = math.exp(20 * float(far[0])), math.exp(20 * float(far[1]))
    theirs = ODDS * 0.5 / (ODDS * 0.5 + 0.5)
    assert float(mixed[d]) == pytest.approx(theirs * dax / (dax + wug), rel=1e-4)
    assert float(mixed[k]) == pytest.approx(1.0 - theirs, rel=1e-4)
    assert float(mixed.sum()) == pytest.approx(1.0, abs=1e-6)
    # of another question the shots say nothing, and shots that the core has not read are silent
    assert torch.equal(shots.mixer(far, "How many wheels does it have?", heard=True)(start, core), core)
    assert torch.equal(shots.mixer(far, WHAT)(start, core), core)


def test_greedy_decoding_finds_the_answer_with_most_votes_where_others_begin_alike() -> None:
    keys, query = [unit(1, 0, 0), unit(1, 0.3, 0), unit(1, 0, 0.3)], unit(1, 0.05, 0.05)
    vote = memory(keys, ["wug", "daxa", "dabo"]).mixer(query, WHAT)
    start = [ALPHABET.index(" ")]
    mixed = vote(start, uniform())
    d, w = ALPHABET.index("d"), ALPHABET.index("w")
    assert mixed[d] > mixed[w]  # two answers together, each of them less likely
    assert vote.leading(start, uniform(), mixed)[d] < vote.leading(start, uniform(), mixed)[w]
    assert greedy(vote, uniform()) == "wug"
    begun = [*start, w]
    after = vote(begun, uniform())
    assert vote.leading(begun, uniform(), after) is after  # no two answers go on alike


def test_an_answer_that_was_given_to_two_questions_leads_with_the_votes_of_both() -> None:
    keys = torch.stack([unit(1, 0, 0), unit(1, 0.3, 0), unit(1, 0.3, 0), unit(0, 0, 1)])
    asked, answers = [WHAT, WHAT, None, WHAT], ["wug", "daxa", "daxa", "dabo"]
    shots = ShotMemory.build(keys, asked, answers, Letters(), SETTINGS)
    assert greedy(shots.mixer(unit(1, 0.05, 0.05), WHAT), uniform()) == "daxa"


def test_an_answer_that_no_shot_gave_is_left_to_the_core() -> None:
    vote = memory([unit(1, 0)], ["dax"]).mixer(unit(1, 0), WHAT)
    assert torch.equal(vote(Letters().encode("do"), uniform()), uniform())


def test_shots_of_another_question_do_not_vote() -> None:
    questions = [WHAT, "What colour is this?"]
    shots = memory([unit(1, 0.01), unit(1, 0)], ["dax", "red"], questions)
    assert greedy(shots.mixer(unit(1, 0), "what is this"), uniform()) == "dax"
    assert greedy(shots.mixer(unit(1, 0), "What color is it?"), uniform()) == "red"
    assert shots.mixer(unit(1, 0), "Where was this found?").weight == 0.0


def test_an_answer_with_many_shots_has_no_louder_voice() -> None:
    many = [unit(0.8, 0.6)] * 100
    shots = memory([*many, unit(0.95, -0.31)], ["wug"] * 100 + ["dax"])
    vote = shots.mixer(unit(1, 0), WHAT)
    assert greedy(vote, uniform()) == "dax"
    assert vote.explain(1)[0].answer == "dax"


def test_the_end_is_spoken_as_the_core_would_end() -> None:
    vote = memory([unit(1, 0)], ["dax"]).mixer(unit(1, 0), WHAT)
    core = uniform().clone()
    core[END], core[EOS] = 0.0, 2.0 / len(ALPHABET)
    assert int(vote(Letters().encode("dax"), core).argmax()) == EOS


def test_the_account_names_who_spoke_and_how_loudly() -> None:
    features = torch.stack([unit(1, 0), unit(0.9, 0.44), unit(0, 1)])
    shots = ShotMemory.build(
        features, [WHAT] * 3, ["dax", "wug", "cup"], Letters(), SETTINGS, sources=["a.png", "b.png", "c.png"]
    )
    spoke = shots.explain(unit(1, 0), WHAT)
    assert [(vote.answer, vote.source) for vote in spoke] == [("dax", "a.png"), ("wug", "b.png")]
    assert spoke[0].weight > spoke[1].weight
    assert sum(vote.weight for vote in spoke) == pytest.approx(1.0, abs=0.01)


def test_the_bundles_mean_and_projection_shape_the_keys() -> None:
    settings = MemorySettings(mean=torch.tensor([5.0, 5.0]), projection=torch.tensor([[0.0], [2.0]]))
    keys = settings.keys(torch.tensor([[9.0, 6.0], [0.0, 3.0]]))
    torch.testing.assert_close(keys, torch.tensor([[1.0], [-1.0]]))


def test_a_setting_that_does_not_exist_is_named() -> None:
    with pytest.raises(UserError, match=r"no setting 'bta'.*Did you mean 'beta'"):
        MemorySettings.from_bundle({"bta": 3.0})
    with pytest.raises(UserError, match="at least one shot"):
        ShotMemory.build(torch.zeros(0, 3), [], [], Letters())


@pytest.mark.parametrize("seed", range(5))
def test_estimated_settings_trust_kin_and_ignore_strangers(seed: int) -> None:
    """Five classes in one corner of the space; strangers point anywhere else."""
    rng = torch.Generator().manual_seed(seed)
    centres = torch.randn(5, 64, generator=rng)
    labels = torch.arange(25) % 5
    shots = centres[labels] + 0.5 * torch.randn(25, 64, generator=rng)
    answers = [f"class {'abcde'[label]}" for label in labels.tolist()]
    built = ShotMemory.build(shots, [WHAT] * 25, answers, Letters())
    for label, centre in enumerate(centres):
        kin = centre + 0.5 * torch.randn(64, generator=rng)
        assert greedy(built.mixer(kin, WHAT), uniform()) == f"class {'abcde'[label]}"
        stranger = torch.randn(64, generator=rng)
        assert built.mixer(stranger, WHAT).weight == 0.0


def test_the_order_of_the_shots_does_not_matter() -> None:
    rng = torch.Generator().manual_seed(0)
    features, query = torch.randn(30, 8, generator=rng), torch.randn(8, generator=rng)
    answers = ["abc"[at % 3] * (1 + at % 4) for at in range(30)]
    order = torch.randperm(30, generator=rng).tolist()
    settings = MemorySettings(beta=20.0, slope=20.0, threshold=0.2)
    one = ShotMemory.build(features, [WHAT] * 30, answers, Letters(), settings).mixer(query, WHAT)
    other = ShotMemory.build(
        features[order], [WHAT] * 30, [answers[at] for at in order], Letters(), settings
    ).mixer(query, WHAT)
    assert one.weight > 0.1
    torch.testing.assert_close(one([1], uniform()), other([1], uniform()))


def test_a_thousand_shots_are_fast() -> None:
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(1000, 512, generator=rng)
    answers = ["".join("abcdefghij"[int(digit)] for digit in f"{at:04d}") for at in range(1000)]
    start = time.perf_counter()
    shots = ShotMemory.build(features, [f"{WHAT} {at % 7}" for at in range(1000)], answers, Letters())
    built = time.perf_counter()
    for at in range(20):
        assert greedy(shots.mixer(features[at], f"{WHAT} {at % 7}"), uniform()) == answers[at]
    assert built - start < 5.0
    assert (time.perf_counter() - built) / 20 < 0.25


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [
        ("What is this?", "what is this", 1.0, 1.0),
        ("What's this?", "What is it?", 1.0, 1.0),
        ("What is this?", "What is shown in the picture?", 0.0, 1.0),
        ("What color is the cup?", "what colour is the cup", 1.0, 1.0),
        ("What is this?", "What colour is this?", 0.0, 0.0),
        ("Can it fly?", "Can it swim?", 0.0, 0.0),
        ("Is the red cup left of the blue box?", "Is the blue cup left of the red box?", 0.0, 0.0),
        ("", "What is this?", 0.0, 0.0),
        ("", "", 1.0, 1.0),
    ],
)
def test_which_questions_are_the_same(one: str, other: str, low: float, high: float) -> None:
    assert low <= question_match(one, other) <= high
    assert question_match(one, other) == question_match(other, one)
