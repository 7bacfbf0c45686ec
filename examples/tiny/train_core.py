"""Stage `core`: a small Llama (Touvron et al. 2023) reads text, and only text; then it is frozen for ever."""

from __future__ import annotations

import json
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from corpus import VOCABULARY, Batches, Part, real_text
from spans import Doc
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


def fold(core: LlamaForCausalLM, part: Part, generator: torch.Generator) -> Tensor:
    """Input embeddings (B, T, d_core), folded words in their places."""
    table = core.get_input_embeddings()
    embeds = table(part.ids)
    if not len(part.at):
        return embeds  # type: ignore[no-any-return]
    sums = (table(part.words) * part.shares.unsqueeze(-1)).sum(1)  # (N, d_core)
    noise = torch.randn(sums.shape, generator=generator) / sums.shape[1] ** 0.5
    sums = sums + noise * (part.noise * sums.detach().norm(dim=1)).unsqueeze(-1)
    return embeds.index_put((part.at[:, 0], part.at[:, 1]), sums)  # type: ignore[no-any-return]


def loss_sum(core: LlamaForCausalLM, part: Part, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Weighted sum of the cross-entropy at the positions that count. Also the hits (B, T - 1), bool.

    Rows are padded at their end, so the causal mask alone is enough.
    """
    hidden = core.model(inputs_embeds=fold(core, part, generator), use_cache=False).last_hidden_state
    weights, target = part.weights[:, 1:], part.ids[:, 1:]
    at = weights > 0
    logits = core.lm_head(hidden[:, :-1][at]).float()  # (N, V)
    hits = torch.ones_like(at)
    hits[at] = logits.detach().argmax(-1) == target[at]
    return (F.cross_entropy(logits, target[at], reduction="none") * weights[at]).sum(), hits


@torch.no_grad()
def whole_answers(
    core: LlamaForCausalLM, batches: Batches, docs: list[Doc], dtype: torch.dtype
) -> tuple[int, int]:
    """How many answers (runs of fully weighted tokens) are right to their last token, and how many there
    are.
    """
    core.eval()
    right = n = 0
    for part in batches.parts([batches.encode(doc) for doc in docs]):
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            _, hits = loss_sum(core, part, torch.Generator().manual_seed(0))
        for line, weights in zip(hits.tolist(), part.weights[:, 1:].tolist(), strict=True):
            good: bool | None = None
            for hit, weight in zip([*line, True], [*weights, 0.0], strict=True):
                if weight >= 0.99:
                    good = hit and good is not False
                elif good is not None:
                    right, n, good = right + good, n + 1, None
    core.train()
    return right, n


def report(core: LlamaForCausalLM, batches: Batches, dtype: torch.dtype) -> dict[str, float]:
    """Share of whole answers right per kind of document, on documents never trained on."""
    out = {}
    for kind in ("thing_block", "scene_block", "sign_block"):
        for folded, mark in ((0.0, "told"), (1.0, "folded")):
            pen = Pen(f"report {kind}", folded=folded)
            right, n = whole_answers(core, batches, [getattr(pen, kind)() for _ in range(80)], dtype)
            out[f"{kind} {mark}"] = right / max(1, n)
    pen = Pen("report episode")
    right, n = whole_answers(core, batches, [pen.episode() for _ in range(40)], dtype)
    return out | {"episode": right / max(1, n)}


def binds(core: LlamaForCausalLM, batches: Batches, hardness: float, seed: int, dtype: torch.dtype) -> float:
    """Share of new names that are right in episodes (below 0: lists) of this hardness."""
    pen = Pen(f"binds {seed}", hardness)
    docs = [pen.glossary() if hardness < 0 else pen.episode() for _ in range(24)]
    right, n = whole_answers(core, batches, docs, dtype)
    return right / max(1, n)


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


def factor(step: int, steps: int) -> float:
    """The learning rate's share of its peak: a short warm-up, flat, then straight down from 60 % on."""
    return min(1.0, (step + 1) / max(1, steps // 40)) * min(1.0, (1 - step / steps) / 0.4 + 0.01)


def train_core(
    data: Path,
    tokenizer: PreTrainedTokenizerFast,
    out: Path,
    *,
    rounds: tuple[tuple[int, float], ...],
    seed: int,
    dtype: torch.dtype,
    tokens: int = 4608,
    every: int = 200,
) -> None:
    """Train in rounds of (steps of `tokens` tokens, peak rate), the rate starting anew in each round.

    `out`/state.pt resumes it, `out`/core is the result. First come lists of keys and their new names, then
    episodes that are plain copies of one or two shots; they harden whenever the core has mastered them
    (self-paced, Bengio et al. 2009). Without that a small core stays on a plateau where it neither copies
    nor compares.
    """
    torch.manual_seed(seed)
    core = new_core(tokenizer).train()
    batches = Batches(tokenizer, real_text(data), seed=seed, tokens=tokens)
    opts = optimisers(core, rounds[0][1])
    state, start, hardness = out / "state.pt", 0, -0.2
    out.mkdir(parents=True, exist_ok=True)
    if state.exists():
        kept = torch.load(state, weights_only=True)
        core.load_state_dict(kept["core"])
        for opt, saved in zip(opts, kept["optimisers"], strict=True):
            opt.load_state_dict(saved)
        start, hardness = kept["step"], kept["hardness"]
    plan = [peak * factor(step, steps) for steps, peak in rounds for step in range(steps)]
    began, smooth = time.time(), 0.0
    for step in range(start, len(plan)):
        for opt, share in zip(opts, (1.0, 0.25), strict=True):
            opt.param_groups[0]["lr"] = share * plan[step]
            opt.zero_grad(set_to_none=True)
        parts = batches.batch(step, hardness)
        weight = sum(float(part.weights[:, 1:].sum()) for part in parts)
        generator, lost = torch.Generator().manual_seed(seed * 1_000_003 + step), 0.0
        for part in parts:
            with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
                loss = loss_sum(core, part, generator)[0] / weight
            loss.backward()  # type: ignore[no-untyped-call]
            lost += loss.item()
        nn.utils.clip_grad_norm_(core.parameters(), 1.0)
        for opt in opts:
            opt.step()
        smooth = 0.95 * smooth + 0.05 * lost if smooth else lost
        if (step + 1) % 25 == 0:
            pace = (time.time() - began) / (step + 1 - start)
            print(f"step {step + 1}/{len(plan)}  {pace:.2f} s  loss {smooth:.4f}", flush=True)
        if (step + 1) % 50 == 0 and hardness < 1.0:
            bound = binds(core, batches, hardness, step, dtype)
            print(f"step {step + 1}  binds {bound:.3f} at hardness {hardness:.2f}", flush=True)
            hardness = min(1.0, hardness + 0.2) if bound > 0.75 else hardness
        if (step + 1) % every == 0 or step + 1 == len(plan):
            scores = report(core, batches, dtype)
            print(f"step {step + 1}  " + "  ".join(f"{k} {v:.3f}" for k, v in scores.items()), flush=True)
            kept = {"core": core.state_dict(), "optimisers": [o.state_dict() for o in opts]}
            kept |= {"step": step + 1, "hardness": hardness}
            torch.save(kept, state.with_suffix(".part"))
            state.with_suffix(".part").rename(state)
            (out / "report.json").write_text(json.dumps({"step": step + 1} | scores))
    core.eval().save_pretrained(out / "core")
    tokenizer.save_pretrained(out / "core")
