"""``python -m mmagent.conformance.probe ORDER``: samples read and encoded in a process of its own, as JSON.

ORDER is JSON with the modality, the place of its encoder and the files. What is printed: `id`, `fingerprints`
and `pooled` features; seconds of processor time for one input to be `read`, encoded `single` and `batched`
(`batch` inputs at once); and `memory`, the bytes by which reading and encoding raised the peak.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BATCH = 16


def main(order: dict[str, Any]) -> dict[str, Any]:
    """What the order asks for."""
    import torch

    from mmagent.plugins import load_plugins

    plugins = load_plugins()
    reader = plugins.resolve(plugins.modalities[order["modality"]].reader)()
    encoder = reader.load_encoder(order["encoder"], device=torch.device("cpu"), dtype=torch.float32)
    before = peak()
    raws, read = _timed(lambda: [reader.load(file) for file in order["files"]])
    encoder.encode(raws[:1])
    found, single = _timed(lambda: [encoder.encode([raw]) for raw in raws])
    batch = [raws[at % len(raws)] for at in range(BATCH)]
    _, batched = _timed(lambda: encoder.encode(batch))
    return {
        "id": encoder.id,
        "fingerprints": [reader.fingerprint(raw) for raw in raws],
        "pooled": [one.pooled[0].tolist() for one in found],
        "read": read / len(raws),
        "single": single / len(raws),
        "batched": batched / BATCH,
        "batch": BATCH,
        "memory": peak() - before,
    }


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.process_time()
    return work(), time.process_time() - start


def peak() -> int:
    """Bytes this process held at most so far; 0 where that cannot be known.

    Linux says so in /proc. Elsewhere it is the figure of `getrusage`, which on Linux begins with the peak of
    the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        lines = status.read_text(encoding="ascii", errors="replace").splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)
    try:
        import resource
    except ImportError:
        return 0
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
