"""Train what makes a frozen core say words it never read: the adapter family `spelling`, on texts alone.

    python examples/senses/train_table_spelling.py --data DATA --out spelling.safetensors --minutes 4

DATA is the folder of the data sets (`wtq` in it). Texts are cells of the training tables and numbers; the
questions in the prompts are of the training part, each beside a text that has nothing to do with it. Run it
again to go on where it stopped. What is printed at the end is measured on cells of the dev tables.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path
from typing import Any

import torch
from wtq import Wtq

from mmagent.agent import Agent
from mmagent.core import Soft
from mmagent.core.assemble import read, read_continuation, spell
from mmagent.core.score import target_losses
from mmagent.tensors import read_tensors, write_tensors
from mmagent_adapters.spelling import Spelling, build

BATCH = 32
RATE = 3e-3
LEFT = 0.15  # share of texts that are described ("Caption:") and not asked about


def main() -> None:
    """Train for some minutes, write, measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=RATE)
    given = parser.parse_args()
    core = Agent.load("tiny", dtype="float32").core
    adapter = build({}, 0, core.d_core)
    begun = given.out.exists()
    if begun:
        adapter.load_state_dict(read_tensors(given.out))
    train(core, adapter, texts(Wtq(given.data), "train"), given, warm=not begun)
    write_tensors(given.out, {name: tensor.contiguous() for name, tensor in adapter.state_dict().items()})
    right = measure(core, adapter, texts(Wtq(given.data), "dev"))
    print(f"said right on cells of unseen tables: {100 * right:.1f} %")


def texts(data: Wtq, part: str) -> tuple[list[str], list[str]]:
    """Texts to be said and questions to be heard, of one part."""
    cells = sorted(
        {cell for name in data.tables(part) for row in data.rows(name)[1:] for cell in row if cell}
    )
    questions = sorted({row["question"] for row in data.questions(part)})
    return [cell for cell in cells if len(cell) <= 40], questions


def drawn(pools: tuple[list[str], list[str]], rng: random.Random) -> tuple[str, str]:
    """A text and what is asked beside it."""
    cells, questions = pools
    chance = rng.random()
    if chance < 0.25:
        text = str(
            rng.choice(
                (rng.randrange(1, 30), rng.randrange(1, 30), rng.randrange(3000), rng.randrange(10**6))
            )
        )
    elif chance < 0.32:
        text = ", ".join(rng.sample(cells, 2))
    else:
        text = rng.choice(cells)
    return text, rng.choice(questions)


def prompt(soft: Soft, question: str | None) -> list[str | Soft]:
    """What `ask` makes of it."""
    return ["Table:", soft, "\nCaption:" if question is None else f"\nQuestion: {question}\nAnswer:"]


def train(core: Any, adapter: Spelling, pools: Any, given: argparse.Namespace, *, warm: bool) -> None:
    """Adam for so many minutes of processor time; the rate falls to a tenth in a cosine."""
    rng = random.Random(f"{given.seed} {time.time_ns()}")
    optimiser = torch.optim.Adam(adapter.parameters(), lr=given.rate)
    start, step, shown = time.process_time(), 0, 0.0
    while (done := (time.process_time() - start) / (60 * given.minutes)) < 1:
        rate = given.rate * (0.1 + 0.9 * 0.5 * (1 + torch.cos(torch.tensor(3.1416 * done)).item()))
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 20)
        pairs = [drawn(pools, rng) for _ in range(8 * BATCH)]
        pairs = [pair for pair in pairs if len(core.tokens.follow(f" {pair[0]}")) <= 16 + 8 * (not warm)]
        pairs.sort(key=lambda pair: len(pair[0]) + len(pair[1]))
        at = rng.randrange(len(pairs) - BATCH)
        rows, targets = [], []
        for text, question in pairs[at : at + BATCH]:
            words = spell(core, f" {text}")[None]
            soft = Soft(adapter(words, torch.ones(1, words.shape[1], dtype=torch.bool), words)[0], "x")
            rows.append(read(core, prompt(soft, None if rng.random() < LEFT else question)))
            targets.append([*read_continuation(core, rows[-1], text), *core.tokens.follow("\n")[:1]])
        loss = target_losses(core, rows, targets).sum() / sum(map(len, targets))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(adapter.parameters(), 1.0)
        optimiser.step()
        shown = loss.item() if not step else 0.95 * shown + 0.05 * loss.item()
        step += 1
        if step % 25 == 0:
            print(f"step {step}, {time.process_time() - start:.0f} s, loss {shown:.3f}", flush=True)


@torch.no_grad()
def measure(core: Any, adapter: Spelling, pools: Any, n: int = 160) -> float:
    """Share of texts said exactly."""
    rng = random.Random(1)
    pairs = [drawn(pools, rng) for _ in range(n)]
    prompts = []
    for text, question in pairs:
        words = spell(core, f" {text}")[None]
        soft = adapter(words, torch.ones(1, words.shape[1], dtype=torch.bool), words)[0]
        prompts.append(prompt(Soft.of(soft), question))
    said = []
    for at in range(0, n, 40):
        said += core.generate(prompts[at : at + 40], max_tokens=32, stop=("\n",))
    wrong = [(text, one.text) for (text, _), one in zip(pairs, said, strict=True) if one.text.strip() != text]
    print("wrong:", wrong[:12])
    return 1 - len(wrong) / n


if __name__ == "__main__":
    main()
