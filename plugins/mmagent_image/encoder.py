"""Any transformers vision model as a frozen encoder of pictures.

Its last hidden state gives the features, a convolutional map (B, d, H, W) read row by row as H * W of them;
its pooler gives the pooled feature, or their mean where it has none. Models with a picture and a text half
(CLIP, SigLIP) are used through the picture half.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import AutoImageProcessor, AutoModel

from mmagent.checkpoint import demand_weights, digest_config, digest_tensors, loading_errors
from mmagent.dense import quicken
from mmagent.errors import UserError
from mmagent.features import joined, stacked
from mmagent.hub import local_only, quiet
from mmagent.modality import Features
from mmagent_image.folding import fold_batch_norms, rectify_in_place
from mmagent_image.plain import Plain, plain_form

BATCH = 16  # pictures per forward pass: in more, what lies between two layers leaves the processor's cache
VISION_HALVES = ("vision_model", "vision_tower", "image_model", "visual")


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
        with quiet(), loading_errors(location):
            options = {"trust_remote_code": trust_remote_code, "local_files_only": local_only(location)}
            model = _load_model(location, dtype, options)
            auto: Any = AutoImageProcessor
            processor = auto.from_pretrained(location, backend="pil", **options)
        # Convolutions are about a quarter faster where a pixel's channels lie together.
        encoder = cls(model.to(device, memory_format=torch.channels_last), processor)
        encoder.fold()
        quicken(encoder.model)
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
            digest_config(digest, about)
        digest_tensors(digest, self.model.state_dict())
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
            return stacked([], self.d_encoder, next(self.model.parameters()).device)
        return joined([self._run(batch[start : start + BATCH]) for start in range(0, len(batch), BATCH)])

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
        found = joined(parts)
        order = [row for numbers, _ in groups.values() for row in numbers]
        if order == sorted(order):
            return found
        back = torch.tensor(order, device=found.values.device).argsort()
        return Features(found.values[back], found.mask[back], found.pooled[back])

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
    demand_weights(location, missing=missing, of_another_shape=mismatched, unexpected=unexpected)


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
