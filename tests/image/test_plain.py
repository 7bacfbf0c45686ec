"""What a plain processor does, done without its detours: the very same numbers, or not at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from mmagent_image.plain import plain_form


def noise(width: int, height: int, seed: int) -> Image.Image:
    draw = np.random.default_rng(seed)
    return Image.fromarray(draw.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.1]},
        {"resample": 3, "size": {"height": 40, "width": 32}},
        {"do_normalize": False},
        {"rescale_factor": 1 / 127.5, "image_mean": [1.0, 1.0, 1.0], "image_std": [1.0, 1.0, 1.0]},
    ],
)
def test_a_plain_processor_is_found_out_to_the_last_bit(how: dict[str, Any]) -> None:
    processor = ViTImageProcessorPil(**{"size": {"height": 32, "width": 32}, **how})
    plain = plain_form(processor)
    assert plain is not None
    for pictures in ([noise(70, 50, 1), noise(70, 50, 2)], [noise(*plain.size, 3)], [noise(7, 9, 4)]):
        made = processor(images=pictures, return_tensors="pt")["pixel_values"]
        own = plain(pictures)
        assert torch.equal(own, made)
        assert own.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    "processor",
    [
        CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        ViTImageProcessorPil(size={"height": 32, "width": 32}, do_resize=False),
        ViTImageProcessorPil(size={"height": 8, "width": 8}),  # too small to show all levels at once
        object(),
    ],
    ids=["crops", "keeps sizes", "small", "none"],
)
def test_any_other_processor_is_left_as_it_is(processor: Any) -> None:
    assert plain_form(processor) is None
