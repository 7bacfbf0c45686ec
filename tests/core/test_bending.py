"""LoRA and (IA)^3 inside of cores of several families: what is fresh changes nothing, what trains is seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mmagent.core import Core, PrefixCache
from mmagent.errors import MMAgentError, UserError
from mmagent_adapters.bending import build_ia3, build_lora

PROMPT = "Picture: a red cube on a blue table.\nQuestion: what is this? Answer:"
BUILDS = {"lora": build_lora, "ia3": build_ia3}
LISTED = ("llama", "gpt2")  # architectures that peft lists layers for ...
UNLISTED = ("openai-gpt", "mamba", "lfm2")  # ... and such as get all linear layers of their blocks
every_kind = pytest.mark.parametrize("kind", BUILDS)
every_core = pytest.mark.parametrize("name", [*LISTED, "gemma2", *UNLISTED])


@pytest.fixture
def fresh(family_dir: Callable[[str], Path]) -> Callable[[str], Core]:
    """A core of a family that no other test has."""
    return lambda name: Core.load(family_dir(name), device="cpu", dtype="float32", local_only=True)


def bend(core: Core, kind: str, **config: Any) -> Any:
    """Build an adapter in, the same every time."""
    torch.manual_seed(1)
    return core.bend(lambda model: BUILDS[kind](config, model))


def stir(adapter: Any, by: float = 0.2) -> None:
    """Give an adapter weights as if it had been trained."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for tensor in adapter.parameters():
            tensor.add_(by * torch.randn(tensor.shape, generator=generator))


@torch.no_grad()
def logits(core: Core) -> torch.Tensor:
    """What the core makes of a fixed row of tokens, (1, 32, V)."""
    ids = torch.arange(3, 35)[None]
    return core.forward(ids=ids, mask=None, positions=torch.arange(32)[None])[0]


@every_kind
@every_core
def test_a_fresh_adapter_changes_no_output_and_no_fingerprint(
    fresh: Callable[[str], Core], name: str, kind: str
) -> None:
    core = fresh(name)
    before, mark = logits(core), core.fingerprint()
    adapter = bend(core, kind)
    assert torch.equal(logits(core), before)
    assert core.fingerprint() == mark
    core.assert_frozen()
    stir(adapter)
    assert not torch.allclose(logits(core), before, atol=1e-4), "the adapter is not used"
    assert core.fingerprint() == mark
    core.straighten()
    assert torch.equal(logits(core), before)
    assert core.fingerprint() == mark


@every_kind
@every_core
def test_what_is_merged_answers_like_what_is_built_in(
    fresh: Callable[[str], Core], name: str, kind: str
) -> None:
    core = fresh(name)
    before, mark = logits(core), core.fingerprint()
    adapter = bend(core, kind)
    stir(adapter)
    bent = logits(core)
    adapter.merge()
    torch.testing.assert_close(logits(core), bent, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(logits(core), before, atol=1e-3)
    assert core.fingerprint() != mark
    assert not [name for name in core.model.state_dict() if "lora" in name or "ia3" in name]


@pytest.mark.parametrize("name", LISTED)
def test_the_gradient_reaches_b_at_the_first_step_and_a_after_it(
    fresh: Callable[[str], Core], name: str
) -> None:
    core = fresh(name)
    adapter = bend(core, "lora")
    adapter.requires_grad_(True)
    core.assert_frozen()
    optimiser = torch.optim.SGD(adapter.parameters(), lr=0.1)
    reached = []
    for _ in range(2):
        optimiser.zero_grad()
        core.loss([PROMPT], ["a cube."]).backward()  # type: ignore[no-untyped-call]
        grads = {n: float(p.grad.abs().sum()) for n, p in adapter.named_parameters()}
        reached.append({part: all(v > 0 for n, v in grads.items() if f"lora_{part}" in n) for part in "AB"})
        optimiser.step()
    assert reached == [{"A": False, "B": True}, {"A": True, "B": True}]
    assert all(p.grad is None for n, p in core.model.named_parameters() if "lora_" not in n)


def test_dropout_is_active_in_training_only(fresh: Callable[[str], Core]) -> None:
    core = fresh("llama")
    adapter = bend(core, "lora", dropout=0.5)
    stir(adapter)
    assert torch.equal(logits(core), logits(core))
    adapter.train()
    core.assert_frozen()
    assert not torch.equal(logits(core), logits(core))
    assert not any(m.training for n, m in core.model.named_modules() if "lora" not in n and "proj" not in n)
    adapter.eval()
    assert torch.equal(logits(core), logits(core))


def test_frozen_still_means_everything_but_the_adapter(fresh: Callable[[str], Core]) -> None:
    core = fresh("llama")
    adapter = bend(core, "lora")
    adapter.requires_grad_(True).train()
    core.assert_frozen()
    inner = core.model.model.layers[0].self_attn.q_proj.base_layer
    inner.weight.requires_grad_(True)
    with pytest.raises(MMAgentError, match=r"q_proj.base_layer.weight is set to be trained"):
        core.assert_frozen()
    inner.weight.requires_grad_(False)
    inner.train()
    with pytest.raises(MMAgentError, match=r"self_attn.q_proj is in training mode"):
        core.assert_frozen()
    inner.eval()
    mark = core.fingerprint()
    with torch.no_grad():
        inner.weight[0, 0] += 1
    with pytest.raises(MMAgentError, match=r"self_attn.q_proj.weight was written to"):
        core.assert_frozen()
    assert core.fingerprint() != mark


def test_what_is_built_in_past_the_core_is_told(fresh: Callable[[str], Core]) -> None:
    core = fresh("llama")
    build_lora({}, core.model).requires_grad_(False)
    with pytest.raises(MMAgentError, match="was built in"):
        core.assert_frozen()


def test_states_of_another_adapter_are_not_reused(fresh: Callable[[str], Core]) -> None:
    core, cache = fresh("llama"), PrefixCache()
    adapter = bend(core, "lora")
    plain = core.score([PROMPT], [["a cube", "a dax"]], cache=cache)[0]
    stir(adapter)
    cached = core.score([PROMPT], [["a cube", "a dax"]], cache=cache)[0]
    uncached = core.score([PROMPT], [["a cube", "a dax"]])[0]
    assert [one.logprob for one in cached] == pytest.approx([one.logprob for one in uncached], abs=1e-4)
    assert abs(cached[0].logprob - plain[0].logprob) > 1e-3
    again = core.score([PROMPT], [["a cube"]], cache=cache)[0]
    assert cache.reused > 0
    assert again[0].logprob == pytest.approx(uncached[0].logprob, abs=1e-4)
    core.straighten()
    straight = core.score([PROMPT], [["a cube"]], cache=cache)[0]
    assert straight[0].logprob == pytest.approx(plain[0].logprob, abs=1e-4)


@every_kind
def test_its_config_builds_the_same_again(fresh: Callable[[str], Core], kind: str) -> None:
    core = fresh("gpt2")
    adapter = bend(core, kind)
    stir(adapter)
    wanted, state = logits(core), {n: t.clone() for n, t in adapter.state_dict().items()}
    core.straighten()
    again = bend(core, kind, **adapter.config)
    again.load_state_dict(state)
    assert torch.equal(logits(core), wanted)
    assert all(path.startswith("transformer.h.") for path in state)


def test_it_is_in_full_precision_whatever_the_core_computes_in(family_dir: Callable[[str], Path]) -> None:
    for kind in BUILDS:
        core = Core.load(family_dir("llama"), device="cpu", dtype="bfloat16", local_only=True)
        adapter = bend(core, kind)
        assert {tensor.dtype for tensor in adapter.parameters()} == {torch.float32}
        stir(adapter)
        assert logits(core).dtype == torch.bfloat16


def test_targets_can_be_named(fresh: Callable[[str], Core]) -> None:
    core = fresh("llama")
    adapter = bend(core, "lora", r=2, targets="down_proj")
    assert adapter.config["targets"] == ["down_proj"]
    assert {name.split(".")[4] for name in adapter.state_dict()} == {"down_proj"}
    assert adapter.state_dict()["model.layers.0.mlp.down_proj.lora_A.weight"].shape == (2, 48)


@pytest.mark.parametrize(
    ("name", "kind", "config", "said"),
    [
        ("llama", "lora", {"targets": ["q_prj"]}, "no linear layer called 'q_prj'.*Did you mean 'q_proj'"),
        ("llama", "lora", {"targets": 3}, "targets is 3; it must be a list of names"),
        ("llama", "lora", {"r": 0}, "r is 0; it must be a whole number"),
        ("llama", "lora", {"rank": 4}, "no setting 'rank'. It has: r, alpha, dropout, targets"),
        ("gpt2", "lora", {"targets": ["lm_head"]}, "lm_head has the weights of another layer, too"),
        ("mamba", "lora", {"targets": ["dt_proj"]}, "mamba takes the weights of 'dt_proj' past any adapter"),
        ("llama", "ia3", {"targets": ["k_proj"], "feedforward": ["v_proj"]}, "none of the targets"),
    ],
)
def test_an_impossible_setting_is_one_line(
    fresh: Callable[[str], Core], name: str, kind: str, config: dict[str, Any], said: str
) -> None:
    core = fresh(name)
    with pytest.raises(UserError, match=said) as caught:
        bend(core, kind, **config)
    assert "\n" not in str(caught.value)
    core.assert_frozen()
    assert core.adapter is None


def test_one_adapter_at_a_time(fresh: Callable[[str], Core]) -> None:
    core = fresh("llama")
    bend(core, "lora")
    with pytest.raises(UserError, match="built into this core already"):
        bend(core, "ia3")


def test_without_peft_it_says_what_to_install(
    fresh: Callable[[str], Core], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(
        UserError, match=r"needs peft, which is not installed.*pip install 'mmagent\[train\]'"
    ):
        bend(fresh("llama"), "lora")
