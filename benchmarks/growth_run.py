"""One size of the growth benchmark, in a process of its own; prints what it measured as JSON.

python -m benchmarks.growth_run fill FILE.parquet CACHE    made-up features for every picture
python -m benchmarks.growth_run train FILE.parquet CACHE   a fixed number of steps on them
python -m benchmarks.growth_run encode FILE.parquet CACHE  every picture through the encoder
"""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmagent.agent import Agent
    from mmagent.data import LabelledSet
    from mmagent.feature_cache import FeatureCache

JUDGED = 32  # validation rows, the same number at every size
PUT = 256  # made-up features written at a time


def main() -> None:
    """Do one of them."""
    parser = ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("fill", "train", "encode"))
    parser.add_argument("data", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--bundle", default="tiny")
    parser.add_argument("--steps", type=int, default=60)
    given = parser.parse_args()
    from mmagent.agent import Agent
    from mmagent.data import read_labelled
    from mmagent.feature_cache import FeatureCache

    agent = Agent.load(given.bundle, device="cpu", dtype="float32")
    began = time.perf_counter()
    labelled = read_labelled(given.data, agent.plugins.modalities)
    told = {"reading": time.perf_counter() - began, "rows": len(labelled)}
    cache = FeatureCache(given.cache)
    if given.what == "fill":
        fill(agent, labelled, cache)
    elif given.what == "encode":
        told |= encode(agent, labelled, cache)
    else:
        told |= train(agent, labelled, cache, given.steps)
    print(json.dumps(told))


def fill(agent: Agent, labelled: LabelledSet, cache: FeatureCache) -> None:
    """Put features of the encoder's shape into the cache, so that training needs no encoding."""
    import torch

    from mmagent.feature_cache import FeatureKey, content_of
    from mmagent.modality import Features

    reader, encoder = agent.encoder("image")
    sources = [one.media["image"][0] for one in labelled]
    like = encoder.encode([reader.load(sources[0])])
    torch.manual_seed(0)
    with cache:
        for start in range(0, len(sources), PUT):
            keys = [FeatureKey(content_of(one, reader), encoder.id) for one in sources[start : start + PUT]]
            values = torch.randn(len(keys), *like.values.shape[1:])
            mask = torch.ones(values.shape[:2], dtype=torch.bool)
            cache.put_many(keys, Features(values, mask, values.mean(1)))


def encode(agent: Agent, labelled: LabelledSet, cache: FeatureCache) -> dict[str, Any]:
    """Every picture through the encoder into the cache."""
    from mmagent.feature_cache import encode_cached

    reader, encoder = agent.encoder("image")
    sources = [one.media["image"][0] for one in labelled]
    wall, cpu = time.perf_counter(), time.process_time()
    encode_cached(reader, encoder, sources, cache)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"rate": len(sources) / wall, "cpu rate": len(sources) / cpu}


def train(agent: Agent, labelled: LabelledSet, cache: FeatureCache, steps: int) -> dict[str, Any]:
    """Prepare as `mmagent train` does, and take so many steps on what the cache has."""
    from mmagent.training.loop import fine_tune
    from mmagent.training.order import Order
    from mmagent.training.run import prepare
    from mmagent.training.settings import TrainSettings

    settings = TrainSettings(adapter="prefix", keep=False, patience=0, validations=1)
    began = time.perf_counter()
    prepared = prepare(labelled, agent, settings, cache=cache)
    ready = time.perf_counter()
    task = replace(prepared.task, validation=prepared.task.validation[:JUDGED])
    order = Order([len(row) for row in task.train], settings.batch_size, settings.seed)
    settings = replace(settings, epochs=steps / order.steps_per_epoch)
    marks: list[tuple[float, float]] = []
    fine_tune(
        task,
        prepared.adapter,
        settings,
        cache.directory / "states",
        on_step=lambda *told: marks.append((time.perf_counter(), time.process_time())),
    )
    taken = len(marks) - 2  # the first step warms up, and the last one is told after the validation
    rows = sum(len(order.rows(step)) for step in range(1, 1 + taken))
    wall, cpu = (rows / (last - first) for first, last in zip(marks[0], marks[-2], strict=True))
    return {"preparing": ready - began, "rate": wall, "cpu rate": cpu}


if __name__ == "__main__":
    sys.exit(main())
