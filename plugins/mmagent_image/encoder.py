"""Any transformers vision model as a frozen encoder of pictures.

Its last hidden state gives the features, a convolutional map (B, d, H, W) read row by row as H * W of them;
its pooler gives the pooled feature, or their mean where it has none. Models with a picture and a text half
(CLIP, SigLIP) are used through the picture half.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import AutoImageProcessor, AutoModel

from mmagent.errors import UserError
from mmagent.hub import local_only, quiet
from mmagent.modality import Features
from mmagent_image.folding import fold_batch_norms, rectify_in_place
from mmagent_image.plain import Plain, plain_form

BATCH = 16  # pictures per forward pass: in more, what lies between two layers leaves the processor's cache
VISION_HALVES = ("vision_model", "vision_tower", "image_model", "visual")
UNTOLD = ("_name_or_path", "transformers_version")  # parts of a configuration that change no feature


class ImageEncoder:
    """A frozen vision model with its picture processor.

    model      gives `last_hidden_state` for `pixel_values`; in eval mode whenever it encodes
    processor  a Pillow-backed transformers image processor
    """

    def __init__(self, model: Any, processor: Any) -> None:
        self.model = model.eval().requires_grad_(False)
        self.processor = processor
        self.accepted = set(inspect.signature(model.forward).parameters)

    @classmethod
    def load(
        cls, location: str, *, device: torch.device, dtype: torch.dtype, trust_remote_code: bool = False
    ) -> ImageEncoder:
        """The model in a directory or under a hub id, from safetensors only. Raises `UserError`.

        Every weight must be in the checkpoint: one that is missing or has another shape is an error, never
        left random. Weights of a classifier on top may be there and are not used.
        """
        with quiet(), _as_user_errors(location):
            options = {"trust_remote_code": trust_remote_code, "local_files_only": local_only(location)}
            model = _load_model(location, dtype, options)
            auto: Any = AutoImageProcessor
            processor = auto.from_pretrained(location, backend="pil", **options)
        # Convolutions are about a quarter faster where a pixel's channels lie together.
        encoder = cls(model.to(device, memory_format=torch.channels_last), processor)
        encoder.fold()
        return encoder

    @cached_property
    def d_encoder(self) -> int:
        """Width of a feature, seen by encoding one blank picture."""
        return int(self._run([Image.new("RGB", (32, 32))]).values.shape[-1])

    @cached_property
    def id(self) -> str:
        """sha256 over weights, buffers, configuration and processor; the dtype they run in is part of it."""
        digest = hashlib.sha256()
        for about in (self.model.config.to_dict(), self.processor.to_dict()):
            told = {key: value for key, value in about.items() if key not in UNTOLD}
            digest.update(json.dumps(told, sort_keys=True, default=str).encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()

    @cached_property
    def _plain(self) -> Plain | None:
        """What the processor does, where that is plain."""
        return plain_form(self.processor)

    def fold(self) -> None:
        """Fold batch norms into convolutions: the same features, up to rounding, in fewer steps."""
        if any(isinstance(module, nn.BatchNorm2d) for module in self.model.modules()):
            assert self.id  # of the weights as they were loaded, whatever is folded into what
            inputs = self._inputs([Image.linear_gradient("L").convert("RGB")])
            fold_batch_norms(self.model, inputs)
            rectify_in_place(self.model, inputs)

    def encode(self, batch: Sequence[Image.Image]) -> Features:
        """Features of RGB pictures, float32 on the model's device; a batch gives what each gives alone.

        values (B, n, d_encoder), mask (B, n), pooled (B, d_encoder); n is that of the largest picture where
        the processor keeps sizes.
        """
        if not batch:
            nothing = torch.zeros(0, self.d_encoder, device=next(self.model.parameters()).device)
            return Features(nothing.unsqueeze(1)[:, :0], nothing[:, :0].bool(), nothing)
        return _joined([self._run(batch[start : start + BATCH]) for start in range(0, len(batch), BATCH)])

    @torch.no_grad()
    def _run(self, pictures: Sequence[Image.Image]) -> Features:
        """One forward pass per shape that the processor gives."""
        self.model.eval()
        groups: dict[tuple[Any, ...], tuple[list[int], list[dict[str, Tensor]]]] = {}
        for rows, made in self._processed(pictures):
            shape = tuple((key, tuple(value.shape[1:])) for key, value in made.items())
            numbers, inputs = groups.setdefault(shape, ([], []))
            numbers += rows
            inputs.append(made)
        parts: list[Features] = []
        for _, inputs in groups.values():
            together = {key: torch.cat([one[key] for one in inputs]) for key in inputs[0]}
            parts.append(_features(self.model(**together), together.get("pixel_attention_mask")))
        joined = _joined(parts)
        order = [row for numbers, _ in groups.values() for row in numbers]
        if order == sorted(order):
            return joined
        back = torch.tensor(order, device=joined.values.device).argsort()
        return Features(joined.values[back], joined.mask[back], joined.pooled[back])

    def _processed(self, pictures: Sequence[Image.Image]) -> Iterator[tuple[list[int], dict[str, Tensor]]]:
        """Row numbers, and what the model takes of those rows; only pictures of one size meet in a call.

        So no processor pads one picture for another's sake, and a batch gives what each gives alone.
        """
        sizes: dict[tuple[int, int], list[int]] = {}
        for index, picture in enumerate(pictures):
            sizes.setdefault(picture.size, []).append(index)
        for rows in sizes.values():
            yield rows, self._inputs([pictures[row] for row in rows])

    def _inputs(self, pictures: Sequence[Image.Image]) -> dict[str, Tensor]:
        """What the model takes of pictures of one size: `pixel_values` (B, 3, H, W) and what goes with it."""
        weight = next(self.model.parameters())
        if self._plain is not None:
            return {"pixel_values": self._plain(pictures).to(weight.device, weight.dtype)}
        made = self.processor(images=list(pictures), return_tensors="pt")
        return {
            key: value.to(weight.device, weight.dtype if value.is_floating_point() else None)
            for key, value in made.items()
            if key in self.accepted
        }


def _load_model(location: str, dtype: torch.dtype, options: dict[str, Any]) -> Any:
    """The picture half of a model, every weight of it from the checkpoint."""
    # transformers looks for a PEFT adapter first, and asks the hub about it unless told not to
    no_hub = {"local_files_only": options["local_files_only"]}
    options = {**options, "use_safetensors": True, "dtype": dtype, "output_loading_info": True}
    options["adapter_kwargs"] = no_hub
    model, report = AutoModel.from_pretrained(location, **options)
    if report["missing_keys"] and all(key.startswith("pooler.") for key in report["missing_keys"]):
        # A classifier's checkpoint has no weights for the pooler that transformers adds (ViT, DeiT, BEiT).
        model, report = AutoModel.from_pretrained(location, add_pooling_layer=False, **options)
    half, prefix = _picture_half(model)
    if getattr(half, "main_input_name", "pixel_values") != "pixel_values":
        raise UserError(
            f"{location} holds a {model.config.model_type} model, which takes {half.main_input_name} and not "
            "pictures. Give a vision model such as ViT, ResNet, MobileNet, CLIP or DINO."
        )
    _check_weights(location, model, prefix, report)
    return half


def _picture_half(model: Any) -> tuple[Any, str]:
    """The part of a model that takes pictures, and the prefix of its weights' names."""
    if hasattr(model.config, "vision_config"):
        for name in VISION_HALVES:
            if isinstance(half := getattr(model, name, None), nn.Module):
                return half, f"{name}."
    return model, ""


def _check_weights(location: str, model: Any, prefix: str, report: dict[str, Any]) -> None:
    """Refuse a checkpoint that left weights random, or that has weights for another body than its config's.

    What lies outside the body in a checkpoint of a larger model, such as a classifier, may be there.
    """
    whole = type(model).__name__ in (model.config.architectures or ())
    body = prefix if whole else f"{model.base_model_prefix}.{prefix}"
    missing = sorted(key for key in report["missing_keys"] if key.startswith(prefix))
    mismatched = sorted(str(key[0]) for key in report["mismatched_keys"] if str(key[0]).startswith(prefix))
    unexpected = sorted(key for key in report["unexpected_keys"] if key.startswith(body))
    problems = {"missing": missing, "of another shape": mismatched, "unexpected": unexpected}
    said = [f"{len(keys)} weights {kind} ({', '.join(keys[:3])})" for kind, keys in problems.items() if keys]
    if said:
        raise UserError(
            f"the weights in {location} are not those its config.json describes: {'; '.join(said)}. "
            "Fetch the encoder again."
        )


def _features(output: Any, mask: Tensor | None) -> Features:
    """A model's output as float32 features; a map (B, d, H, W) becomes (B, H * W, d)."""
    hidden = output.last_hidden_state
    values = hidden.flatten(2).transpose(1, 2) if hidden.ndim == 4 else hidden
    values = values.float().contiguous()  # (B, n, d_encoder)
    if mask is None or mask.shape != values.shape[:2]:
        mask = torch.ones(values.shape[:2], device=values.device)
    mask = mask.bool()
    values = values * mask.unsqueeze(-1)
    pooler = getattr(output, "pooler_output", None)
    pooled = None if pooler is None else pooler.float().flatten(1)
    if pooled is None or pooled.shape[1] != values.shape[2]:
        pooled = values.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
    return Features(values, mask, pooled)


def _joined(parts: Sequence[Features]) -> Features:
    """Several features as one batch, the shorter ones padded with zeros that the mask leaves out."""
    if len(parts) == 1:
        return parts[0]
    n = max(part.values.shape[1] for part in parts)

    def pad(tensor: Tensor) -> Tensor:
        wider = tensor.new_zeros(tensor.shape[0], n, *tensor.shape[2:])
        wider[:, : tensor.shape[1]] = tensor
        return wider

    return Features(
        torch.cat([pad(part.values) for part in parts]),
        torch.cat([pad(part.mask) for part in parts]),
        torch.cat([part.pooled for part in parts]),
    )


@contextmanager
def _as_user_errors(location: str) -> Iterator[None]:
    """What transformers raises for a bad checkpoint, as one sentence about the place."""
    from safetensors import SafetensorError

    place = Path(location)
    if place.is_dir() and not (place / "config.json").is_file():
        raise UserError(
            f"{location} holds no config.json, so no encoder. Give a transformers model directory."
        )
    if not place.is_dir() and (place.is_absolute() or location.startswith(".") or location.count("/") > 1):
        raise UserError(f"there is no encoder in {location}: no such directory. Check the path.")
    try:
        yield
    except SafetensorError as error:
        raise UserError(
            f"the weights in {location} are damaged: {error}. Fetch the encoder again."
        ) from error
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        if not place.is_dir() and local_only(location):
            raise UserError(
                f"there is no encoder {location}: no such directory, nothing of that id in the hub's cache "
                "here, and the hub cannot be reached. Give a directory, or go online."
            ) from error
        if "trust_remote_code" in str(error):
            raise UserError(
                f"{location} brings code of its own. Pass --trust-remote-code if you trust its author."
            ) from error
        said = " ".join(str(error).split())
        raise UserError(
            f"no encoder can be loaded from {location}: {said:.300} It takes a directory or hub id with "
            "config.json, preprocessor_config.json and model.safetensors."
        ) from error
