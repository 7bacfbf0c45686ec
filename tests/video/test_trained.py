"""A bundle learns which way things move, and is asked about clips it has not seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmagent_video.reader import VideoReader

Make = Callable[..., Any]
WAYS = ("down", "left", "right", "up")
QUESTION = "what direction does the shape move?"


@pytest.fixture(scope="module")
def clips(moving: Make) -> Callable[..., tuple[Any, str]]:
    """A clip and its way, both by number: squares of other sizes, colours, speeds and places."""

    def made(at: int) -> tuple[Any, str]:
        rng = np.random.default_rng(at)
        way = WAYS[at % 4]
        start = int(rng.integers(12, 30)), int(rng.integers(12, 30))
        colour = tuple(rng.integers(0, 255, 3).tolist())
        side, step = int(rng.integers(8, 16)), int(rng.integers(1, 3))
        return moving(way, 8, size=(48, 48), side=side, step=step, colour=colour, start=start), way

    return made


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, clips: Make, animation: Make) -> Path:
    from mmagent_cli.app import main

    place = tmp_path_factory.mktemp("clips")
    for at in range(60):
        frames, way = clips(at)
        (place / "data" / way).mkdir(parents=True, exist_ok=True)
        (place / "data" / way / f"{at}.gif").write_bytes(animation(frames))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        options = ("--question", QUESTION, "--adapter", "memory", "--dtype", "float32")
        assert main(["train", "--data", str(place / "data"), "--out", str(place / "motion"), *options]) == 0
    return place / "motion"


def test_clips_never_seen_are_answered_in_any_container(
    trained: Path, clips: Make, film: Make, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from mmagent import Agent
    from mmagent.agent import Request
    from mmagent_cli.app import main

    agent = Agent.load(trained, dtype="float32")
    assert agent.bundle.senses["video"].encoder == "builtin"
    unseen = [clips(at) for at in range(1000, 1024)]
    asks = [Request(QUESTION, {"video": [{"frames": frames, "fps": 10}]}) for frames, _ in unseen]
    told = [getattr(answer, "text", answer) for answer in agent.ask_many(asks)]
    assert np.mean([text == way for text, (_, way) in zip(told, unseen, strict=True)]) > 0.85
    back = [Request(QUESTION, {"video": [{"frames": frames[::-1], "fps": 10}]}) for frames, _ in unseen]
    told = [getattr(answer, "text", answer) for answer in agent.ask_many(back)]
    assert np.mean([text == way for text, (_, way) in zip(told, unseen, strict=True)]) < 0.15

    (tmp_path / "clip.webm").write_bytes(film(unseen[0][0], "webm", "libvpx-vp9", options={"crf": "15"}))
    capsys.readouterr()
    assert main(["ask", QUESTION, "--video", str(tmp_path / "clip.webm"), "--bundle", str(trained)]) == 0
    assert capsys.readouterr().out.strip() == unseen[0][1]


def test_the_direction_of_real_clips_is_linear_in_the_features(shared_data: Path) -> None:
    pytest.importorskip("sklearn")
    import pyarrow.parquet as pq

    from mmagent.evaluation.probe import linear_probe

    reader = VideoReader()
    encoder = reader.load_encoder("builtin", device=torch.device("cpu"), dtype=torch.float32)

    def told(part: str, n: int) -> tuple[Any, list[str]]:
        rows = pq.read_table(shared_data / "easy_vqa_video" / f"{part}.parquet").slice(0, n).to_pylist()
        pooled = encoder.encode([reader.load(row["video"]) for row in rows]).pooled.numpy()
        return pooled, [row["answers"][row["questions"].index(QUESTION)] for row in rows]

    probe = linear_probe(*told("train", 120))
    pooled, ways = told("test", 80)
    said = [probe.labels[at] for at in (pooled @ probe.weight.T + probe.bias).argmax(1)]
    assert np.mean([one == way for one, way in zip(said, ways, strict=True)]) > 0.95
