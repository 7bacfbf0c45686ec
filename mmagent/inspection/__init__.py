"""What is in a file, for people and programs: `mmagent inspect`, and the same in Python.

    from mmagent.inspection import inspect_file

    found = inspect_file("x.jpg")
    found.as_json()["aspects"]["information"]

The modality is found by content, its reader reads and profiles the file, and a bundle says how many soft
tokens it will cost. torch is imported only where the cost cannot be read from the bundle, and matplotlib
only where a picture is drawn.
"""

from __future__ import annotations

from mmagent.inspection.cost import TokenCost, token_cost
from mmagent.inspection.look import Inspection, inspect_file, modality_of

__all__ = ["Inspection", "TokenCost", "inspect_file", "modality_of", "token_cost"]
