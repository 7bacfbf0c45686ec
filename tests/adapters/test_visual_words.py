"""Visual words: the levels by hand, the words after the prefix, and never unset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mmagent.errors import UserError
from mmagent.tensors import load_strictly, write_tensors
from mmagent_adapters.visual_words import build

D_CORE = 3


def words(prefix: dict[str, Any] | None = None) -> Any:
    """Two words of three levels over three features; axis 0 is feature 0, axis 1 is feature 2 plus 10."""
    adapter = build({"n_words": 2, "n_levels": 3, "prefix": prefix}, 3, D_CORE)
    adapter.set_words(*quantiser())
    return adapter.eval()


def quantiser() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The frozen tensors of `words`; the word of axis i at level j is embedded as (i, j, 9)."""
    projection = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    offset = torch.tensor([0.0, 10.0])
    thresholds = torch.tensor([[-1.0, 1.0], [0.0, 20.0]])
    table = torch.tensor([[[i, j, 9.0] for j in range(3)] for i in range(2)])
    return projection, offset, thresholds, table


POOLED = torch.tensor([[-5.0, 99.0, -50.0], [0.0, -99.0, 0.0], [1.0, 0.0, 10.0]])
CODES = [[0, 0], [1, 1], [2, 2]]  # a value on a threshold has reached it


def test_codes_by_hand() -> None:
    found = words().codes(POOLED)
    assert found.dtype == torch.long
    assert found.tolist() == CODES


def test_the_soft_tokens_are_the_words_of_the_codes() -> None:
    found = words()(torch.zeros(3, 0, 3), torch.ones(3, 0, dtype=torch.bool), POOLED)
    assert found.tolist() == [[[0.0, a, 9.0], [1.0, b, 9.0]] for a, b in CODES]


def test_the_words_stand_after_the_trained_prefix() -> None:
    torch.manual_seed(0)
    adapter = words({"family": "prefix", "config": {"n_tokens": 2}})
    inputs = torch.zeros(3, 0, 3), torch.ones(3, 0, dtype=torch.bool), POOLED
    found = adapter(*inputs)
    assert adapter.n_tokens == 4
    assert torch.equal(found[:, :2], adapter.prefix(*inputs))
    assert torch.equal(found[:, 2:], words()(*inputs))


def test_nothing_of_the_words_is_trained() -> None:
    assert not list(words().parameters())
    names = {name for name, _ in words({"family": "prefix", "config": {}}).named_parameters()}
    assert names == {"prefix.linear.weight", "prefix.linear.bias"}


def test_unset_words_are_an_error_until_they_are_set_or_loaded(tmp_path: Path) -> None:
    adapter = build({"n_words": 2, "n_levels": 3}, 3, D_CORE)
    with pytest.raises(UserError, match="are not set"):
        adapter.codes(POOLED)
    write_tensors(tmp_path / "x.safetensors", words().state_dict())
    load_strictly(adapter, tmp_path / "x.safetensors")
    assert adapter.codes(POOLED).tolist() == CODES


@pytest.mark.parametrize(
    ("which", "tensor", "said"),
    [
        (0, torch.zeros(2, 3), "projection has the shape (2, 3); it must be (3, 2)"),
        (1, torch.tensor([0.0, torch.nan]), "offset holds values that are not finite"),
        (2, torch.tensor([[1.0, -1.0], [0.0, 1.0]]), "must ascend"),
        (3, torch.zeros(2, 3, 4), "table has the shape"),
    ],
)
def test_words_that_do_not_fit(which: int, tensor: Tensor, said: str) -> None:
    given = list(quantiser())
    given[which] = tensor
    adapter = words()
    with pytest.raises(UserError) as caught:
        adapter.set_words(*given)
    assert said in str(caught.value)
    assert adapter.codes(POOLED).tolist() == CODES
