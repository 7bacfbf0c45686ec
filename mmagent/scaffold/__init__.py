"""A new modality as a package of its own: what ``mmagent plugins new`` writes."""

from __future__ import annotations

from mmagent.scaffold.write import Scaffold, write_plugin

__all__ = ["Scaffold", "write_plugin"]
