"""One process of two that share a core, as a script: python sharded.py CORE OUT. The first tells all."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from mmagent.core import Core, Soft
from mmagent.training.precision import Passes
from mmagent.training.processes import joined, leave
from mmagent.training.sharding import shard


def main() -> None:
    torch.set_num_threads(1)
    with joined("cpu", sharded=True) as accelerator:
        assert accelerator is not None
        whole, core = (Core.load(sys.argv[1], device="cpu", dtype="float32") for _ in range(2))
        shard(core, accelerator, torch.device("cpu"))
        torch.manual_seed(accelerator.process_index)  # each process has rows of its own
        seen: dict[str, list[float]] = {"difference": [], "gradient": []}
        for passes in (Passes(), Passes(recompute=True)):
            soft = torch.randn(3, core.d_core, requires_grad=True)
            found = []
            for one in (whole, core):
                with passes.through(one):
                    loss = one.loss([["Picture: ", Soft(soft, "x"), " Answer:"]], ["yes"])
                found.append((loss.detach(), torch.autograd.grad(loss, soft)[0]))
            seen["difference"] += [float((a - b).abs().max()) for a, b in zip(*found, strict=True)]
            seen["gradient"].append(float(found[1][1].abs().max()))
        texts = [one.generate(["Question: what"], max_tokens=5)[0].text for one in (whole, core)]
        core.assert_frozen()
        same = core.fingerprint() == whole.fingerprint()
        parts = [p.to_local().numel() for p in core.model.model.layers.parameters()]
        share = sum(parts) / sum(p.numel() for p in whole.model.model.layers.parameters())
        if accelerator.is_main_process:
            told = {**seen, "texts": texts, "same": same, "share": share}
            Path(sys.argv[2]).write_text(json.dumps(told))


if __name__ == "__main__":
    main()
    leave(0)
