"""What must hold for a core of any family: the invariants that every use of it rests on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.testing import assert_close

from mmagent.core import Core, Generation, PrefixCache, Soft

TOLERANCE = 1e-5
LONG = "Picture: a red cube on a blue table. Question: what is this?\n"
TEXTS = [
    "The dog can run",
    LONG + "Answer:",
    "Question: does it swim?\nAnswer:",
    "a",
]
MakeSoft = Callable[..., Soft]


def logits_of(core: Core, prompts: list[object]) -> torch.Tensor:
    """Next-token logits (B, V) by one plain forward pass over the assembled batch."""
    inputs = core.assemble(prompts)  # type: ignore[arg-type]
    with torch.no_grad():
        out, _ = core.forward(
            embeds=inputs.embeds, mask=inputs.attention_mask, positions=inputs.position_ids, last=1
        )
    return out[:, -1]


def assert_same(one: Generation, other: Generation) -> None:
    assert one.token_ids == other.token_ids
    assert (one.text, one.finished, one.n_prompt) == (other.text, other.finished, other.n_prompt)
    assert_close(torch.tensor(one.logprobs), torch.tensor(other.logprobs), atol=TOLERANCE, rtol=TOLERANCE)


def mixed_prompts(core: Core, soft: MakeSoft) -> list[object]:
    """Prompts of different lengths, with and without soft tokens."""
    return [
        TEXTS[0],
        ["Picture: ", soft(core, 1), "\nQuestion: what is this?\nAnswer:"],
        LONG + LONG,
        ["Picture: ", soft(core, 2, 5), "\n", "Caption:"],
        [soft(core, 3), "This is"],
        [LONG, soft(core, 4)],
    ]


def test_embeddings_give_the_logits_of_token_ids(core: Core) -> None:
    for text in TEXTS:
        ids = core.tokenizer(text, return_tensors="pt")["input_ids"]
        inputs = core.assemble([text])
        assert inputs.keys[0] == ids[0].tolist()
        with torch.no_grad():
            by_ids = core.model(input_ids=ids).logits
            by_embeds, _ = core.forward(
                embeds=inputs.embeds, mask=inputs.attention_mask, positions=inputs.position_ids
            )
        assert_close(by_embeds, by_ids, atol=TOLERANCE, rtol=TOLERANCE)


def test_a_batch_gives_the_logits_of_single_prompts(core: Core, soft: MakeSoft) -> None:
    prompts = mixed_prompts(core, soft)
    batched = logits_of(core, prompts)
    for row, prompt in zip(batched, prompts, strict=True):
        assert_close(row, logits_of(core, [prompt])[0], atol=TOLERANCE, rtol=TOLERANCE)


def test_a_batched_answer_equals_the_single_answer(core: Core, soft: MakeSoft) -> None:
    prompts = mixed_prompts(core, soft)
    batched = core.generate(prompts, max_tokens=12, stop=["e"])
    for answer, prompt in zip(batched, prompts, strict=True):
        assert_same(answer, core.generate([prompt], max_tokens=12, stop=["e"])[0])


def test_greedy_answers_equal_those_of_transformers(core: Core) -> None:
    for text in TEXTS:
        encoded = core.tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            whole = core.model.generate(
                input_ids=encoded["input_ids"],
                attention_mask=encoded["attention_mask"],
                max_new_tokens=20,
                do_sample=False,
            )
        expected = whole[0, encoded["input_ids"].shape[1] :].tolist()
        answer = core.generate([text], max_tokens=20)[0]
        assert answer.token_ids == expected
        assert answer.text.strip() == core.tokens.decode(expected).strip()


def test_a_cached_prefix_changes_no_answer(core: Core, soft: MakeSoft) -> None:
    picture = soft(core, 1)
    prompts = [
        [LONG, picture, "\nAnswer:"],
        [LONG, picture, "\nAnswer:"],  # all but the last token is known
        [LONG, picture, "\nAnswer: a dax.\nQuestion: can it fly?\nAnswer:"],  # goes on
        [LONG, picture, "\nCaption:"],  # branches off
        [LONG],  # ends within
    ]
    cache = PrefixCache()
    for prompt in prompts:
        assert_same(
            core.generate([prompt], max_tokens=8, cache=cache)[0], core.generate([prompt], max_tokens=8)[0]
        )
    assert (cache.reused > 0) == core.forward.keeps_kv


def test_a_batch_with_cached_prefixes_changes_no_answer(core: Core, soft: MakeSoft) -> None:
    shots = "Question: what is this?\nAnswer: dax\n\n" * 3
    prompts = [
        [shots, "Picture: ", soft(core, seed, 1 + seed % 3), "\n" * (seed % 4 + 1), "Answer:"]
        for seed in range(8)
    ]
    single = [core.generate([prompt], max_tokens=6)[0] for prompt in prompts]
    cache = PrefixCache()
    for given in (None, cache, cache):
        for one, other in zip(core.generate(prompts, max_tokens=6, cache=given), single, strict=True):
            assert_same(one, other)
    uneven = [prompts[3], [shots], [shots, "Picture: ", soft(core, 99), "\nAnswer:"], "The bird"]
    for one, prompt in zip(core.generate(uneven, max_tokens=6, cache=cache), uneven, strict=True):
        assert_same(one, core.generate([prompt], max_tokens=6)[0])


def test_equal_ids_with_different_soft_content_give_different_answers(core: Core, soft: MakeSoft) -> None:
    cache = PrefixCache()
    answers = []
    for seed in (1, 2):
        prompt = [LONG, soft(core, seed), ":"]
        answer = core.generate([prompt], max_tokens=4, cache=cache)[0]
        assert_same(answer, core.generate([prompt], max_tokens=4)[0])
        answers.append(answer)
    assert answers[0].logprobs[0] != pytest.approx(answers[1].logprobs[0], abs=5e-5)


def test_a_score_is_the_sum_of_log_softmax(core: Core, soft: MakeSoft) -> None:
    choices = ["dax", "a red cube", "blicket", " it does not swim", "x"]
    prompts: list[object] = [LONG + "Answer:", ["Picture: ", soft(core, 1), "\nThis is"], "a"]
    for cache in (None, PrefixCache()):
        table = core.score(prompts, [choices, choices[:3], choices[2:]], cache=cache)  # type: ignore[arg-type]
        for prompt, scores in zip(prompts, table, strict=True):
            for score in scores:
                expected, n_tokens = score_by_hand(core, prompt, score.choice)
                assert score.n_tokens == n_tokens
                assert score.logprob == pytest.approx(expected, abs=TOLERANCE * n_tokens)
                assert score.normalised == score.logprob / n_tokens


def score_by_hand(core: Core, prompt: object, choice: str) -> tuple[float, int]:
    """Sum of log-softmax over the choice's tokens in one forward pass over prompt and choice, uncached."""
    before = [prompt] if isinstance(prompt, str) else list(prompt)  # type: ignore[call-overload]
    choice = choice if choice.startswith(" ") else " " + choice
    n_prompt = core.assemble([before]).lengths[0]
    inputs = core.assemble([[*before, choice]])
    with torch.no_grad():
        logits, _ = core.forward(
            embeds=inputs.embeds, mask=inputs.attention_mask, positions=inputs.position_ids
        )
    ids = inputs.keys[0][n_prompt:]
    steps = logits[0, n_prompt - 1 : -1].log_softmax(dim=-1)
    return sum(float(step[i]) for step, i in zip(steps, ids, strict=True)), len(ids)  # type: ignore[call-overload]


def test_the_loss_is_the_mean_over_target_tokens_and_reaches_the_prefix(core: Core, soft: MakeSoft) -> None:
    targets = ["dax", "a red cube.\n", "it does not swim"]
    embeds = [soft(core, seed).embeds.requires_grad_() for seed in range(3)]
    softs = [Soft(e, f"s{i}") for i, e in enumerate(embeds)]
    prompts = [["Picture: ", softs[0], "\nAnswer:"], [LONG, softs[1], "\nCaption:"], [softs[2], "This is"]]
    loss = core.loss(prompts, targets)
    scores = [row[0] for row in core.score(prompts, [[target] for target in targets])]
    expected = -sum(s.logprob for s in scores) / sum(s.n_tokens for s in scores)
    assert loss.item() == pytest.approx(expected, abs=TOLERANCE)
    batched = torch.autograd.grad(loss, embeds)
    total = sum(s.n_tokens for s in scores)
    for i, gradient in enumerate(batched):
        alone = torch.autograd.grad(core.loss([prompts[i]], [targets[i]]), embeds[i])[0]
        assert gradient.abs().sum() > 0
        assert_close(gradient, alone * scores[i].n_tokens / total, atol=1e-5, rtol=1e-3)


def test_training_a_prefix_leaves_the_core_as_it_was(core: Core, soft: MakeSoft) -> None:
    before = core.fingerprint()
    embeds = soft(core, 5).embeds.clone().requires_grad_()
    optimiser = torch.optim.AdamW([embeds, *core.model.parameters()], lr=0.01)
    losses = []
    for _ in range(5):
        optimiser.zero_grad()
        loss = core.loss([["Picture: ", Soft(embeds, "trained"), "\nAnswer:"]], ["dax\n"])
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    core.assert_frozen()
    assert core.fingerprint() == before


def test_streamed_text_joined_is_the_returned_text(core: Core, soft: MakeSoft) -> None:
    prompts = mixed_prompts(core, soft)
    streamed = [""] * len(prompts)

    def on_text(row: int, text: str) -> None:
        streamed[row] += text

    for stop in ([], ["e", "  "]):
        streamed[:] = [""] * len(prompts)
        answers = core.generate(prompts, max_tokens=16, stop=stop, on_text=on_text)  # type: ignore[arg-type]
        assert streamed == [answer.text for answer in answers]
