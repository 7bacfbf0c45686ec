"""Vision models as frozen encoders: the shapes, batched = single, weights complete, never trained."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (
    AutoImageProcessor,
    AutoModel,
    AutoModelForImageClassification,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPVisionModel,
    ConvNextConfig,
    ConvNextImageProcessor,
    ConvNextModel,
    GPT2Config,
    GPT2Model,
    ResNetConfig,
    ResNetForImageClassification,
    ResNetModel,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
    ViTModel,
)

from mmagent.errors import UserError
from mmagent.modality import Features
from mmagent_image.encoder import ImageEncoder
from mmagent_image.reader import ImageReader

CPU, FLOAT = torch.device("cpu"), torch.float32
SQUARE = {"height": 32, "width": 32}
TOWER = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT = {**TOWER, "vocab_size": 40, "eos_token_id": 2, "bos_token_id": 1, "pad_token_id": 0}
SEEN = {**TOWER, "image_size": 32, "patch_size": 8}


def resnet_config() -> ResNetConfig:
    """A small net of the kind of the embedded encoder."""
    sizes: dict[str, Any] = {"hidden_sizes": [8, 16, 24], "depths": [1, 1, 1], "embedding_size": 8}
    return ResNetConfig(layer_type="basic", **sizes)


def make(kind: str) -> tuple[Any, Any]:
    """A small model with random weights and its processor."""
    torch.manual_seed(0)
    clip: dict[str, Any] = {"text_config": TEXT, "vision_config": SEEN}
    still = {"num_attention_heads": 2, "num_hidden_layers": 2, "hidden_size": 24, "intermediate_size": 32}
    vit = ViTConfig(**still, image_size=32, patch_size=8)
    convnext: dict[str, Any] = {"hidden_sizes": [8, 24], "depths": [1, 1], "num_stages": 2}
    makers: dict[str, Callable[[], tuple[Any, Any]]] = {
        "resnet": lambda: (ResNetModel(resnet_config()), ViTImageProcessor(size=SQUARE)),
        "resnet-classifier": lambda: (
            ResNetForImageClassification(resnet_config()),
            ViTImageProcessor(size=SQUARE),
        ),
        "convnext": lambda: (
            ConvNextModel(ConvNextConfig(**convnext)),
            ConvNextImageProcessor(size={"shortest_edge": 32}),
        ),
        "vit": lambda: (ViTModel(vit), ViTImageProcessor(size=SQUARE)),
        "vit-classifier": lambda: (ViTForImageClassification(vit), ViTImageProcessor(size=SQUARE)),
        "clip": lambda: (
            CLIPModel(CLIPConfig(**clip)),
            CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=SQUARE),
        ),
        "siglip": lambda: (SiglipModel(SiglipConfig(**clip)), SiglipImageProcessor(size=SQUARE)),
    }
    model, processor = makers[kind]()
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.uniform_(-0.1, 0.1)  # so that overwriting them would be seen
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    return model, processor


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Where a small model of a kind is saved, as any transformers checkpoint."""
    root = tmp_path_factory.mktemp("encoders")

    def saved(kind: str) -> Path:
        path = root / kind
        if not path.exists():
            model, processor = make(kind)
            model.save_pretrained(path)
            processor.save_pretrained(path)
        return path

    return saved


def open_encoder(path: Path, **options: Any) -> ImageEncoder:
    """The encoder as an agent gets it."""
    return ImageReader().load_encoder(str(path), **{"device": CPU, "dtype": FLOAT, **options})


def pictures(n: int, sizes: tuple[tuple[int, int], ...] = ((40, 30), (30, 50))) -> list[Image.Image]:
    """Pictures of noise in several sizes."""
    rng = np.random.default_rng(1)
    shapes = [sizes[i % len(sizes)] for i in range(n)]
    return [Image.fromarray(rng.integers(0, 255, (h, w, 3), dtype=np.uint8)) for w, h in shapes]


def checksum(encoder: ImageEncoder) -> str:
    """sha256 over every parameter and buffer."""
    state = encoder.model.state_dict()
    return hashlib.sha256(b"".join(state[name].numpy().tobytes() for name in sorted(state))).hexdigest()


def same(a: Features, b: Features, rows: slice = slice(None)) -> bool:
    """Whether b equals the given rows of a."""
    n = b.values.shape[1]
    return (
        torch.allclose(a.values[rows, :n], b.values, atol=1e-5)
        and not bool(a.mask[rows, n:].any())
        and torch.equal(a.mask[rows, :n], b.mask)
        and torch.allclose(a.pooled[rows], b.pooled, atol=1e-5)
    )


SHAPES = {
    "resnet": 4,  # 32 pixels, stride 16
    "resnet-classifier": 4,
    "convnext": 16,
    "vit": 17,  # 4 x 4 patches and the class token
    "vit-classifier": 17,
    "clip": 17,
    "siglip": 16,
}


@pytest.mark.parametrize(("kind", "n"), SHAPES.items())
def test_shapes_and_batched_equals_single(place: Callable[[str], Path], kind: str, n: int) -> None:
    encoder = open_encoder(place(kind))
    images = pictures(5, ((40, 40), (64, 64)))
    together = encoder.encode(images)
    d = encoder.d_encoder
    assert d == 24
    assert together.values.shape == (5, n, d)
    assert together.mask.shape == together.values.shape[:2]
    assert together.mask.dtype == torch.bool
    assert together.pooled.shape == (5, d)
    assert {together.values.dtype, together.pooled.dtype} == {torch.float32}
    for row, image in enumerate(images):
        assert same(together, encoder.encode([image]), slice(row, row + 1))
    assert not torch.allclose(together.pooled[0], together.pooled[1])


def test_a_map_is_read_row_by_row(place: Callable[[str], Path]) -> None:
    encoder = open_encoder(place("resnet"))
    image = pictures(1)[0]
    model = AutoModel.from_pretrained(place("resnet")).eval()
    inputs = encoder.processor(images=[image], return_tensors="pt")
    with torch.no_grad():
        output = model(**inputs)
    found = encoder.encode([image])
    height, width = output.last_hidden_state.shape[2:]
    assert found.values.shape[1] == height * width
    assert torch.allclose(found.values[0, 1], output.last_hidden_state[0, :, 0, 1], atol=1e-6)
    assert torch.allclose(found.values[0, width], output.last_hidden_state[0, :, 1, 0], atol=1e-6)
    assert torch.allclose(found.pooled, output.pooler_output.flatten(1), atol=1e-6)


def test_pictures_that_keep_their_size_are_padded_and_masked(place: Callable[[str], Path]) -> None:
    model, _ = make("resnet")
    encoder = ImageEncoder(model, ViTImageProcessor(do_resize=False))
    images = pictures(7, ((64, 64), (128, 64), (64, 128)))
    together = encoder.encode(images)
    assert together.mask.sum(1).unique().numel() == 2
    for row, image in enumerate(images):
        assert same(together, encoder.encode([image]), slice(row, row + 1))
    assert not bool(together.values[~together.mask].any())


def test_more_pictures_than_one_forward_pass_takes(
    place: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = open_encoder(place("resnet"))
    images = pictures(7)
    whole = encoder.encode(images)
    monkeypatch.setattr("mmagent_image.encoder.BATCH", 3)
    assert same(whole, encoder.encode(images))


def test_no_picture_gives_no_features(place: Callable[[str], Path]) -> None:
    found = open_encoder(place("resnet")).encode([])
    assert (found.values.shape, found.mask.shape, found.pooled.shape) == ((0, 0, 24), (0, 0), (0, 24))


def test_without_a_pooler_the_mean_stands_in(place: Callable[[str], Path]) -> None:
    found = open_encoder(place("vit-classifier")).encode(pictures(2))
    assert torch.allclose(found.pooled, found.values.mean(1), atol=1e-6)


@pytest.mark.parametrize("kind", ["resnet", "vit"])
def test_training_around_it_never_changes_the_encoder(place: Callable[[str], Path], kind: str) -> None:
    encoder = open_encoder(place(kind))
    assert not any(parameter.requires_grad for parameter in encoder.model.parameters())
    before, features = checksum(encoder), encoder.encode(pictures(4))
    head = torch.nn.Linear(encoder.d_encoder, 3)
    optimiser = torch.optim.SGD([*encoder.model.parameters(), *head.parameters()], lr=1.0, weight_decay=0.1)
    for _ in range(3):
        encoder.model.train()  # as a training loop over a larger module does
        with torch.enable_grad():
            found = encoder.encode(pictures(4))
            assert not found.pooled.requires_grad
            head(found.pooled).sum().backward()
            optimiser.step()
    assert checksum(encoder) == before
    assert same(encoder.encode(pictures(4)), features)
    assert head.weight.grad is not None


def test_half_of_clip_is_its_vision_model(place: Callable[[str], Path]) -> None:
    encoder = open_encoder(place("clip"))
    tower = CLIPVisionModel.from_pretrained(place("clip")).eval()
    image = pictures(1)[0]
    with torch.no_grad():
        wanted = tower(**encoder.processor(images=[image], return_tensors="pt"))
    assert torch.allclose(encoder.encode([image]).values, wanted.last_hidden_state, atol=1e-5)
    assert torch.allclose(encoder.encode([image]).pooled, wanted.pooler_output, atol=1e-5)


def test_the_id_follows_weights_and_transform(place: Callable[[str], Path], tmp_path: Path) -> None:
    wanted = open_encoder(place("resnet")).id
    moved = shutil.copytree(place("resnet"), tmp_path / "moved")
    assert open_encoder(moved).id == wanted
    tensors = load_file(moved / "model.safetensors")
    name = next(name for name in tensors if name.endswith("running_mean"))
    tensors[name] += 0.01
    save_file(tensors, moved / "model.safetensors", metadata={"format": "pt"})
    assert open_encoder(moved).id != wanted
    again = shutil.copytree(place("resnet"), tmp_path / "again")
    ViTImageProcessor(size={"height": 40, "width": 40}).save_pretrained(again)
    assert open_encoder(again).id != wanted


def test_features_are_float32_whatever_the_weights_are(place: Callable[[str], Path]) -> None:
    encoder = open_encoder(place("resnet"), dtype=torch.bfloat16)
    assert next(encoder.model.parameters()).dtype == torch.bfloat16
    found = encoder.encode(pictures(2))
    assert {found.values.dtype, found.pooled.dtype} == {torch.float32}
    assert torch.allclose(found.pooled, open_encoder(place("resnet")).encode(pictures(2)).pooled, atol=0.1)


def test_loading_is_silent(place: Callable[[str], Path], capfd: pytest.CaptureFixture[str]) -> None:
    path = place("resnet-classifier")
    capfd.readouterr()
    open_encoder(path)
    assert capfd.readouterr().err == ""


def broken(place: Path, tmp_path: Path) -> Path:
    """A copy of a checkpoint to be damaged."""
    return shutil.copytree(place, tmp_path / "broken")


def refusal(path: Path | str) -> str:
    """What is said about an encoder that cannot be used."""
    with pytest.raises(UserError) as caught:
        ImageReader().load_encoder(str(path), device=CPU, dtype=FLOAT)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def retensor(path: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Change the tensors of a checkpoint in place."""
    tensors = load_file(path / "model.safetensors")
    change(tensors)
    save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})


WEIGHT = "encoder.stages.0.layers.0.layer.0.convolution.weight"


def test_a_missing_weight_is_never_left_random(place: Callable[[str], Path], tmp_path: Path) -> None:
    path = broken(place("resnet"), tmp_path)
    retensor(path, lambda tensors: tensors.__delitem__(WEIGHT))
    message = refusal(path)
    assert "1 weights missing" in message
    assert WEIGHT in message


def test_a_renamed_weight(place: Callable[[str], Path], tmp_path: Path) -> None:
    path = broken(place("resnet"), tmp_path)
    retensor(path, lambda tensors: tensors.update({"encoder.other": tensors.pop(WEIGHT)}))
    assert "1 weights missing" in refusal(path)


def test_an_extra_weight_of_the_body(place: Callable[[str], Path], tmp_path: Path) -> None:
    for kind, name in (("resnet", "encoder.more"), ("resnet-classifier", "resnet.encoder.more")):
        path = broken(place(kind), tmp_path / kind)
        retensor(path, lambda tensors, name=name: tensors.update({name: torch.zeros(3)}))  # type: ignore[misc]
        message = refusal(path)
        assert "1 weights unexpected" in message
        assert "more" in message


def test_a_weight_of_another_shape(place: Callable[[str], Path], tmp_path: Path) -> None:
    path = broken(place("resnet"), tmp_path)
    retensor(path, lambda tensors: tensors.update({WEIGHT: torch.zeros(2, 8, 3, 3)}))
    assert "shape" in refusal(path)


def test_a_weight_file_that_was_cut_off(place: Callable[[str], Path], tmp_path: Path) -> None:
    path = broken(place("resnet"), tmp_path)
    file = path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    assert str(path) in refusal(path)


def test_pickled_weights_are_not_read(place: Callable[[str], Path], tmp_path: Path) -> None:
    path = broken(place("resnet"), tmp_path)
    torch.save(load_file(path / "model.safetensors"), path / "pytorch_model.bin")
    (path / "model.safetensors").unlink()
    assert "safetensors" in refusal(path)


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json"])
def test_an_incomplete_directory(place: Callable[[str], Path], tmp_path: Path, file: str) -> None:
    path = broken(place("resnet"), tmp_path)
    (path / file).unlink()
    assert file in refusal(path)


def test_no_directory_at_all(tmp_path: Path) -> None:
    assert "no such directory" in refusal(tmp_path / "nowhere")


def test_a_hub_id_while_the_hub_is_out_of_reach(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # the discard port, where nobody listens
    monkeypatch.setattr("mmagent.hub.getproxies", dict)
    started = time.monotonic()
    message = refusal("someone/no-such-model")
    assert "no such directory" in message
    assert "the hub cannot be reached" in message
    assert time.monotonic() - started < 5
    assert capfd.readouterr().err == ""


def test_a_language_model_is_no_image_encoder(tmp_path: Path) -> None:
    GPT2Model(GPT2Config(n_embd=8, n_layer=1, n_head=1, vocab_size=20, n_positions=8)).save_pretrained(
        tmp_path
    )
    assert "takes input_ids and not pictures" in refusal(tmp_path)


def caltech_photos(data: Path, labels: set[str]) -> list[tuple[str, Image.Image]]:
    """Real photographs of the development set with their labels."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="reading the photographs needs pyarrow")
    file = data / "caltech101" / "dev.parquet"
    rows = [row for row in parquet.read_table(file).to_pylist() if row["label"] in labels]
    return [(row["label"], ImageReader().load(BytesIO(row["image"]["bytes"]))) for row in rows]


def test_a_real_mobilenet_on_real_photographs(shared_data: Path, shared_models: Path) -> None:
    """Through its own classifier, our features name photographs as the whole model does."""
    path = shared_models / "mobilenet_v2_1.0_224"
    labels, photos = zip(*caltech_photos(shared_data, {"scorpion", "schooner", "hedgehog"}), strict=True)
    encoder = open_encoder(path)
    before = checksum(encoder)
    found = encoder.encode(photos)
    assert found.values.shape == (len(photos), 49, encoder.d_encoder) == (len(photos), 49, 1280)
    whole = AutoModelForImageClassification.from_pretrained(path).eval()
    inputs = AutoImageProcessor.from_pretrained(path)(images=list(photos), return_tensors="pt")
    with torch.no_grad():
        logits, wanted = whole.classifier(found.pooled), whole(**inputs).logits
    assert torch.allclose(logits, wanted, atol=1e-3)
    named = [whole.config.id2label[int(index)] for index in logits.argmax(-1)]
    assert sum(label in name for label, name in zip(labels, named, strict=True)) >= 0.8 * len(photos)
    assert checksum(encoder) == before
