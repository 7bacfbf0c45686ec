"""One suite for every adapter family: shapes, batched = single, gradients, saving, and honest settings."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmagent.errors import UserError
from mmagent.tensors import load_strictly, write_tensors
from mmagent_adapters import FAMILIES

D_ENCODER, D_CORE, N = 12, 20, 6
CONFIGS: dict[str, dict[str, Any]] = {
    "prefix": {"n_tokens": 3},
    "prefix-mlp": {"n_tokens": 3, "n_features": N, "d_cell": 5, "d_hidden": 16, "dropout": 0.5},
    "prefix-grid": {"n_features": N, "d_cell": 5, "d_hidden": 16, "dropout": 0.5},
    "resampler": {
        "n_tokens": 3,
        "n_layers": 2,
        "d_model": 16,
        "n_heads": 2,
        "n_positions": N,
        "dropout": 0.5,
    },
    "concepts": {"answers": ["high", "low"], "n_tokens": 3},
    "visual-words": {"n_words": 2, "n_levels": 4, "prefix": {"family": "prefix", "config": {"n_tokens": 1}}},
}
every_family = pytest.mark.parametrize("family", CONFIGS)


def build(family: str, config: dict[str, Any] | None = None) -> Any:
    """A family's module as a bundle builds it, the words of visual words set."""
    torch.manual_seed(0)
    dotted = next(entry.build for entry in FAMILIES if entry.name == family)
    module, _, function = dotted.partition(":")
    adapter = getattr(import_module(module), function)(
        CONFIGS[family] if config is None else config, D_ENCODER, D_CORE
    )
    if family == "concepts":
        adapter.weight.normal_()
        adapter.bias.zero_()
    if family == "visual-words":
        words, levels = adapter.config["n_words"], adapter.config["n_levels"]
        cuts = torch.randn(words, levels - 1).sort(-1).values
        table = torch.randn(words, levels, D_CORE)
        adapter.set_words(torch.randn(D_ENCODER, words), torch.zeros(words), cuts, table)
    return adapter.eval()


def features(batch: int = 4, n: int = N, seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Random features, all of them real."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(batch, n, D_ENCODER, generator=generator)
    return values, torch.ones(batch, n, dtype=torch.bool), torch.randn(batch, D_ENCODER, generator=generator)


def test_every_family_is_tested() -> None:
    apart = [family for family in FAMILIES if family.remembers or family.into_core or family.of_words]
    built = [family.name for family in FAMILIES if family not in apart]
    assert built == list(CONFIGS)


@every_family
def test_shape_and_config(family: str) -> None:
    adapter = build(family)
    n_tokens = 1 + N if family == "prefix-grid" else 3
    assert adapter.n_tokens == n_tokens
    assert adapter.config == CONFIGS[family]
    assert adapter(*features()).shape == (4, n_tokens, D_CORE)


@every_family
def test_the_input_decides_and_a_batch_gives_what_each_gives_alone(family: str) -> None:
    adapter, (values, mask, pooled) = build(family), features()
    together = adapter(values, mask, pooled)
    assert not all(torch.allclose(together[0], other) for other in together[1:])
    for row in range(4):
        one = slice(row, row + 1)
        assert torch.allclose(adapter(values[one], mask[one], pooled[one]), together[one], atol=1e-6)


@every_family
def test_features_outside_the_mask_make_no_difference(family: str) -> None:
    adapter, (values, mask, pooled) = build(family), features()
    mask[:, 4:] = False
    other = values.clone()
    other[:, 4:] = 100.0
    assert torch.allclose(adapter(values, mask, pooled), adapter(other, mask, pooled), atol=1e-6)
    mask[:] = False
    assert bool(adapter(values, mask, pooled).isfinite().all())


@every_family
def test_gradient_reaches_every_trained_tensor_and_no_other(family: str) -> None:
    adapter = build(family).train()
    before = {name: buffer.clone() for name, buffer in adapter.named_buffers()}
    optimiser = torch.optim.SGD(adapter.parameters(), lr=0.1)
    adapter(*features()).square().mean().backward()
    for name, parameter in adapter.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    optimiser.step()
    assert all(torch.equal(before[name], buffer) for name, buffer in adapter.named_buffers())


@every_family
def test_save_and_load_round_trip(family: str, tmp_path: Path) -> None:
    adapter, inputs = build(family), features()
    write_tensors(tmp_path / "adapter.safetensors", adapter.state_dict())
    torch.manual_seed(7)
    dotted = next(entry.build for entry in FAMILIES if entry.name == family)
    module, _, function = dotted.partition(":")
    fresh: nn.Module = getattr(import_module(module), function)(adapter.config, D_ENCODER, D_CORE)
    load_strictly(fresh, tmp_path / "adapter.safetensors")
    assert torch.equal(fresh.eval()(*inputs), adapter(*inputs))


@every_family
def test_an_unknown_setting_is_named(family: str) -> None:
    near = {"visual-words": "n_word", "prefix-grid": "n_feature"}.get(family, "n_tokn")
    with pytest.raises(UserError, match=f"has no setting '{near}'") as caught:
        build(family, {**CONFIGS[family], near: 3})
    assert "Did you mean" in str(caught.value)


@pytest.mark.parametrize(
    ("family", "config", "said"),
    [
        ("prefix", {"n_tokens": 0}, "n_tokens is 0; it must be a whole number from 1"),
        ("prefix", {"n_tokens": "4"}, "n_tokens is '4'"),
        ("prefix", {"n_tokens": True}, "n_tokens is True"),
        ("prefix-mlp", {}, "needs the setting 'n_features'"),
        ("prefix-mlp", {"n_features": 4, "dropout": 1.0}, "dropout is 1.0"),
        ("prefix-grid", {}, "needs the setting 'n_features'"),
        ("resampler", {"d_model": 10, "n_heads": 4}, "no multiple of n_heads"),
        ("resampler", {"n_positions": -1}, "n_positions is -1"),
        ("visual-words", {"n_levels": 1}, "at least 2"),
        ("visual-words", {"prefix": {"family": "prefx"}}, "Did you mean 'prefix'?"),
        ("visual-words", {"prefix": {"family": "visual-words"}}, "names no family"),
        ("visual-words", {"prefix": {"family": "prefix", "config": {"n": 1}}}, "has no setting 'n'"),
    ],
)
def test_impossible_settings(family: str, config: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        build(family, config)
    assert said in str(caught.value)


def test_the_linear_prefix_is_one_linear_map() -> None:
    adapter, (values, mask, a) = build("prefix"), features()
    b = features(seed=2)[2]
    nothing = adapter(values, mask, torch.zeros_like(a))
    both = adapter(values, mask, a + b)
    assert torch.allclose(
        both - nothing, adapter(values, mask, a) + adapter(values, mask, b) - 2 * nothing, atol=1e-5
    )


def test_the_mlp_prefix_sees_where_things_are() -> None:
    adapter, (values, mask, pooled) = build("prefix-mlp"), features()
    assert not torch.allclose(adapter(values.flip(1), mask, pooled), adapter(values, mask, pooled))
    with pytest.raises(UserError, match="made for 6 features per input and got 5"):
        adapter(*features(n=5))


def test_the_grid_prefix_keeps_places_apart() -> None:
    adapter, (values, mask, pooled) = build("prefix-grid"), features()
    plain = adapter(values, mask, pooled)
    adapter.context.weight.data.zero_()
    adapter.context.bias.data.zero_()
    alone = adapter(values, mask, pooled)
    values[:, 2] += 1.0 + torch.arange(D_ENCODER)
    moved = adapter(values, mask, pooled)
    changed = (moved - alone).abs().amax(dim=(0, 2)) > 1e-6
    assert changed.tolist() == [False, False, False, True, False, False, False]  # the whole, then cells 0..5
    assert not torch.allclose(plain[:, 1:], alone[:, 1:]), "the map as a whole says nothing"
    with pytest.raises(UserError, match="made for 6 features per input and got 5"):
        adapter(*features(n=5))


def test_the_resampler_takes_any_number_of_features_in_any_order() -> None:
    adapter = build("resampler", {**CONFIGS["resampler"], "n_positions": None})
    for n in (0, 1, 9):
        assert adapter(*features(n=n)).shape == (4, 3, D_CORE)
    values, mask, pooled = features()
    assert torch.allclose(adapter(values.flip(1), mask, pooled), adapter(values, mask, pooled), atol=1e-6)
    padded = torch.cat([values, torch.ones(4, 3, D_ENCODER)], dim=1)
    longer = torch.cat([mask, torch.zeros(4, 3, dtype=torch.bool)], dim=1)
    assert torch.allclose(adapter(padded, longer, pooled), adapter(values, mask, pooled), atol=1e-6)


def test_the_resampler_with_places_sees_where_things_are() -> None:
    adapter, (values, mask, pooled) = build("resampler"), features()
    assert not torch.allclose(adapter(values.flip(1), mask, pooled), adapter(values, mask, pooled))
    with pytest.raises(UserError, match="has 6 places and got 7"):
        adapter(*features(n=7))
