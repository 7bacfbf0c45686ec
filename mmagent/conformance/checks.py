"""All checks, in the order in which they are told: declaring, reading, encoding, asking."""

from __future__ import annotations

from mmagent.conformance import asking, boundary, encoding, sources, told
from mmagent.conformance.check import Check

__all__ = ["CHECKS"]

CHECKS = (
    Check("light import", boundary.light_import),
    Check("declared well", boundary.declared_well),
    Check("own files recognised", boundary.recognised),
    Check("every kind of source", sources.every_source),
    Check("wrong files refused", sources.refused),
    Check("broken files refused", sources.broken),
    Check("described and told apart", sources.described),
    Check("shapes and masks", encoding.shapes),
    Check("batched equals single", encoding.batched),
    Check("deterministic", encoding.deterministic),
    Check("same in another process", encoding.another_process),
    Check("dtypes", encoding.dtypes),
    Check("devices", encoding.devices),
    Check("invariances", encoding.invariances),
    Check("gradient reaches the adapter", asking.gradient),
    Check("bundle written and read again", asking.round_trip),
    Check("input missing", asking.missing),
    Check("augmentation", told.augmentation),
    Check("profile", told.profile),
    Check("words", told.words),
    Check("time and memory", told.cost),
)
