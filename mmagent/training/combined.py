"""What a run trains where the core bends: a sense's adapter and the one inside of the core, as one module."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["Combined"]


class Combined(nn.Module):
    """The sense's adapter, trained or kept, and the core's.

    sense     features to soft tokens, as `mmagent.adapter.Adapter`
    core      the trained parts inside of the core, as `mmagent.adapter.CoreAdapter`
    keeps     whether the sense's adapter stays as it is: frozen, and in `eval()` for good
    """

    def __init__(self, sense: nn.Module, core: nn.Module, *, keeps: bool) -> None:
        super().__init__()
        self.sense = sense.eval().requires_grad_(not keeps)
        self.core = core.eval().requires_grad_(True)
        self.keeps = keeps

    @property
    def n_tokens(self) -> int:
        """Soft tokens per input."""
        return int(self.sense.n_tokens)  # type: ignore[arg-type]

    def forward(self, values: Tensor, mask: Tensor, pooled: Tensor) -> Tensor:
        """(B, n, d_encoder), (B, n) bool and (B, d_encoder) to soft tokens (B, n_tokens, d_core)."""
        out: Tensor = self.sense(values, mask, pooled)
        return out

    def train(self, mode: bool = True) -> Combined:
        """Training mode for what trains."""
        super().train(mode)
        if self.keeps:
            self.sense.eval()
        return self
