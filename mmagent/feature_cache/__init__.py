"""Features of frozen encoders, computed once and kept on disk, shared between runs and processes.

    keys.py          what a feature is kept under: content, encoder, transform
    shard.py         one file of features with its index and checksums; it appears whole or not at all
    group.py         the shards of one encoder, as a reader and as a writer
    cache.py         the cache itself: get, put, flush
    housekeeping.py  what lies there, and how it is cleaned
    encode.py        sources to features in order, only what is missing being encoded

Importing this package is cheap; torch is imported when features are read or written.
"""

from __future__ import annotations

from mmagent.feature_cache.cache import FeatureCache
from mmagent.feature_cache.encode import CachedFeatures, encode_cached
from mmagent.feature_cache.housekeeping import Cleaned, Holding
from mmagent.feature_cache.keys import FeatureKey, content_of

__all__ = [
    "CachedFeatures",
    "Cleaned",
    "FeatureCache",
    "FeatureKey",
    "Holding",
    "content_of",
    "encode_cached",
]
