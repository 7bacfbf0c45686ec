"""A causal language model of 30,000 random weights: for checks in which what it says does not matter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["write_random_core"]

TEXTS = ("Question: what is this? Answer: a frog\n", "Choices: red, blue, yes, no\nAnswer: yes\n")


def write_random_core(place: Path, texts: Sequence[str] = TEXTS) -> int:
    """Write a Llama and a byte-level tokenizer trained on `texts` as transformers does; its hidden size."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from mmagent.hub import quiet

    raw: Any = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<s>", "</s>"]
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=special, initial_alphabet=alphabet)
    raw.train_from_iterator(list(texts), trainer)
    wrapped: Any = PreTrainedTokenizerFast  # whose constructor has no types
    tokenizer = wrapped(tokenizer_object=raw, bos_token="<s>", eos_token="</s>", pad_token="</s>")
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
        bos_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=()), quiet():
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(place)
        tokenizer.save_pretrained(place)
    return 32
