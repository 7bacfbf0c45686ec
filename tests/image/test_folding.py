"""Batch norms go into the convolutions before them, and no feature notices."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from transformers import MobileNetV2Config, MobileNetV2Model, ResNetConfig, ResNetModel

from mmagent_image.folding import fold_batch_norms, rectify_in_place


def lived_in(model: nn.Module) -> nn.Module:
    """With batch norms as training leaves them, so that folding them away would show."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.bias.data):
                tensor.uniform_(-0.5, 0.5)
            for tensor in (module.running_var, module.weight.data):
                tensor.uniform_(0.5, 1.5)
    return model.eval().requires_grad_(False)


def norms(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


@pytest.fixture(params=["resnet", "mobilenet"])
def model(request: pytest.FixtureRequest) -> nn.Module:
    if request.param == "resnet":
        config = ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16], depths=[1, 2], layer_type="basic", num_channels=3
        )
        return lived_in(ResNetModel(config))
    return lived_in(MobileNetV2Model(MobileNetV2Config(depth_multiplier=0.25, image_size=32)))


def test_all_batch_norms_go_and_the_features_stay(model: nn.Module) -> None:
    pictures = torch.randn(3, 3, 40, 40)
    before, there = model(pixel_values=pictures), norms(model)
    assert fold_batch_norms(model, {"pixel_values": torch.randn(1, 3, 32, 32)}) == there > 0
    after = model(pixel_values=pictures)
    assert norms(model) == 0
    torch.testing.assert_close(after.last_hidden_state, before.last_hidden_state, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(after.pooler_output, before.pooler_output, rtol=1e-4, atol=1e-4)
    assert not any(parameter.requires_grad for parameter in model.parameters())


class Forked(nn.Module):
    """One convolution whose output is read twice."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, pixel_values: Tensor) -> SimpleNamespace:
        raw = self.convolution(pixel_values)
        return SimpleNamespace(last_hidden_state=raw + self.norm(raw))


def test_where_folding_would_change_the_features_nothing_is_folded() -> None:
    model = lived_in(Forked())
    pictures = torch.randn(2, 3, 8, 8)
    weight, before = model.convolution.weight, model(pictures).last_hidden_state
    assert fold_batch_norms(model, {"pixel_values": pictures}) == 0
    assert norms(model) == 1
    assert model.convolution.weight is weight
    assert torch.equal(model(pictures).last_hidden_state, before)


def test_rectifiers_overwrite_what_they_alone_read(model: nn.Module) -> None:
    pictures = torch.randn(3, 3, 40, 40)
    before = model(pixel_values=pictures)
    rectifiers = [one for one in model.modules() if isinstance(one, nn.ReLU | nn.ReLU6)]
    assert rectify_in_place(model, {"pixel_values": torch.randn(1, 3, 32, 32)}) == len(rectifiers) > 0
    assert all(one.inplace for one in rectifiers)
    after = model(pixel_values=pictures)
    assert torch.equal(after.last_hidden_state, before.last_hidden_state)
    assert torch.equal(after.pooler_output, before.pooler_output)


class Remembering(nn.Module):
    """What its rectifier reads is read again."""

    def __init__(self) -> None:
        super().__init__()
        self.rectifier = nn.ReLU()

    def forward(self, pixel_values: Tensor) -> SimpleNamespace:
        raw = 2 * pixel_values
        return SimpleNamespace(last_hidden_state=self.rectifier(raw) + raw)


def test_where_another_reads_what_would_be_overwritten_nothing_is() -> None:
    model = Remembering().eval()
    pictures = torch.randn(2, 3, 8, 8)
    before = model(pictures).last_hidden_state
    assert rectify_in_place(model, {"pixel_values": pictures}) == 0
    assert not model.rectifier.inplace
    assert torch.equal(model(pictures).last_hidden_state, before)


def test_half_precision_is_left_alone(model: nn.Module) -> None:
    there = norms(model)
    assert fold_batch_norms(model.to(torch.bfloat16), {"pixel_values": torch.randn(1, 3, 32, 32)}) == 0
    assert norms(model) == there


def test_an_encoder_is_known_by_the_weights_it_was_loaded_with(model: nn.Module, tmp_path: Path) -> None:
    from transformers import AutoModel, BitImageProcessorPil

    from mmagent_image.encoder import ImageEncoder

    model.save_pretrained(tmp_path)
    processor = BitImageProcessorPil(size={"height": 32, "width": 32}, do_center_crop=False)
    processor.save_pretrained(tmp_path)
    loaded = ImageEncoder.load(str(tmp_path), device=torch.device("cpu"), dtype=torch.float32)
    assert norms(loaded.model) == 0
    plain = AutoModel.from_pretrained(tmp_path)
    assert ImageEncoder(plain, loaded.processor).id == loaded.id
