"""Tokens per second of ``Core.generate`` against transformers' own ``generate``, warm, on the same inputs.

Both write the same number of tokens, greedily, and must write the same ones. Ours starts from text and a
prefix and ends in text; the peer is handed the finished input embeddings and stops at ids.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmarks.measure import Figure, Run, demand_equal, in_turns, script, timed

if TYPE_CHECKING:
    from mmagent.core import Core, Soft

LIMIT = 0.95
N_SOFT = 24
QUESTIONS = (
    "What is this?",
    "What colour is the thing in the picture?",
    "Is it large?",
    "How many are there?",
)


def measure(given: Namespace) -> list[Figure]:
    """One prompt by itself, then a batch of prompts of unlike lengths."""
    core = _core(given)
    sizes = ((1, 8), (3, 4)) if given.quick else ((1, 128), (16, 64))
    return [_figure(core, n_prompts, n_new, given) for n_prompts, n_new in sizes]


def _core(given: Namespace) -> Core:
    """The bundle's core, with no token that ends an answer."""
    from mmagent.bundle import Bundle, find_bundle
    from mmagent.core import Core
    from mmagent.plugins import load_plugins

    bundle = Bundle.open(find_bundle(given.bundle, load_plugins().bundles))
    core = Core.load(bundle.core, dtype=given.dtype)
    core.eos = frozenset()
    core.model.generation_config.eos_token_id = None
    return core


def _figure(core: Core, n_prompts: int, n_new: int, given: Namespace) -> Figure:
    import torch

    prompts = [_prompt(core, at) for at in range(n_prompts)]
    inputs = core.assemble(prompts)

    def ours() -> Run[list[list[int]]]:
        return timed(lambda: [one.token_ids for one in core.generate(prompts, max_tokens=n_new)])

    def bare() -> list[list[int]]:
        with torch.no_grad():
            ids = core.model.generate(
                inputs_embeds=inputs.embeds,
                attention_mask=inputs.attention_mask,
                max_new_tokens=n_new,
                do_sample=False,
                pad_token_id=0,
            )
        rows: list[list[int]] = ids.tolist()
        return rows

    pairs = in_turns(ours, lambda: timed(bare), given, usual=9)
    demand_equal(pairs.ours[0].result, pairs.peer[0].result, f"the tokens of {n_prompts} answers")
    demand_equal([len(row) for row in pairs.ours[0].result], [n_new] * n_prompts, "the number of tokens")
    seconds = pairs.medians(lambda one: one.seconds)
    rate, bare_rate = (f"{n_prompts * n_new / one:.0f} tokens/s" for one in seconds)
    count = "one prompt" if n_prompts == 1 else f"{n_prompts} prompts at once"
    return Figure(
        f"warm generation, {count}, {n_new} tokens each",
        "bare `model.generate`",
        at_least=True,
        limit=LIMIT,
        ratios=pairs.ratios(lambda one: one.seconds, speed=True),
        cpu=pairs.ratios(lambda one: one.cpu, speed=True),
        ours=rate,
        theirs=bare_rate,
        about={"dtype": str(core.dtype).removeprefix("torch.")},
    )


def _prompt(core: Core, at: int) -> list[str | Soft]:
    """A picture's place in front of a question; the prefix is of the size of word embeddings."""
    import torch

    from mmagent.core import Soft

    generator = torch.Generator().manual_seed(at)
    scale = float(core.embed.weight.detach().float().std())
    embeds = scale * torch.randn(N_SOFT, core.d_core, generator=generator)
    question = QUESTIONS[at % len(QUESTIONS)]
    return ["Picture:", Soft(embeds.to(core.device), f"drawn-{at}"), f"\nQuestion: {question}\nAnswer:"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as ``python -m benchmarks.warm_generate``."""
    return script(__doc__ or "", measure, arguments)


if __name__ == "__main__":
    sys.exit(main())
