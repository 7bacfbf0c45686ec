"""Tiny random-weight cores of many families, made once per session as model directories."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from mmagent.core import Core, Soft

TEXT = """Picture: a red cube on a blue table.
Question: what is this? Answer: a dax. Choices: red, blue, dax, blicket.
The dog can run and the bird can fly; the cup is made of glass. Does it swim? No, it does not.
"""
COMMON = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,  # wide enough that logits differ plainly
}
GROUPED = COMMON | {"num_key_value_heads": 2}
GEMMA = GROUPED | {"head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 8}
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", GROUPED),
    "gpt2": (
        "GPT2Config",
        {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256, "initializer_range": 0.2},
    ),
    "opt": (
        "OPTConfig",
        {
            "hidden_size": 32,
            "word_embed_proj_dim": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "ffn_dim": 48,
            "max_position_embeddings": 256,
            "init_std": 0.2,
        },
    ),
    "gpt_neox": ("GPTNeoXConfig", COMMON),
    "qwen2": ("Qwen2Config", GROUPED),
    "qwen3": ("Qwen3Config", GROUPED | {"head_dim": 8}),
    "gemma": ("GemmaConfig", GROUPED | {"head_dim": 8}),
    "gemma2": ("Gemma2Config", GEMMA),
    "gemma3": ("Gemma3TextConfig", GEMMA | {"layer_types": ["sliding_attention", "full_attention"]}),
    "mistral": ("MistralConfig", GROUPED | {"sliding_window": 8}),
    "phi": ("PhiConfig", COMMON),
    "bloom": ("BloomConfig", {"hidden_size": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.2}),
    "openai-gpt": (
        "OpenAIGPTConfig",
        {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256, "initializer_range": 0.2},
    ),
    "mamba": (
        "MambaConfig",
        {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4, "initializer_range": 0.2},
    ),
    "lfm2": (
        "Lfm2Config",
        GROUPED | {"layer_types": ["conv", "full_attention"], "conv_L_cache": 3},
    ),
}
FAMILIES = list(CONFIGS)


def build_tokenizer(bos: bool) -> transformers.PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer trained on a few lines; `bos`: it puts a token before each text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<pad>", "<s>", "</s>"]
    inner.train_from_iterator(
        [TEXT],
        trainers.BpeTrainer(
            vocab_size=320, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        ),
    )
    if bos:
        inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )


def save_family(name: str, directory: Path) -> Path:
    """Write a tiny model of a family and its tokenizer as a model directory."""
    tokenizer = build_tokenizer(bos=name in ("llama", "gemma", "gemma2", "gemma3", "mistral", "opt"))
    config_class, options = CONFIGS[name]
    config = getattr(transformers, config_class)(
        vocab_size=len(tokenizer), bos_token_id=1, eos_token_id=2, pad_token_id=0, **options
    )
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


@pytest.fixture(scope="session")
def family_dir(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Callable[[str], Path]:
    """Give the directory of a family's tiny model; 'stories260k' is a real one."""
    made: dict[str, Path] = {}

    def directory(name: str) -> Path:
        if name == "stories260k":
            models: Path = request.getfixturevalue("shared_models")
            return models / name
        if name not in made:
            made[name] = save_family(name, tmp_path_factory.mktemp(name))
        return made[name]

    return directory


@pytest.fixture(scope="session")
def load(family_dir: Callable[[str], Path]) -> Callable[[str], Core]:
    """Load a family's core in fp32 on the CPU, once per session."""
    loaded: dict[str, Core] = {}

    def core(name: str) -> Core:
        if name not in loaded:
            loaded[name] = Core.load(family_dir(name), device="cpu", dtype="float32", local_only=True)
        return loaded[name]

    return core


@pytest.fixture(params=[*FAMILIES, "stories260k"])
def core(request: pytest.FixtureRequest, load: Callable[[str], Core]) -> Core:
    """Every family in turn."""
    return load(request.param)


@pytest.fixture
def llama(load: Callable[[str], Core]) -> Core:
    """One core, where the family does not matter."""
    return load("llama")


@pytest.fixture
def soft() -> Callable[..., Soft]:
    """Make soft tokens of a core's width: the same seed gives the same content."""

    def make(core: Core, seed: int = 0, n_tokens: int = 3) -> Soft:
        noise = torch.randn(n_tokens, core.d_core, generator=torch.Generator().manual_seed(seed))
        return Soft.of(noise * core.embed(torch.arange(10)).std())

    return make
