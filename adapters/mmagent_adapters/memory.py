"""Key spaces for a shot memory: what is done to features before they are compared.

Cosine between features as they come counts every direction alike, and most of what an encoder says is the
same for all pictures. Whitening by the covariance of the training inputs makes all directions equally strong;
a share of the mean variance is mixed in (Ledoit and Wolf 2004), since N inputs say nothing about more than N
directions. With it, votes that are averaged per answer come close to a linear discriminant.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmagent.memory import MemorySettings

__all__ = ["spaces", "whitening"]

SHRINKAGE = 0.3  # of the covariance towards a multiple of the identity


def spaces(pooled: Tensor) -> dict[str, MemorySettings]:
    """Features as they come, and whitened by the training inputs where these differ. pooled (M, d)."""
    found = {"features as they come": MemorySettings()}
    mean, projection = whitening(pooled)
    if projection is not None:
        found["features whitened by the training inputs"] = MemorySettings(mean=mean, projection=projection)
    return found


def whitening(pooled: Tensor, shrinkage: float = SHRINKAGE) -> tuple[Tensor, Tensor | None]:
    """Mean (d,) and projection (d, d) of features (M, d); None where they hardly differ.

    The projection is ((1 - s) C + s t I)^(-1/2), C the covariance and t the mean of its eigenvalues, times a
    number that does not matter to cosines: directions that the features do not have are left as long as they
    are.
    """
    rows = pooled.double()
    mean = rows.mean(0)
    centred = rows - mean
    d = centred.shape[1]
    variance = float(centred.square().sum()) / len(rows) / d  # t
    if variance <= 1e-12 * max(float(mean.square().mean()), 1e-30) or len(rows) < 2:
        return mean.float(), None
    values, vectors = _spectrum(centred)
    floor = shrinkage * variance
    scale = (((1.0 - shrinkage) * values + floor) / floor).rsqrt()  # (r,) 1 where there is no variance
    projection = torch.eye(d, dtype=rows.dtype) + (vectors * (scale - 1.0)) @ vectors.T
    return mean.float(), projection.float()


def _spectrum(centred: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (r,) and eigenvectors (d, r) of the covariance of rows (M, d), by the smaller side."""
    if len(centred) > centred.shape[1]:
        values, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
        return values.clamp_min(0.0), vectors
    values, left = torch.linalg.eigh(centred @ centred.T / len(centred))
    kept = values > 1e-10 * values.max()
    values, left = values[kept], left[:, kept]
    vectors = centred.T @ left
    return values, vectors / vectors.norm(dim=0)
