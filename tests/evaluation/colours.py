"""The colours that are asked for in this room, and the question."""

from __future__ import annotations

QUESTION = "What colour is this?"
COLOURS = {"red": (220, 20, 30), "blue": (20, 40, 220)}
