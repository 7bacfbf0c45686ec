"""Stage `prefix`: the adapter learns to carry what the encoder sees into the frozen core, from captions
alone.

Frozen's objective (Tsimpoukelli et al. 2021, eq. 3): the core's own next-token loss on the caption,
gradients flow through the core into the prefix, and no weight of the core moves. Here the encoder has been
trained before and rests too, so that its features are computed once. Before that the prefix is started where
the core can read it: near the folded words of `soft.py` (least squares, no core involved).
"""

from __future__ import annotations

import json
import math
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from captions import pick
from corpus import Batches
from soft import written
from torch import Tensor, nn
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

Piece = str | tuple[str, int]  # text, or the picture (source, row)


@dataclass
class Row:
    """A prompt of text and pictures, and the answer that should follow it."""

    prompt: list[Piece]
    answer: str


class Kept:
    """The features written by stage `look`, one source after the other in memory."""

    def __init__(self, folder: Path, sources: list[str] | None = None) -> None:
        self.grid: dict[str, Tensor] = {}
        self.pooled: dict[str, Tensor] = {}
        self.statements: dict[str, Any] = {}
        self.shows: dict[str, list[str]] = {}
        for path in sorted(folder.glob("*.npz")):
            if sources is None or path.stem in sources:
                with np.load(path) as file:
                    self.grid[path.stem] = torch.from_numpy(file["grid"])
                    self.pooled[path.stem] = torch.from_numpy(file["pooled"])
                told = json.loads(path.with_suffix(".json").read_text())
                self.shows[path.stem] = [line for line, _ in told]
                self.statements[path.stem] = [sentences for _, sentences in told]

    def add(self, name: str, grid: Tensor, pooled: Tensor) -> None:
        """Features of one more source, such as a development set."""
        self.grid[name], self.pooled[name] = grid.half(), pooled.half()

    def features(self, where: list[tuple[str, int]]) -> tuple[Tensor, Tensor]:
        """Grid (B, 9, d) and pooled (B, d), float32."""
        return (
            torch.stack([self.grid[s][i] for s, i in where]).float(),
            torch.stack([self.pooled[s][i] for s, i in where]).float(),
        )


class Through:
    """Looks through adapter and frozen core: rows to logits on their answers."""

    def __init__(
        self, core: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, adapter: nn.Module, kept: Kept
    ) -> None:
        self.core, self.adapter, self.kept = core.eval().requires_grad_(False), adapter, kept
        self.backend, self.tokenizer = tokenizer.backend_tokenizer, tokenizer

    def _ids(self, text: str) -> list[int]:
        return self.backend.encode(text, add_special_tokens=False).ids  # type: ignore[no-any-return]

    def answers(self, rows: list[Row], dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (N, V) and targets (N,) of all answer tokens, and the row (N,) each belongs to."""
        pictures = [p for row in rows for p in row.prompt if not isinstance(p, str)]
        d_core, k = self.core.config.hidden_size, int(self.adapter.n_tokens)  # type: ignore[arg-type]
        soft = torch.zeros(0, k, d_core)
        if pictures:
            grid, pooled = self.kept.features(pictures)
            soft = self.adapter(grid, torch.ones(grid.shape[:2], dtype=torch.bool), pooled)
        ids: list[list[int]] = []
        spots: list[list[int]] = []
        counted: list[tuple[int, int, int]] = []
        for r, row in enumerate(rows):
            line, spot = [self.tokenizer.bos_token_id], []
            for piece in row.prompt:
                if isinstance(piece, str):
                    line += self._ids(piece)
                else:
                    spot += range(len(line), len(line) + k)
                    line += [0] * k
            answer = self._ids(row.answer)
            counted += [(r, len(line) + j - 1, token) for j, token in enumerate(answer)]
            ids.append(line + answer), spots.append(spot)
        longest = max(len(line) for line in ids)
        x = torch.tensor([line + [0] * (longest - len(line)) for line in ids])
        embeds = self.core.get_input_embeddings()(x)
        where_row = torch.tensor([r for r, spot in enumerate(spots) for _ in spot], dtype=torch.long)
        where_col = torch.tensor([c for spot in spots for c in spot], dtype=torch.long)
        if len(where_row):
            embeds = embeds.index_put((where_row, where_col), soft.reshape(-1, d_core).to(embeds.dtype))
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            hidden = self.core.model(inputs_embeds=embeds, use_cache=False).last_hidden_state
            at = torch.tensor([[r, c] for r, c, _ in counted])
            logits = self.core.lm_head(hidden[at[:, 0], at[:, 1]])
        return logits.float(), torch.tensor([t for _, _, t in counted]), at[:, 0]

    @torch.no_grad()
    def exact(self, rows: list[Row], dtype: torch.dtype, batch: int = 64) -> list[bool]:
        """Per row whether greedy decoding gives the answer to the last token (every token the likeliest)."""
        self.adapter.eval()
        out: list[bool] = []
        for start in range(0, len(rows), batch):
            part = rows[start : start + batch]
            logits, target, owner = self.answers(part, dtype)
            wrong = torch.zeros(len(part)).index_add(0, owner, (logits.argmax(-1) != target).float())
            out += (wrong == 0).tolist()
        self.adapter.train()
        return out


SHARE = {
    "cifar10": 0.30,
    "caltech101": 0.22,
    "scene": 0.26,
    "easy_vqa": 0.08,
    "mnist": 0.05,
    "omniglot": 0.03,
    "made": 0.04,
    "twemoji": 0.02,
}


class Folded:
    """The positions that tell each kept picture, as the core's own embeddings: what a prefix starts from."""

    def __init__(self, through: Through) -> None:
        self.table = through.core.get_input_embeddings().weight.detach()
        self.spread = Batches(through.tokenizer, [], seed=0, tokens=0).spread
        self.known: dict[str, Tensor] = {}

    def __call__(self, lines: list[str]) -> Tensor:
        """(B, N_SOFT, d_core) for B lines of `soft.written`."""
        for line in lines:
            if line not in self.known:
                bags = [self.spread(words) for words in written(*line.split("|", 1)).bags]
                self.known[line] = torch.stack(
                    [torch.tensor([*b.values()]) @ self.table[torch.tensor([*b])] for b in bags]
                ).half()
        return torch.stack([self.known[line] for line in lines]).float()


def warm_start(through: Through, *, steps: int, batch: int, peak: float, seed: int) -> None:
    """Least squares from features to folded words, relative to the words' own size: no core is run."""
    prefix, kept, folded = through.adapter.prefix, through.kept, Folded(through)
    assert isinstance(prefix, nn.Module)
    sources = [s for s in SHARE if s in kept.shows]
    optimiser = torch.optim.AdamW(prefix.parameters(), lr=peak, betas=(0.9, 0.98), weight_decay=0.05)
    unit = folded([kept.shows[s][0] for s in sources]).square().sum(-1).mean()
    prefix.train()
    smooth = 1.0
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate(peak, step, steps)
        rng = random.Random(f"warm {seed} {step}")
        where = [
            (s, rng.randrange(len(kept.shows[s])))
            for s in rng.choices(sources, weights=[SHARE[s] for s in sources], k=batch)
        ]
        grid, pooled = kept.features(where)
        told = prefix(grid, torch.ones(grid.shape[:2], dtype=torch.bool), pooled)
        apart = (told - folded([kept.shows[s][i] for s, i in where])).square().sum(-1) / unit
        loss = apart[:, 0].mean() + apart[:, 1:].mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        smooth = 0.98 * smooth + 0.02 * loss.item()
        if (step + 1) % 200 == 0:
            print(f"warm start {step + 1}/{steps}  loss {smooth:.4f}", flush=True)


def rate(peak: float, step: int, steps: int) -> float:
    """Learning rate: a warm-up over a twentieth of the steps, then a cosine."""
    falling = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps))
    return peak * min(1.0, (step + 1) / max(1, steps // 20)) * falling


def caption_row(kept: Kept, rng: random.Random) -> Row:
    """A picture and its sentence, now and then after another picture and its sentence."""
    prompt: list[Piece] = []
    sources = [s for s in SHARE if s in kept.statements]
    blocks = 2 if rng.random() < 0.15 else 1
    answer = ""
    for i in range(blocks):
        source = rng.choices(sources, weights=[SHARE[s] for s in sources])[0]
        row = rng.randrange(len(kept.statements[source]))
        lead, answer = pick(kept.statements[source][row], rng)
        prompt += ["Picture:", (source, row), f"\n{lead}"]
        if i + 1 < blocks:
            prompt.append(f"{answer}\n\n")
    return Row(prompt, f"{answer}\n")


def train_prefix(
    through: Through,
    out: Path,
    *,
    steps: int,
    batch: int,
    peak: float,
    seed: int,
    dtype: torch.dtype,
    check: Any = None,
    every: int = 200,
    weight_decay: float = 0.05,
) -> None:
    """Train the adapter inside `through` for `steps` steps and keep its state in `out`/prefix.pt
    (resumable).
    """
    adapter, kept = through.adapter, through.kept
    torch.manual_seed(seed)
    trained = [p for p in adapter.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=peak, betas=(0.9, 0.98), weight_decay=weight_decay)
    average = torch.optim.swa_utils.AveragedModel(
        adapter, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99)
    )
    state, start = out / "prefix_state.pt", 0
    out.mkdir(parents=True, exist_ok=True)
    if state.exists():
        saved = torch.load(state, weights_only=True)
        adapter.load_state_dict(saved["adapter"]), optimiser.load_state_dict(saved["optimiser"])
        average.load_state_dict(saved["average"])
        start = saved["step"]
    began, smooth = time.time(), 0.0
    adapter.train()
    for step in range(start, steps):
        for group in optimiser.param_groups:
            group["lr"] = rate(peak, step, steps)
        rng = random.Random(f"{seed} {step}")
        logits, target, _ = through.answers([caption_row(kept, rng) for _ in range(batch)], dtype)
        loss = F.cross_entropy(logits, target)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        average.update_parameters(adapter)
        smooth = 0.95 * smooth + 0.05 * loss.item() if smooth else loss.item()
        if (step + 1) % 50 == 0:
            pace = (time.time() - began) / (step + 1 - start)
            print(f"step {step + 1}/{steps}  {pace:.2f} s  loss {smooth:.4f}", flush=True)
        if (step + 1) % every == 0 or step + 1 == steps:
            saved = {
                "adapter": adapter.state_dict(),
                "average": average.state_dict(),
                "optimiser": optimiser.state_dict(),
                "step": step + 1,
            }
            torch.save(saved, state.with_suffix(".part"))
            state.with_suffix(".part").rename(state)
            if check is not None:
                print(f"step {step + 1}  {check()}", flush=True)
    adapter.load_state_dict(average.module.state_dict())
