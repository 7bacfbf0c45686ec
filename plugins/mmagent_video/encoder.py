"""Clips to features: what moves, in what colours and, where an image encoder is named, what frames show.

Each of T frames gives g_t = [motion and colour | the image encoder's pooled feature]. Its feature is g_t
seen through fixed functions of time (`BLOCKS`), and a clip's pooled feature is their mean over time: mean,
spread, last minus first, and projections onto the first cosines (the discrete cosine transform, Ahmed,
Natarajan and Rao 1974). Played backwards a clip has the same mean and spread, and the opposite rest, so a
linear adapter sees the order of things.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mmagent.modality import Encoder, Features, Reader
from mmagent_video import clip as sampling
from mmagent_video import motion
from mmagent_video.clip import Clip

__all__ = ["BLOCKS", "BUILTIN", "VideoEncoder", "load_encoder"]

BUILTIN = "builtin"
VERSION = 1  # of the formulas: another number wherever any feature changes
BLOCKS = ("mean", "spread", "last - first", "cosine 1", "cosine 2")


class VideoEncoder:
    """A frozen encoder of clips.

    pictures  the image encoder that looks at frames, with the reader that makes its raw values of arrays;
              None for motion and colour alone
    """

    def __init__(self, pictures: tuple[Reader, Encoder] | None, device: torch.device) -> None:
        self._pictures, self._device = pictures, device
        width = 0 if pictures is None else pictures[1].d_encoder
        self.d_encoder = len(BLOCKS) * (motion.PER_FRAME + width)
        known = (VERSION, BLOCKS, motion.NAMES, motion.GRID, sampling.SAMPLED, sampling.MAX_SIDE)
        digest = hashlib.sha256(f"video {known}\n".encode())
        digest.update(("" if pictures is None else pictures[1].id).encode())
        self.id = digest.hexdigest()

    @torch.no_grad()
    def encode(self, batch: Sequence[Clip]) -> Features:
        """Features of clips, float32: values (B, T, d_encoder), mask (B, T), pooled (B, d_encoder).

        T is the number of frames drawn from the longest; a clip alone has the features it has in a batch.
        """
        samples = [clip.sample.frames for clip in batch]
        longest = max(map(len, samples), default=0)
        values = torch.zeros(len(batch), longest, self.d_encoder, device=self._device)
        mask = torch.zeros(len(batch), longest, dtype=torch.bool, device=self._device)
        pooled = torch.zeros(len(batch), self.d_encoder, device=self._device)
        for at, (frames, seen) in enumerate(zip(samples, self._seen(samples), strict=True)):
            told = torch.from_numpy(motion.moments(frames)).to(self._device, torch.float32)
            values[at, : len(frames)] = _through_time(torch.cat([told, seen], dim=1))
            mask[at, : len(frames)] = True
            pooled[at] = values[at, : len(frames)].mean(0)
        return Features(values, mask, pooled)

    def _seen(self, samples: Sequence[Sequence[sampling.Pixels]]) -> list[Tensor]:
        """Per clip what its frames show, (T, d); d is 0 without an image encoder."""
        if self._pictures is None:
            return [torch.zeros(len(frames), 0, device=self._device) for frames in samples]
        reader, encoder = self._pictures
        pictures = [reader.load(np.asarray(frame)) for frames in samples for frame in frames]
        pooled = encoder.encode(pictures).pooled.float()
        return list(torch.split(pooled, [len(frames) for frames in samples]))


def load_encoder(
    location: str, *, device: torch.device, dtype: torch.dtype, trust_remote_code: bool = False
) -> VideoEncoder:
    """The encoder without weights for "builtin", else one that looks at frames. Raises `UserError`."""
    if location == BUILTIN:
        return VideoEncoder(None, device)
    from mmagent.borrowing import borrowed_encoder

    pictures = borrowed_encoder(
        "image", location, device=device, dtype=dtype, trust_remote_code=trust_remote_code
    )
    return VideoEncoder(pictures, device)


def _through_time(frames: Tensor) -> Tensor:
    """(T, d) to (T, len(BLOCKS) * d), whose mean over T is what `BLOCKS` names."""
    n = len(frames)
    time = (torch.arange(n, device=frames.device) + 0.5) / n
    ends = torch.zeros(n, device=frames.device)
    ends[-1] += n
    ends[0] -= n  # 0 where the first frame is the last
    weights = [ends, *(2**0.5 * torch.cos(torch.pi * k * time) for k in (1, 2))]
    away = (frames - frames.mean(0)).abs()
    return torch.cat([frames, away, *(weight[:, None] * frames for weight in weights)], dim=1)
