"""Muon for convolutions (Jordan et al. 2024): each step turns every bank of filters by the same angle."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


def orthogonal(matrix: Tensor, steps: int = 5, dtype: torch.dtype = torch.float32) -> Tensor:
    """(m, n) to the nearest semi-orthogonal matrix, nearly: Newton-Schulz with Jordan's coefficients."""
    x = matrix.to(dtype)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return (x.T if tall else x).to(matrix.dtype)


class ConvMuon(torch.optim.Optimizer):
    """For convolutions that a batch norm follows, so that the length of their filters means nothing.

    Weights are kept at Frobenius norm sqrt(C_out) and a step at `lr` times that: `lr` is the angle turned.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float, momentum: float = 0.9, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__(list(params), {"lr": lr, "momentum": momentum})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step of every bank of filters (C_out, C_in, k, k)."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                mean = self.state[p].setdefault("mean", torch.zeros_like(p))
                mean.lerp_(p.grad, 1 - group["momentum"])
                ahead = p.grad.lerp(mean, group["momentum"]).flatten(1)  # Nesterov
                turn = orthogonal(ahead, dtype=self.dtype).view_as(p)
                length = p.shape[0] ** 0.5
                p.mul_(length / p.norm()).sub_(
                    turn, alpha=group["lr"] * length / max(1e-12, float(turn.norm()))
                )
                p.mul_(length / p.norm())
