"""A bundle of the embedded one's shape with random weights: for its speed, before anything is trained.

python -m benchmarks.random_bundle DIRECTORY [--small]
"""

from __future__ import annotations

import json
import tempfile
from argparse import ArgumentParser
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

DEPTHS = (2, 2, 2, 1)


@dataclass(frozen=True)
class Shape:
    """Sizes of a bundle's parts; what the embedded one has, unless told."""

    d_core: int = 256
    d_inner: int = 704
    n_layers: int = 5
    n_heads: int = 4
    vocabulary: int = 4096
    widths: tuple[int, ...] = (64, 128, 256, 384)
    depths: tuple[int, ...] = DEPTHS
    side: int = 96
    n_words: int = 16
    n_levels: int = 8

    @property
    def n_features(self) -> int:
        """Places of the encoder's map: its stem divides the side by 4, every stage but the first by 2."""
        across = self.side // (4 << (len(self.widths) - 1))
        return across * across


SMALL = Shape(32, 64, 2, 2, 512, (8, 16), (1, 1), 32, 4, 4)


def write(target: Path, shape: Shape) -> Path:
    """Write the bundle to a directory that is empty or not there."""
    from mmagent.bundle import Bundle
    from mmagent.plugins import load_plugins

    plugins = load_plugins()
    nested = {"n_features": shape.n_features, "d_cell": 32, "d_hidden": 512}
    config = {
        "n_words": shape.n_words,
        "n_levels": shape.n_levels,
        "prefix": {"family": "prefix-grid", "config": nested},
    }
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        core, encoder = Path(name) / "core", Path(name) / "encoder"
        embeddings = write_core(core, shape)
        write_encoder(encoder, shape)
        build = plugins.resolve(plugins.adapters["visual-words"].build)
        adapter = build(config, shape.widths[-1], shape.d_core)
        set_words(adapter, embeddings, shape)
        sense = {
            "encoder": "image/encoder",
            "adapter": {"family": "visual-words", "config": config, "weights": "image/adapter.safetensors"},
        }
        manifest = {
            "name": "random",
            "version": "1",
            "description": "random weights, to measure speed with",
            "core": {"path": "core"},
            "senses": {"image": sense},
            "scores": {},
            "licence": "Apache-2.0",
        }
        parts: dict[str, Any] = {
            "core": core,
            "image/encoder": encoder,
            "image/adapter.safetensors": {key: value.half() for key, value in adapter.state_dict().items()},
        }
        Bundle.write(target, manifest, parts, card="# random\n\nRandom weights, to measure speed with.\n")
    return target


def write_core(place: Path, shape: Shape) -> torch.Tensor:
    """A Llama and a byte-level tokenizer; returns its word embeddings (vocabulary, d_core)."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    raw: Any = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    text = ["Picture:\nQuestion: What is this?\nAnswer: dax\n\n", "What colour is it? Is there a circle?\n"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<s>", "</s>"]
    raw.train_from_iterator(
        text * 2, trainers.BpeTrainer(vocab_size=320, special_tokens=special, initial_alphabet=alphabet)
    )
    raw.add_tokens([f"<w{at}>" for at in range(shape.vocabulary - raw.get_vocab_size())])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.d_core,
        intermediate_size=shape.d_inner,
        num_hidden_layers=shape.n_layers,
        num_attention_heads=shape.n_heads,
        max_position_embeddings=1024,
        initializer_range=0.1,  # large, so that what is said depends on what was read
        bos_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config).half()
    model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    table: torch.Tensor = model.get_input_embeddings().weight.detach().float()
    return table


def write_encoder(place: Path, shape: Shape) -> None:
    """A ResNet and its picture processor."""
    from transformers import ResNetConfig, ResNetModel

    config = ResNetConfig(
        embedding_size=shape.widths[0],
        hidden_sizes=list(shape.widths),
        depths=list(shape.depths),
        layer_type="basic",
    )
    ResNetModel(config).half().save_pretrained(place)
    processor = {
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": shape.side, "width": shape.side},
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    (place / "preprocessor_config.json").write_text(json.dumps(processor), encoding="utf-8")


def set_words(adapter: Any, embeddings: torch.Tensor, shape: Shape) -> None:
    """Random axes and levels, spelt with words of the core."""
    words = torch.randint(len(embeddings), (shape.n_words, shape.n_levels))
    adapter.set_words(
        projection=torch.randn(shape.widths[-1], shape.n_words) / shape.widths[-1] ** 0.5,
        offset=torch.zeros(shape.n_words),
        thresholds=torch.randn(shape.n_words, shape.n_levels - 1).sort(dim=-1).values,
        table=embeddings[words],
    )


def main() -> None:
    """Write the bundle where the first argument says."""
    parser = ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--small", action="store_true", help="a toy, for tests")
    given = parser.parse_args()
    write(given.directory, SMALL if given.small else Shape())


if __name__ == "__main__":
    main()
