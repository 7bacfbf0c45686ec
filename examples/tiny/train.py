"""Train the embedded bundle `tiny` from nothing, in stages that resume where they stopped.

    python examples/tiny/train.py --data DIR --models DIR --work runs/tiny --out my-tiny [--size full|smoke]

Stages: teacher (what a real encoder sees), tokenizer, core (text only), sight (the encoder), look (features
of all pictures), prefix (the adapter, captions only, through the frozen core), bundle. Each leaves its
result in --work; a stage that is done is not done again. The dtype is what this machine does fast.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

import torch
from captions import thing_statements
from corpus import train_tokenizer
from look import look_all, see
from make_bundle import domains_of, fit_memory, fit_words, word_table, write_bundle
from pictures import SIDE, caltech101, cifar10, omniglot
from teacher import write_views
from torch import nn
from train_core import train_core
from train_prefix import Kept, Row, Through, train_prefix, warm_start
from train_sight import Round, train_sight
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from mmagent.core.dtype import probe_matmul
from mmagent_adapters.visual_words import VisualWords, build


@dataclass(frozen=True)
class Size:
    """How much of everything: the shipped bundle, or a smoke test of the whole way."""

    core_rounds: tuple[tuple[int, float], ...] = (
        (1550, 0.006),
        (2650, 0.006),
        (160, 0.0015),
        (400, 0.002),
    )
    core_tokens: int = 4608
    sight_rounds: tuple[Round, ...] = (
        Round(3300, 2200, 0.015),
        Round(4400, 2800, 0.015),
        Round(3300, 2200, 0.015),
    )
    sight_scale: float = 1.0
    views: int = 5
    limit: int | None = None
    tokenizer_documents: int = 40_000
    unseen: int = 400
    warm_steps: int = 3000
    prefix_rounds: tuple[tuple[int, float], ...] = ((240, 2e-4), (120, 1e-4))
    prefix_batch: int = 80
    counts: dict[str, int] = field(
        default_factory=lambda: {
            "cifar10": 60_000,
            "caltech101": 30_000,
            "scene": 24_000,
            "easy_vqa": 4_000,
            "mnist": 7_000,
            "omniglot": 1_800,
            "made": 1_800,
            "twemoji": 2_500,
        }
    )


SIZES = {
    "full": Size(),
    "smoke": Size(
        core_rounds=((2, 0.006), (1, 0.0015)),
        core_tokens=700,
        sight_rounds=(Round(1, 1, 0.015), Round(1, 0, 0.015)),
        sight_scale=0.1,
        views=1,
        limit=64,
        tokenizer_documents=800,
        unseen=24,
        warm_steps=2,
        prefix_rounds=((2, 2e-4), (1, 1e-4)),
        prefix_batch=4,
        counts=dict.fromkeys(Size().counts, 8),
    ),
}


def new_adapter(
    core: nn.Module, tokenizer: PreTrainedTokenizerFast, words: dict[str, torch.Tensor]
) -> VisualWords:
    """An untrained prefix before the visual words, whose table is the core's own."""
    nested = {"n_features": 9, "d_cell": 32, "d_hidden": 512, "dropout": 0.1}
    adapter = build(
        {"n_words": 16, "n_levels": 8, "prefix": {"family": "prefix-grid", "config": nested}},
        384,
        core.config.hidden_size,
    )
    adapter.set_words(table=word_table(core, tokenizer), **words)  # type: ignore[arg-type]
    return adapter


def training_dtype() -> torch.dtype:
    """bf16 for the products where this machine does them at least 1.2 times as fast; weights stay in fp32."""
    cpu = torch.device("cpu")
    ratio = probe_matmul(cpu, torch.float32) / probe_matmul(cpu, torch.bfloat16)
    dtype = torch.bfloat16 if ratio >= 1.2 else torch.float32
    print(f"{dtype}: bf16 products are {ratio:.1f} times as fast as fp32 here", flush=True)
    return dtype


def checksum(module: nn.Module) -> str:
    """sha256 over all weights and buffers: what is frozen keeps its sum."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def run(data: Path, models: Path, work: Path, out: Path, size: Size, seed: int = 0) -> None:
    """All stages, one after the other."""
    torch.set_num_threads(os.cpu_count() or 1)
    work.mkdir(parents=True, exist_ok=True)
    dtype = training_dtype()
    views = work / "views.npz"
    write_views(data, models, views, views=size.views, limit=size.limit, dtype=dtype)
    if not (work / "tok/tokenizer.json").exists():
        train_tokenizer(data, work / "tok", documents=size.tokenizer_documents)
    tokenizer = AutoTokenizer.from_pretrained(work / "tok")
    if not (work / "core/core/model.safetensors").exists():
        train_core(
            data,
            tokenizer,
            work / "core",
            rounds=size.core_rounds,
            seed=seed,
            dtype=dtype,
            tokens=size.core_tokens,
        )
    if not (work / "sight/encoder/model.safetensors").exists():
        train_sight(
            data,
            views,
            work / "sight",
            rounds=size.sight_rounds,
            seed=seed,
            dtype=dtype,
            limit=size.limit,
            scale=size.sight_scale,
        )
    core = (
        AutoModelForCausalLM.from_pretrained(work / "core/core", dtype=torch.float32)
        .eval()
        .requires_grad_(False)
    )
    encoder = (
        AutoModel.from_pretrained(work / "sight/encoder", dtype=torch.float32).eval().requires_grad_(False)
    )
    encoder = encoder.to(memory_format=torch.channels_last)
    look_all(data, views, encoder, work / "look", size.counts, dtype)
    frozen = checksum(core), checksum(encoder)
    domains = domains_of(
        encoder, caltech101(data, "train", SIDE, size.limit), omniglot(data, "train"), dtype, size.unseen
    )
    kept = Kept(work / "look")
    adapter = new_adapter(core, tokenizer, fit_words(domains))
    through = Through(core, tokenizer, adapter, kept)
    check = dev_check(through, data, encoder, dtype, size.limit)
    if not (work / "prefix/prefix_state.pt").exists():
        warm_start(through, steps=size.warm_steps, batch=512, peak=2e-3, seed=seed)
        print(f"after the warm start: {check()}", flush=True)
    for number, (steps, peak) in enumerate(size.prefix_rounds, start=1):
        train_prefix(
            through,
            work / ("prefix" if number == 1 else f"prefix_{number}"),
            steps=steps,
            batch=size.prefix_batch,
            peak=peak,
            seed=seed + number - 1,
            dtype=dtype,
            check=check,
        )
    assert frozen == (checksum(core), checksum(encoder)), "a frozen weight has moved"
    write_bundle(
        out,
        core,
        tokenizer,
        encoder,
        adapter,
        fit_memory(domains),
        None,
        {},
        "# tiny\n\nNot yet measured.\n",
        work / "staging",
    )
    print(f"written: {out}. Next: calibrate and measure with examples/tiny/evaluate.py", flush=True)


def dev_check(through: Through, data: Path, encoder: nn.Module, dtype: torch.dtype, limit: int | None):  # type: ignore[no-untyped-def]
    """A function that says how many development photographs are named right so far."""
    from augment import resize, to_tensor

    rows: dict[str, list[Row]] = {}
    for name, source in (
        ("cifar10 dev", cifar10(data, "dev", limit)),
        ("caltech101 dev", caltech101(data, "dev", SIDE, limit)),
    ):
        seen = [
            see(encoder, resize(to_tensor(source.pictures[i : i + 128]), SIDE), dtype)
            for i in range(0, len(source), 128)
        ]  # type: ignore[arg-type]
        through.kept.add(name, torch.cat([g for g, _ in seen]), torch.cat([p for _, p in seen]))
        rows[name + " caption"] = [
            Row(["Picture:", (name, i), "\nCaption:"], thing_statements(word)[0][1] + "\n")
            for i, word in enumerate(source.labels)
        ]
        rows[name + " question"] = [
            Row(["Picture:", (name, i), "\nQuestion: what is this?\nAnswer:"], f" {word}\n")
            for i, word in enumerate(source.labels)
        ]

    def check() -> str:
        return "  ".join(f"{k} {sum(through.exact(v, dtype)) / len(v):.3f}" for k, v in rows.items())

    return check


def main() -> None:
    """Read the options and train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument(
        "--models", type=Path, required=True, help="folder with mobilenet_v2_1.0_224, the teacher"
    )
    parser.add_argument(
        "--work", type=Path, default=Path("runs/tiny"), help="where stages keep their results"
    )
    parser.add_argument("--out", type=Path, required=True, help="the bundle")
    parser.add_argument("--size", choices=sorted(SIZES), default="full")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    run(options.data, options.models, options.work, options.out, SIZES[options.size], options.seed)


if __name__ == "__main__":
    main()
