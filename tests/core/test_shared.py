"""A beginning that is kept once for all rows gives what rows give that keep it each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from mmagent import UserError
from mmagent.core import Core, PrefixCache, Soft
from mmagent.core import prefill as prefill_module
from mmagent.core import shared as shared_module
from mmagent.core.shared import NAME, can_share

MakeSoft = Callable[..., Soft]
SHARING = ("llama", "gpt2", "opt", "gpt_neox", "qwen2", "qwen3", "gemma", "phi", "stories260k")
FLASH = shared_module._flash
LONG = "Question: what is this? Answer: a dax. The dog can run and the bird can fly; "
ENDINGS = ("what is this?", "a cup", "Does it swim? No, it does", "red", "the cup is made of glass", "it")


def _prompts(core: Core, soft: MakeSoft) -> list[list[Any]]:
    """Rows of unlike lengths that begin with the same text and the same soft tokens."""
    first = [LONG * 2, soft(core, 1), " red, blue, dax. " + LONG * 2]
    return [[*first, soft(core, 10 + at), ending] for at, ending in enumerate(ENDINGS)]


@pytest.fixture
def shared_runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tokens were shared, each time that a batch shared any."""
    found: list[int] = []
    run = prefill_module._run_shared

    def counting(core: Core, inputs: Any, begun: Any, *rest: Any) -> Any:
        found.append(begun.length)
        return run(core, inputs, begun, *rest)

    monkeypatch.setattr(prefill_module, "_run_shared", counting)
    return found


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From when it is called, nothing is shared."""
    return lambda: monkeypatch.setattr(prefill_module, "can_share", lambda core: False)


def test_answers_are_those_of_rows_that_share_nothing(
    core: Core, soft: MakeSoft, shared_runs: list[int], apart: Callable[[], None]
) -> None:
    """In every family, those among them whose attention cannot share."""
    prompts = _prompts(core, soft)
    found = core.generate(prompts, max_tokens=8, stop=["."])
    n_shared = list(shared_runs)
    apart()
    wanted = core.generate(prompts, max_tokens=8, stop=["."])
    assert shared_runs == n_shared  # the second time nothing was
    assert [one.token_ids for one in found] == [one.token_ids for one in wanted]
    for ours, theirs in zip(found, wanted, strict=True):
        assert_close(torch.tensor(ours.logprobs), torch.tensor(theirs.logprobs), atol=1e-4, rtol=1e-4)
        assert ours.n_prompt == theirs.n_prompt


@pytest.mark.parametrize("name", SHARING)
def test_these_families_share(
    name: str, load: Callable[[str], Core], soft: MakeSoft, shared_runs: list[int]
) -> None:
    core, cache = load(name), PrefixCache()
    assert can_share(core)
    together = core.generate(_prompts(core, soft), max_tokens=4, cache=cache)
    assert len(shared_runs) == 1
    assert shared_runs[0] > 100
    assert cache.reused >= (len(together) - 1) * shared_runs[0]
    for prompt, row in zip(_prompts(core, soft), together, strict=True):
        assert core.generate([prompt], max_tokens=4)[0].token_ids == row.token_ids  # batched is single


@pytest.mark.parametrize("name", ["mistral", "gemma2", "gemma3", "bloom", "mamba", "lfm2"])
def test_these_do_not(name: str, load: Callable[[str], Core]) -> None:
    """Sliding windows and ALiBi count columns; a state-space model keeps none."""
    core = load(name)
    before = core.model.config._attn_implementation
    assert not can_share(core)
    assert core.model.config._attn_implementation == before


def _as_if_equal(query: Tensor, *given: Any) -> tuple[Tensor, Tensor]:
    """Attention that does not know how much of it lies in each part."""
    out, sums = FLASH(query, *given)
    return out, torch.zeros_like(sums)


def _gone(*given: Any) -> tuple[Tensor, Tensor]:
    raise RuntimeError("no such operator")


@pytest.mark.parametrize("wrong", [_as_if_equal, _gone])
def test_a_core_whose_attention_gives_something_else_is_left_as_it_was(
    family_dir: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, wrong: Callable[..., Any]
) -> None:
    core = Core.load(family_dir("llama"), device="cpu", dtype="float32", local_only=True)
    with monkeypatch.context() as patch:
        patch.setattr(shared_module, "_flash", wrong)
        assert not can_share(core)
    assert core.model.config._attn_implementation == "sdpa"
    assert shared_module._next.shared is None
    assert core.generate(["The dog"], max_tokens=2)[0].token_ids


def test_a_core_in_bfloat16_does_not_share(family_dir: Callable[[str], Path]) -> None:
    core = Core.load(family_dir("llama"), device="cpu", dtype="bfloat16", local_only=True)
    assert not can_share(core)


def test_choices_after_a_shared_beginning_are_scored_as_ever(
    load: Callable[[str], Core], soft: MakeSoft, shared_runs: list[int]
) -> None:
    core = load("llama")
    prompts, choices = _prompts(core, soft), [["red", "a blue cup"]] * len(ENDINGS)
    before = core.score(prompts, choices)
    cache = PrefixCache()
    core.generate(prompts, max_tokens=2, cache=cache)
    assert shared_runs
    for ours, theirs in zip(core.score(prompts, choices, cache=cache), before, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert a.logprob == pytest.approx(b.logprob, abs=1e-3)


def test_a_saved_core_does_not_name_what_attends(llama: Core, tmp_path: Path) -> None:
    assert can_share(llama)
    llama.model.save_pretrained(tmp_path)
    assert NAME not in (tmp_path / "config.json").read_text()


def test_the_beginning_that_several_batches_share_is_read_before(
    load: Callable[[str], Core], soft: MakeSoft
) -> None:
    core, cache = load("llama"), PrefixCache()
    prompts = _prompts(core, soft)
    core.read_beginning(prompts, cache)
    begun = len(cache)
    assert begun > 100
    core.generate(prompts[:3], max_tokens=2, cache=cache)
    core.generate(prompts[3:], max_tokens=2, cache=cache)
    assert cache.reused >= len(prompts) * begun
    core.read_beginning(prompts[:1], cache)  # nothing is shared by one
    core.read_beginning([["a"], ["b"]], cache)
    assert len(cache) == begun


def test_a_beginning_longer_than_the_core_reads_is_refused(load: Callable[[str], Core]) -> None:
    """Learned positions end: what is behind them must not be looked up."""
    core, cache = load("gpt2"), PrefixCache()
    with pytest.raises(UserError, match="256"):
        core.read_beginning([LONG * 12 + ending for ending in ENDINGS], cache)
    assert len(cache) == 0
