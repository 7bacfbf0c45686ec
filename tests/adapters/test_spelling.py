"""Spelling: words go in and as many soft tokens come out, the same alone and padded; training reaches all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmagent.agent import Agent
from mmagent.core import Soft
from mmagent.core.assemble import read, read_continuation, spell
from mmagent.core.score import target_losses
from mmagent.errors import UserError
from mmagent.tensors import load_strictly, write_tensors
from mmagent.training.chosen import choose
from mmagent.training.settings import TrainSettings
from mmagent_adapters.spelling import Spelling, build

CONFIG = {"n_words": 6, "n_before": 2, "n_after": 1, "d_hidden": 24}
D_CORE = 32


def made() -> Spelling:
    torch.manual_seed(0)
    adapter = build(CONFIG, 0, D_CORE)
    for parameter in adapter.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return adapter.eval()


def words(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(1, n, D_CORE, generator=torch.Generator().manual_seed(seed))


def mask(n: int) -> torch.Tensor:
    return torch.ones(1, n, dtype=torch.bool)


def test_as_many_soft_tokens_as_words_and_both_ends() -> None:
    adapter = made()
    assert adapter(words(4), mask(4), words(4)).shape == (1, 2 + 4 + 1, D_CORE)
    assert adapter(words(9), mask(9), words(9)).shape == (1, 2 + 6 + 1, D_CORE)  # the rest is left out
    assert adapter.n_tokens == 9
    assert adapter.config == CONFIG


def test_an_untrained_one_leaves_words_as_they_are() -> None:
    given = words(4)
    assert torch.equal(build(CONFIG, 0, D_CORE)(given, mask(4), given)[:, 2:-1], given)


def test_padding_changes_no_word() -> None:
    adapter, given = made(), words(3)
    padded = torch.cat([given, words(2, seed=1)], dim=1)
    there = torch.tensor([[True, True, True, False, False]])
    assert torch.allclose(
        adapter(padded, there, given)[:, : 2 + 3], adapter(given, mask(3), given)[:, : 2 + 3], atol=1e-6
    )


def test_what_is_said_hangs_on_order() -> None:
    adapter, given = made(), words(3)
    turned = adapter(given.flip(1), mask(3), given)[:, 2:-1].flip(1)
    assert not torch.allclose(turned, adapter(given, mask(3), given)[:, 2:-1], atol=1e-3)


def test_saved_and_loaded_it_spells_alike(tmp_path: Path) -> None:
    adapter = made()
    write_tensors(tmp_path / "a.safetensors", adapter.state_dict())
    again = build(CONFIG, 0, D_CORE)
    load_strictly(again, tmp_path / "a.safetensors")
    assert torch.equal(again(words(4), mask(4), words(4)), adapter(words(4), mask(4), words(4)))


def test_training_through_a_frozen_core_makes_it_say_the_words() -> None:
    core = Agent.load("tiny", dtype="float32").core
    adapter = build(CONFIG, 0, core.d_core)
    before = core.fingerprint()
    optimiser = torch.optim.Adam(adapter.parameters(), lr=0.03)
    losses = []
    for _ in range(15):
        spelt = spell(core, " frog")[None]
        soft = Soft(adapter(spelt, mask(spelt.shape[1]), spelt)[0], "x")
        row = read(core, ["Table:", soft, "\nQuestion: what?\nAnswer:"])
        loss = target_losses(core, [row], [read_continuation(core, row, "frog")]).sum()
        optimiser.zero_grad()
        loss.backward()
        assert all(parameter.grad is not None for parameter in adapter.parameters())
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert core.fingerprint() == before


def test_training_on_labelled_data_refuses_it() -> None:
    from mmagent_adapters import FAMILIES

    with pytest.raises(UserError, match="learns from texts and not from labelled data"):
        choose(TrainSettings(adapter="spelling"), {family.name: family for family in FAMILIES})
