"""Products by oneDNN are those of MKL, and it is asked only where it is faster."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from transformers.pytorch_utils import Conv1D

from mmagent import dense
from mmagent.core import Core
from mmagent.dense import BLOCKS, FEWEST, Dense, DenseTurned, as_torch_does, linear, onednn_gain, quicken

MOST, LEAST = BLOCKS


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A machine on which oneDNN is faster; how many rows it was given each time."""
    if onednn_gain() == 0:
        pytest.skip("this torch has no oneDNN")
    rows: list[int] = []
    product = dense._onednn

    def counting(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        rows.append(len(x))
        return product(x, weight, bias)

    monkeypatch.setattr(dense, "_at_once", set())
    monkeypatch.setattr(dense, "_times", {})
    monkeypatch.setattr(dense, "onednn_gain", lambda: 2.0)
    monkeypatch.setattr(dense, "_onednn", counting)
    return rows


def _layer(bias: bool = True) -> nn.Linear:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(48, 80, bias=bias)).requires_grad_(False)
    quicken(model)
    layer = model[0]
    assert isinstance(layer, nn.Linear)
    return layer


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(FEWEST,), (3, 200), (2, MOST), (1, 2 * MOST + LEAST + 1)])
def test_products_are_those_of_torch(asked: list[int], shape: tuple[int, ...], bias: bool) -> None:
    layer = _layer(bias)
    x = torch.randn(*shape, 48)
    with torch.no_grad():
        found = layer(x)
        assert set(asked) <= set(BLOCKS)  # a handful of numbers of rows, whatever comes
        assert 0 <= sum(asked) - x.numel() // 48 < LEAST  # the last one filled up
        with as_torch_does():
            wanted = layer(x)
    assert found.shape == wanted.shape
    assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    assert_close(wanted, nn.functional.linear(x, layer.weight, layer.bias), atol=0, rtol=0)


def test_parts_and_turned_matrices_are_multiplied_as_they_lie(asked: list[int]) -> None:
    layer, whole = _layer(), torch.randn(2, 2 * FEWEST, 96)
    for x in (whole[:, FEWEST:, :48], whole[0].t()[:48].t(), torch.randn(1, 48).expand(FEWEST, 48)):
        with torch.no_grad():
            assert_close(layer(x), nn.functional.linear(x, layer.weight, layer.bias), atol=1e-5, rtol=1e-5)
    assert asked


def test_what_comes_often_is_multiplied_at_once_and_is_the_same_to_the_bit(asked: list[int]) -> None:
    layer, x = _layer(), torch.randn(3, 67, 48)
    with torch.no_grad():
        first = layer(x)
        assert asked == [64, 64, 64, 64]
        for _ in range(dense.OFTEN - 1):
            layer(x)
        asked.clear()
        assert torch.equal(layer(x), first)
        assert asked == [201]
        assert torch.equal(layer(x[:1]), first[:1])  # nor do a row's bits hang on the others


def test_what_would_be_other_bits_at_once_stays_in_blocks(
    asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, x, counting = _layer(), torch.randn(201, 48), dense._onednn

    def another(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return counting(rows, weight, bias) + (1e-6 if len(rows) == 201 else 0.0)

    monkeypatch.setattr(dense, "_onednn", another)
    with torch.no_grad():
        for _ in range(dense.OFTEN + 1):
            layer(x)
    assert asked.count(201) == 1  # when it was looked at
    assert not dense._at_once


def test_the_kinds_that_are_multiplied_at_once_are_so_many_and_no_more(
    asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dense, "OFTEN", 1)
    monkeypatch.setattr(dense, "MOST", 3)
    layer = _layer()
    with torch.no_grad():
        for rows in range(33, 63):
            layer(torch.randn(rows, 48))
    assert len(dense._at_once) == len(dense._times) == 3


def test_gradients_are_those_of_torch(asked: list[int]) -> None:
    layer, x, weights = _layer(), torch.randn(2, 200, 48), torch.randn(2, 200, 80)

    def gradient() -> torch.Tensor:
        given = x.clone().requires_grad_()
        (layer(given) * weights).sum().backward()
        layer(given).sum().backward()  # one whose gradient is a single number, spread out
        assert given.grad is not None
        return given.grad

    found = gradient()
    assert asked == [256, 64, 64, 64] * 4  # there and back, twice
    with as_torch_does():
        assert_close(found, gradient(), atol=1e-4, rtol=1e-4)
    assert asked == [256, 64, 64, 64] * 4


def test_layers_of_gpt2_are_dense_layers_turned(asked: list[int]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(Conv1D(80, 48)).requires_grad_(False)
    plain, x = Conv1D(80, 48).requires_grad_(False), torch.randn(2, 50, 48, requires_grad=True)
    plain.load_state_dict(model[0].state_dict())
    quicken(model)
    assert type(model[0]) is DenseTurned
    found, wanted = model(x), plain(x)
    assert asked == [64, 64]
    assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    weights = torch.randn(2, 50, 80)
    (ours,) = torch.autograd.grad((found * weights).sum(), x)
    (theirs,) = torch.autograd.grad((wanted * weights).sum(), x)
    assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    model.requires_grad_(True)
    model(x).sum().backward()
    assert model[0].weight.grad is not None


def test_few_rows_other_dtypes_and_trained_weights_are_left_to_torch(asked: list[int]) -> None:
    layer = _layer()
    with torch.no_grad():
        layer(torch.randn(FEWEST - 1, 48))
        linear(torch.ones(FEWEST, 4, dtype=torch.bfloat16), torch.ones(3, 4, dtype=torch.bfloat16))
        with torch.autocast("cpu", torch.bfloat16):
            assert layer(torch.randn(FEWEST, 48)).dtype is torch.bfloat16
    trained = _layer().requires_grad_(True)
    trained(torch.randn(FEWEST, 48)).sum().backward()
    assert trained.weight.grad is not None
    assert asked == []


@pytest.mark.parametrize(("gain", "times"), [(0.0, 0), (dense.WORTH - 0.01, 0), (dense.WORTH, 1)])
def test_the_probe_decides(
    asked: list[int], monkeypatch: pytest.MonkeyPatch, gain: float, times: int
) -> None:
    monkeypatch.setattr(dense, "onednn_gain", lambda: gain)
    with torch.no_grad():
        linear(torch.randn(FEWEST, 8), torch.randn(4, 8))
    assert len(asked) == times


def test_a_torch_without_this_way_to_onednn_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*given: object) -> torch.Tensor:
        raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute '_linear_pointwise'")

    threads = torch.get_num_threads()
    monkeypatch.setattr(dense, "_onednn", gone)
    assert onednn_gain.__wrapped__() == 0
    monkeypatch.setattr(dense, "_onednn", lambda x, weight, bias: torch.zeros(len(x), len(weight)))
    assert onednn_gain.__wrapped__() == 0  # what multiplies wrongly is not asked, however fast
    assert torch.get_num_threads() == threads


def test_a_core_keeps_its_tensors_and_names(llama: Core) -> None:
    kinds = {type(module) for module in llama.model.modules() if isinstance(module, nn.Linear)}
    assert kinds == {Dense}
    assert not any("dense" in name for name, _ in llama.model.named_parameters())


def test_a_core_reads_the_same_either_way(asked: list[int], llama: Core) -> None:
    ids = torch.arange(2 * FEWEST).view(4, -1) % llama.vocab_size
    with torch.inference_mode():
        found = llama.model(input_ids=ids).logits
        assert asked
        with as_torch_does():
            wanted = llama.model(input_ids=ids).logits
    assert_close(found, wanted, atol=1e-5, rtol=1e-5)
