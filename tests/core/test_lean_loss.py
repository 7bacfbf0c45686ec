"""What a loss leaves out changes neither the loss nor its gradients: against layers that run whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from mmagent.core import Core, Soft
from mmagent.core.assemble import Row, read, read_continuation
from mmagent.core.lastblock import running_whole_blocks
from mmagent.core.score import target_losses
from mmagent_adapters.bending import build_lora

Counts = dict[str, list[int]]
MakeSoft = Callable[..., Soft]
LEAD = "Picture of a red cube: "
TARGETS = ["dax", "a red cube.\n", "it does not swim"]


def _rows(core: Core, embeds: list[Tensor], *, begins: str = LEAD) -> tuple[list[Row], list[list[int]]]:
    texts = ["\nAnswer:", "\nQuestion: what is this? Answer:", "\nIs"]
    prompts = [
        [begins, Soft(e, f"s{i}"), text] for i, (e, text) in enumerate(zip(embeds, texts, strict=True))
    ]
    rows = [read(core, prompt) for prompt in prompts]
    return rows, [read_continuation(core, row, text) for row, text in zip(rows, TARGETS, strict=True)]


def test_loss_and_gradients_are_those_of_layers_that_run_whole(core: Core, soft: MakeSoft) -> None:
    """In every family, over rows of several lengths."""
    embeds = [soft(core, seed).embeds.requires_grad_() for seed in range(3)]
    rows, targets = _rows(core, embeds)
    lean = target_losses(core, rows, targets)
    with running_whole_blocks():
        whole = target_losses(core, rows, targets)
    assert_close(lean, whole, atol=1e-5, rtol=1e-5)
    found, wanted = (torch.autograd.grad(losses.sum(), embeds) for losses in (lean, whole))
    assert sum(float(one.abs().sum()) for one in wanted) > 0
    for ours, theirs in zip(found, wanted, strict=True):
        assert_close(ours, theirs, atol=1e-5, rtol=1e-3)


@pytest.fixture
def fresh(family_dir: Callable[[str], Path]) -> Core:
    """A core that no other test has."""
    return Core.load(family_dir("llama"), device="cpu", dtype="float32", local_only=True)


@pytest.fixture
def seen(fresh: Core) -> Iterator[tuple[Core, Counts]]:
    """A core; how many positions its first block, its last, and that one's feed-forward half have read."""
    core, counts = fresh, {"first": [], "last": [], "computed": []}

    def counting(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        return lambda module, given, out: counts[name].append(given[0].shape[1])

    layers = core.model.model.layers
    handles = [
        layers[0].mlp.register_forward_hook(counting("first")),
        layers[-1].input_layernorm.register_forward_hook(counting("last")),
        layers[-1].mlp.down_proj.register_forward_hook(counting("computed")),
    ]
    yield core, counts
    for handle in handles:
        handle.remove()


def test_a_beginning_that_all_rows_share_and_what_no_target_needs_are_left_out(
    seen: tuple[Core, Counts], soft: MakeSoft
) -> None:
    core, counts = seen
    rows, targets = _rows(core, [soft(core, seed).embeds for seed in range(3)])
    width = max(len(row) + len(ids) - 1 for row, ids in zip(rows, targets, strict=True))
    lead = sum(len(part) for part in rows[0].parts[:-2])
    target_losses(core, rows, targets)
    target_losses(core, rows, targets)
    assert counts["first"] == [lead, width - lead, width - lead]  # the beginning is read once
    assert counts["computed"][1:] == [max(map(len, targets))] * 2
    for numbers in counts.values():
        numbers.clear()
    with running_whole_blocks():
        target_losses(core, rows, targets)
    assert counts["first"] == counts["computed"] == [width]


def test_rows_that_begin_otherwise_are_read_from_their_first_token(
    seen: tuple[Core, Counts], soft: MakeSoft
) -> None:
    core, counts = seen
    rows, targets = _rows(core, [soft(core, seed).embeds for seed in range(3)])
    other, _ = _rows(core, [soft(core, seed).embeds for seed in range(3)], begins="Caption: ")
    mixed = [Row(other[0].parts[1 if core.tokens.bos else 0 :], other[0].ends_in), *rows[1:]]
    target_losses(core, mixed, targets)
    assert counts["first"] == [max(len(row) + len(ids) - 1 for row, ids in zip(mixed, targets, strict=True))]


def test_of_a_prompt_the_last_block_makes_the_last_position_alone(seen: tuple[Core, Counts]) -> None:
    core, counts = seen
    core.generate([LEAD], max_tokens=1)
    assert counts["computed"] == [1]
    assert counts["last"][0] > 1


def test_a_core_that_is_bent_learns_from_the_shared_beginning_too(fresh: Core, soft: MakeSoft) -> None:
    core = fresh
    adapter = core.bend(lambda model: build_lora({}, model)).requires_grad_(True)
    rows, targets = _rows(core, [soft(core, seed).embeds for seed in range(3)])
    trained = [p for p in adapter.parameters() if p.requires_grad]
    found = torch.autograd.grad(target_losses(core, rows, targets).sum(), trained, allow_unused=True)
    with running_whole_blocks():
        whole = target_losses(core, rows, targets)
    wanted = torch.autograd.grad(whole.sum(), trained, allow_unused=True)
    for ours, theirs in zip(found, wanted, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert_close(ours, theirs, atol=1e-5, rtol=1e-3)
