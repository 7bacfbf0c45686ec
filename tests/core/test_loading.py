"""Loading: frozen for good, exact weights or an error, chat templates, one line for what will not load."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmagent import MMAgentError, UserError
from mmagent.core import Core

CHAT = (
    "{% for m in messages %}<s><{{ m.role }}>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<answer>{% endif %}"
)


@pytest.fixture
def copy(family_dir: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy of a tiny model directory, to be damaged."""
    shutil.copytree(family_dir("llama"), tmp_path, dirs_exist_ok=True)
    return tmp_path


def load(directory: Path) -> Core:
    return Core.load(directory, device="cpu", dtype="float32", local_only=True)


def rewrite(directory: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    file = directory / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda t: t.pop("model.layers.1.mlp.up_proj.weight"),
            r"1 missing \(model.layers.1.mlp.up_proj.weight\)",
        ),
        (lambda t: t.update(stranger=torch.zeros(3)), r"1 unexpected \(stranger\)"),
        (
            lambda t: t.update({"model.norm.weight": torch.zeros(7)}),
            r"1 of another shape \(model.norm.weight\)",
        ),
        (lambda t: t.clear(), "missing"),
    ],
)
def test_weights_that_do_not_fit_are_an_error(
    copy: Path, change: Callable[[dict[str, torch.Tensor]], None], words: str
) -> None:
    rewrite(copy, change)
    with pytest.raises(UserError, match=words):
        load(copy)


def test_a_config_of_another_size_is_an_error(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["num_hidden_layers"] = 3
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"missing \(model.layers.2"):
        load(copy)


def test_damaged_or_absent_weights_are_told(copy: Path) -> None:
    file = copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UserError, match="damaged"):
        load(copy)
    file.unlink()
    with pytest.raises(UserError, match="no core could be loaded"):
        load(copy)


def test_pickled_weights_are_not_opened(copy: Path) -> None:
    tensors = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    torch.save(tensors, copy / "pytorch_model.bin")
    with pytest.raises(UserError, match="safetensors"):
        load(copy)


def test_a_place_without_a_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config.json"):
        load(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        load(tmp_path / "nothing")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is a file"):
        load(tmp_path / "file")
    with pytest.raises(UserError, match="does not exist"):
        Core.load("./nowhere")
    with pytest.raises(UserError, match="no core no-such-org/no-such-model: no such directory"):
        Core.load("no-such-org/no-such-model", device="cpu", dtype="float32", local_only=True)


def test_a_model_that_is_no_language_model_is_told(copy: Path) -> None:
    (copy / "config.json").write_text(json.dumps({"model_type": "vit", "architectures": ["ViTModel"]}))
    with pytest.raises(UserError, match="causal language model"):
        load(copy)


def test_code_of_its_own_must_be_trusted(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config |= {
        "model_type": "stranger",
        "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"},
    }
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "own.py").write_text("raise SystemExit('ran')\n")
    with pytest.raises(UserError, match="--trust-remote-code"):
        load(copy)


def test_a_tokenizer_larger_than_the_table_is_told(copy: Path) -> None:
    core = load(copy)
    core.tokenizer.add_tokens(["zzz"])
    with pytest.raises(UserError, match="do not belong together"):
        core.generate(["zzz"])


def test_loading_says_nothing(copy: Path) -> None:
    code = f"from mmagent.core import Core; Core.load({str(copy)!r}, device='cpu')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_core_stays_in_eval_mode_inside_a_module_that_trains(copy: Path) -> None:
    core = load(copy)

    class Trainee(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.core = core.model
            self.head = torch.nn.Linear(2, 2)

    trainee = Trainee().train()
    core.model.train()
    assert trainee.head.training
    assert not any(module.training for module in core.model.modules())
    core.assert_frozen()


def test_a_core_that_is_not_frozen_any_more_is_told(copy: Path) -> None:
    core = load(copy)
    before = core.fingerprint()
    core.model.lm_head.train()
    with pytest.raises(MMAgentError, match="lm_head is in training mode"):
        core.assert_frozen()
    core.model.lm_head.eval()
    core.model.lm_head.weight.requires_grad_(True)
    with pytest.raises(MMAgentError, match=r"lm_head.weight is set to be trained"):
        core.assert_frozen()
    core.model.lm_head.weight.requires_grad_(False)
    core.assert_frozen()
    with torch.no_grad():
        core.model.lm_head.weight[0, 0] += 1
    with pytest.raises(MMAgentError, match=r"lm_head.weight was written to"):
        core.assert_frozen()
    assert core.fingerprint() != before


def test_the_fingerprint_is_that_of_the_weights(copy: Path) -> None:
    first, again = load(copy), load(copy)
    assert first.fingerprint() == again.fingerprint()
    rewrite(copy, lambda tensors: tensors["model.norm.weight"].mul_(1.5))
    assert load(copy).fingerprint() != first.fingerprint()


def test_a_chat_template_is_used_where_there_is_one(copy: Path) -> None:
    plain = load(copy)
    assert plain.chat("What is this?") == "What is this?"
    plain.tokenizer.chat_template = CHAT
    wrapped = plain.chat("What is this?")
    assert wrapped == "<user>What is this?<answer>"  # the text's own beginning is put there by `assemble`
    ids = plain.assemble([wrapped]).keys[0]
    assert ids.count(plain.tokenizer.bos_token_id) == 1
    plain.tokenizer.chat_template = "{{ raise_exception('no system turn') }}"
    with pytest.raises(MMAgentError, match="no system turn"):
        plain.chat("What is this?")


def test_the_light_parts_do_not_load_torch() -> None:
    code = (
        "import sys, mmagent.core; from mmagent.core import Prompt, Soft; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
