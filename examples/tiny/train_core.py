"""Stage `core`: a small Llama (Touvron et al. 2023) reads text, and only text; then it is frozen for ever."""

from __future__ import annotations

import json
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from corpus import VOCABULARY, Batches, real_text
from text import Pen
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast


def new_core(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """The untrained core: 5.1 M weights, 5 layers of 256, tied embeddings, 1,024 positions."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=5,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        initializer_range=0.02,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def weighted_loss(core: LlamaForCausalLM, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Mean cross-entropy by weight. Also the hits (bool) and weights of the positions that count."""
    hidden = core.model(
        input_ids=batch["ids"], position_ids=batch["positions"], attention_mask=batch["mask"], use_cache=False
    ).last_hidden_state  # (B, T, d_core)
    weights = batch["weights"][:, 1:]
    same = batch["positions"][:, 1:] > 0
    at = (weights > 0) & same
    logits = core.lm_head(hidden[:, :-1][at]).float()  # (N, V)
    target = batch["ids"][:, 1:][at]
    each = F.cross_entropy(logits, target, reduction="none")
    return (each * weights[at]).sum() / weights[at].sum(), logits.argmax(-1) == target, weights[at]


@torch.no_grad()
def report(core: LlamaForCausalLM, batches: Batches, dtype: torch.dtype) -> dict[str, float]:
    """Share of fully weighted tokens predicted right, per kind of document, on documents never trained on."""
    core.eval()
    out = {}
    for kind in ("thing_block", "scene_block", "sign_block", "facts", "episode"):
        pen, hits, n = Pen(f"report {kind}"), 0, 0
        docs = [getattr(pen, kind)() for _ in range(48)]
        for doc in docs:
            ids, weights = batches.encode(doc)
            x, w = torch.tensor([ids]), torch.tensor(weights[1:])
            with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
                told = core(input_ids=x).logits[0, :-1].argmax(-1)
            good = (told == x[0, 1:])[w >= 0.99]
            hits, n = hits + int(good.sum()), n + len(good)
        out[kind] = hits / max(1, n)
    core.train()
    return out


@torch.no_grad()
def binds(core: LlamaForCausalLM, batches: Batches, hardness: float, seed: int, dtype: torch.dtype) -> float:
    """Share of new names whose first token is right, in episodes of this hardness."""
    core.eval()
    pen, hits, n = Pen(f"binds {seed}", hardness), 0, 0
    for _ in range(24):
        ids, weights = batches.encode(pen.glossary() if hardness < 0 else pen.episode())
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            told = core(input_ids=torch.tensor([ids])).logits[0].argmax(-1).tolist()
        first = [t for t in range(1, len(ids)) if weights[t] >= 0.99 > weights[t - 1]]
        hits, n = hits + sum(told[t - 1] == ids[t] for t in first), n + len(first)
    core.train()
    return hits / max(1, n)


def optimisers(core: LlamaForCausalLM, peak: float) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the matrices, AdamW for embeddings and norms."""
    matrices = [
        p for n, p in core.named_parameters() if p.ndim == 2 and "embed" not in n and "lm_head" not in n
    ]
    rest = [p for p in core.parameters() if all(p is not m for m in matrices)]
    return [
        torch.optim.Muon(matrices, lr=peak, weight_decay=0.05, momentum=0.95),
        torch.optim.AdamW(rest, lr=peak * 0.25, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def train_core(
    data: Path,
    tokenizer: PreTrainedTokenizerFast,
    out: Path,
    *,
    steps: int,
    peak: float,
    seed: int,
    dtype: torch.dtype,
    rows: int = 12,
    length: int = 384,
    every: int = 200,
) -> None:
    """Train `steps` steps of rows x length tokens. `out`/state.pt resumes it, `out`/core is the result.

    First come lists of keys and their new names, then episodes that are plain copies of one or two shots;
    they harden whenever the core has mastered them (self-paced, Bengio et al. 2009). Without that a small
    core stays on a plateau where it neither copies nor compares.
    """
    torch.manual_seed(seed)
    core = new_core(tokenizer).train()
    batches = Batches(tokenizer, real_text(data), seed=seed, rows=rows, length=length)
    opts = optimisers(core, peak)
    state, start, hardness = out / "state.pt", 0, -0.2
    out.mkdir(parents=True, exist_ok=True)
    if state.exists():
        kept = torch.load(state, weights_only=True)
        core.load_state_dict(kept["core"])
        for opt, saved in zip(opts, kept["optimisers"], strict=True):
            opt.load_state_dict(saved)
        start, hardness = kept["step"], kept["hardness"]
    began, smooth = time.time(), 0.0
    for step in range(start, steps):
        share = step / steps
        factor = min(1.0, (step + 1) / max(1, steps // 40)) * min(1.0, (1 - share) / 0.4 + 0.01)
        for opt, lr in zip(opts, (peak, peak * 0.25), strict=True):
            opt.param_groups[0]["lr"] = lr * factor
        batch = batches.batch(step, hardness)
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            loss, _, _ = weighted_loss(core, batch)
        for opt in opts:
            opt.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(core.parameters(), 1.0)
        for opt in opts:
            opt.step()
        smooth = 0.95 * smooth + 0.05 * loss.item() if smooth else loss.item()
        if (step + 1) % 25 == 0:
            pace = (time.time() - began) / (step + 1 - start)
            print(f"step {step + 1}/{steps}  {pace:.2f} s  loss {smooth:.4f}", flush=True)
        if (step + 1) % 50 == 0 and hardness < 1.0:
            bound = binds(core, batches, hardness, step, dtype)
            print(f"step {step + 1}  binds {bound:.3f} at hardness {hardness:.2f}", flush=True)
            hardness = min(1.0, hardness + 0.2) if bound > 0.75 else hardness
        if (step + 1) % every == 0 or step + 1 == steps:
            scores = report(core, batches, dtype)
            print(f"step {step + 1}  " + "  ".join(f"{k} {v:.3f}" for k, v in scores.items()), flush=True)
            kept = {"core": core.state_dict(), "optimisers": [o.state_dict() for o in opts]}
            kept |= {"step": step + 1, "hardness": hardness}
            torch.save(kept, state.with_suffix(".part"))
            state.with_suffix(".part").rename(state)
            (out / "report.json").write_text(json.dumps({"step": step + 1} | scores))
    core.eval().save_pretrained(out / "core")
    tokenizer.save_pretrained(out / "core")
