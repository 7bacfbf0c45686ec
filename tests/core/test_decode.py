"""Generation: stop strings, sampling, mixers, rows that end early, bad options."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from mmagent import UserError
from mmagent.core import Core, PrefixCache, Soft

PROMPTS = ["The dog can run", "Question: what is this?\nAnswer:", "a red cube on a blue table. " * 3]


def write(ids: Sequence[int]) -> Callable[[Sequence[int], Tensor], Tensor]:
    """A mixer that dictates an answer: nearly all probability goes to the next of these ids."""

    def mixer(generated: Sequence[int], probs: Tensor) -> Tensor:
        if len(generated) >= len(ids):
            return probs
        dictated = torch.zeros_like(probs)
        dictated[ids[len(generated)]] = 0.99
        return 0.01 * probs + dictated

    return mixer


def test_an_answer_ends_before_a_stop_string_of_several_tokens(llama: Core) -> None:
    ids = llama.tokens.encode("dax END more")
    before = llama.tokens.encode("dax")
    shown: list[str] = []
    answer = llama.generate(
        ["a"],
        max_tokens=20,
        stop=[" END", "\n"],
        mixers=[write(ids)],
        on_text=lambda row, text: shown.append(text),
    )[0]
    assert (answer.text, answer.finished) == ("dax", "stop")
    assert "".join(shown) == "dax"
    assert answer.token_ids == ids[: len(before) + 1]
    assert len(answer.logprobs) == len(answer.token_ids)
    assert all(-0.05 < logprob <= 0 for logprob in answer.logprobs)


def test_an_answer_ends_at_end_of_text_which_is_counted_but_not_shown(llama: Core) -> None:
    end = llama.tokenizer.eos_token_id
    answer = llama.generate(["a"], mixers=[write([*llama.tokens.encode("dax"), end])])[0]
    assert (answer.text, answer.finished) == ("dax", "eos")
    assert answer.token_ids[-1] == end
    assert len(answer.logprobs) == len(answer.token_ids)


def test_rows_that_end_early_leave_the_others_as_they_are(core: Core) -> None:
    end = next(iter(core.eos))
    lengths = [1, 12, 3, 5, 2, 9, 4, 12]
    mixers = [write([7] * (n - 1) + [end]) if n < 12 else None for n in lengths]
    prompts = [PROMPTS[i % 3] for i in range(len(lengths))]
    answers = core.generate(prompts, max_tokens=11, mixers=mixers)
    for prompt, mixer, n, answer in zip(prompts, mixers, lengths, answers, strict=True):
        alone = core.generate([prompt], max_tokens=11, mixers=[mixer])[0]
        assert (answer.token_ids, answer.text, answer.finished) == (
            alone.token_ids,
            alone.text,
            alone.finished,
        )
        assert answer.logprobs == pytest.approx(alone.logprobs, abs=2e-5)
        if mixer is not None:
            assert (len(answer.token_ids), answer.finished) == (n, "eos")


def test_mixers_see_the_answer_so_far_and_the_probabilities(llama: Core) -> None:
    seen: list[tuple[list[int], float]] = []

    def spy(generated: Sequence[int], probs: Tensor) -> Tensor:
        seen.append((list(generated), float(probs.sum())))
        return probs

    plain = llama.generate(["The dog"], max_tokens=4)[0]
    mixed = llama.generate(["The dog"], max_tokens=4, mixers=[spy])[0]
    assert mixed.token_ids == plain.token_ids
    assert mixed.logprobs == pytest.approx(plain.logprobs, abs=1e-5)
    assert [ids for ids, _ in seen] == [plain.token_ids[:n] for n in range(4)]
    assert all(total == pytest.approx(1, abs=1e-4) for _, total in seen)


def test_sampling_is_repeatable_and_does_not_depend_on_the_batch(llama: Core) -> None:
    def sample(prompts: list[str], seed: int) -> list[tuple[int, ...]]:
        answers = llama.generate(prompts, max_tokens=12, temperature=1.0, top_p=0.9, seed=seed)
        return [tuple(answer.token_ids) for answer in answers]

    assert sample(PROMPTS, 3) == [sample([prompt], 3)[0] for prompt in PROMPTS]
    assert len({sample(PROMPTS[:1], seed)[0] for seed in range(5)}) > 1


def test_samples_follow_the_distribution_inside_the_nucleus(llama: Core) -> None:
    probs = torch.zeros(llama.vocab_size)
    probs[[10, 20, 30]] = torch.tensor([0.5, 0.3, 0.2])
    counts = {10: 0, 20: 0, 30: 0}
    for seed in range(300):
        answer = llama.generate(
            ["a"], max_tokens=1, temperature=1, top_p=0.75, seed=seed, mixers=[lambda g, p: probs]
        )
        counts[answer[0].token_ids[0]] += 1
    assert counts[30] == 0
    assert counts[10] / 300 == pytest.approx(0.625, abs=0.09)


def test_a_low_temperature_is_nearly_greedy(llama: Core) -> None:
    greedy = llama.generate(PROMPTS, max_tokens=8)
    cold = llama.generate(PROMPTS, max_tokens=8, temperature=1e-3)
    assert [a.token_ids for a in cold] == [a.token_ids for a in greedy]
    for one, other in zip(cold, greedy, strict=True):  # log-probabilities are those before the temperature
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)


@pytest.mark.parametrize("temperature", [5e-324, 1e-320, 1e-40, 1e-30])
def test_hardly_any_temperature_is_none(llama: Core, temperature: float) -> None:
    cold = llama.generate(PROMPTS, max_tokens=8, temperature=temperature)
    assert cold == llama.generate(PROMPTS, max_tokens=8)


def test_logprobs_are_those_that_score_gives(llama: Core) -> None:
    answer = llama.generate(["The bird can"], max_tokens=6)[0]
    inputs = llama.assemble(["The bird can"])
    ids = torch.tensor([[*inputs.keys[0], *answer.token_ids]])
    with torch.no_grad():
        steps = llama.model(input_ids=ids).logits[0, inputs.lengths[0] - 1 : -1].log_softmax(-1)
    expected = [float(step[i]) for step, i in zip(steps, answer.token_ids, strict=True)]
    assert answer.logprobs == pytest.approx(expected, abs=1e-5)


def test_a_choice_is_mixed_at_every_position(llama: Core) -> None:
    ids = llama.tokens.encode(" blicket")
    assert len(ids) > 1
    scores = llama.score(["Answer:"], [["blicket", "cup"]], mixers=[write(ids)])[0]
    assert math.exp(scores[0].logprob) > 0.99 ** len(ids) - 1e-6
    plain = llama.score(["Answer:"], [["blicket", "cup"]])[0]
    same = llama.score(["Answer:"], [["blicket", "cup"]], mixers=[lambda generated, probs: probs])[0]
    assert [s.logprob for s in same] == pytest.approx([s.logprob for s in plain], abs=1e-4)


def test_nothing_to_do_is_done(llama: Core) -> None:
    assert llama.generate([]) == []
    assert llama.score([], []) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"temperature": math.inf}, "temperature inf is no finite number"),
        ({"seed": 10**23, "temperature": 1.0}, "seed 10{23} has more than 63 bits"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
        ({"max_tokens": 300}, "reads 256 at most"),
    ],
)
def test_a_bad_option_is_told(llama: Core, options: dict[str, float], words: str) -> None:
    with pytest.raises(UserError, match=words):
        llama.generate(["a"], **options)  # type: ignore[arg-type]


def test_a_prompt_that_is_too_long_is_told_by_its_place(llama: Core) -> None:
    with pytest.raises(UserError, match=r"prompt 2 of 2 has \d+ tokens"):
        llama.generate(["a", "dog " * 300], cache=PrefixCache())
    with pytest.raises(UserError, match="256 at most"):
        llama.assemble(["dog " * 300])
    with pytest.raises(UserError, match="256 at most"):
        llama.score(["a"], [["dog " * 300]])


def test_a_prompt_must_say_something(load: Callable[[str], Core]) -> None:
    core = load("gpt2")  # its tokenizer puts nothing before a text
    with pytest.raises(UserError, match="empty"):
        core.generate([""])
    with pytest.raises(UserError, match="not empty"):
        core.loss(["a "], [""])


def test_a_prefix_of_another_width_is_told(llama: Core) -> None:
    with pytest.raises(UserError, match="another core"):
        llama.assemble([[Soft.of(torch.zeros(2, llama.d_core + 1)), "a"]])


def test_lists_of_different_lengths_are_told(llama: Core) -> None:
    with pytest.raises(UserError, match="1 prompts but 2"):
        llama.score(["a"], [["b"], ["c"]])
    with pytest.raises(UserError, match="1 prompts but 0"):
        llama.loss(["a"], [])
