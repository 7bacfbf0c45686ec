"""Shots of plain vectors, and vectors near to others."""

from __future__ import annotations

import numpy as np

from mmagent.agent import Shot


def shot(vector: np.ndarray, answer: str, question: str | None = None) -> Shot:
    return Shot(answer, question, {"vector": [vector]})


def near(vector: np.ndarray, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=vector.shape)
    return (vector + 0.1 * noise).astype(np.float32)
