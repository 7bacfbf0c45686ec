"""How fast and how large: each figure is a ratio against a named peer, measured in the same run.

A ratio travels between machines better than seconds do, and on a busy machine better still when the two sides
take turns. So every figure here is the median over several pairs of neighbouring runs, ours then the peer's,
with the least and the greatest pair beside it; and before anything is timed the two sides must give the same
answers. The same ratio in processor time stands beside the one in wall time: it hardly feels other work.

    python -m benchmarks                    all of them, as a table
    python -m benchmarks --write            and into benchmarks/RESULTS.md
    python -m benchmarks.batch --runs 7     one of them
"""
