"""What the encoder of `tiny` is trained with: made characters, and the optimiser of its filters."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="the recipe reads Parquet: pip install -e '.[train]'")


def test_newton_schulz_comes_near_the_nearest_semi_orthogonal_matrix() -> None:
    import torch
    from turning import orthogonal

    for rows, columns in ((12, 40), (40, 12), (16, 16)):
        x = torch.randn(rows, columns, generator=torch.Generator().manual_seed(rows))
        u, _, v = torch.linalg.svd(x, full_matrices=False)
        found = orthogonal(x)
        values = torch.linalg.svdvals(found)
        assert values.min() > 0.5
        assert values.max() < 1.3
        cosine = (found * (u @ v)).sum() / (found.norm() * (u @ v).norm())
        assert cosine > 0.95


def test_a_step_turns_filters_by_its_angle_and_keeps_their_length() -> None:
    import torch
    from turning import ConvMuon

    torch.manual_seed(0)
    p = torch.nn.Parameter(torch.randn(8, 4, 3, 3))
    opt = ConvMuon([p], lr=0.1, momentum=0.0)
    p.grad = torch.zeros_like(p)
    opt.step()
    before = p.detach().clone()
    assert float(before.norm()) == pytest.approx(math.sqrt(8), rel=1e-5)
    across = torch.randn(8, 4, 3, 3)
    across -= before * (across * before).sum() / before.square().sum()
    p.grad = across
    opt.step()
    assert float(p.detach().norm()) == pytest.approx(math.sqrt(8), rel=1e-5)
    cosine = float((p.detach() * before).sum() / 8)
    assert math.acos(min(1.0, cosine)) == pytest.approx(0.1, rel=0.2)


def test_made_characters_are_themselves_every_time_and_near_misses_differ_in_one_stroke(
    shared_data: Path,
) -> None:
    import numpy as np
    from pictures import HELD_OUT_ALPHABETS, omniglot
    from strokes import Strokes

    letters = omniglot(shared_data, "train")
    assert not {row["alphabet"] for row in letters.info} & set(HELD_OUT_ALPHABETS)
    strokes = Strokes(letters)
    assert len(strokes.hands) > 60
    for number in range(0, 60, 2):
        base, near = strokes.character(number), strokes.character(number + 1)
        assert base == strokes.character(number)
        assert len(base) == len(near)
        assert sum(a != b for a, b in zip(base, near, strict=True)) == 1
    first, second = (np.asarray(strokes.draw(base, random.Random(seed))) for seed in (0, 1))
    assert first.shape == (96, 96, 3)
    assert (first != second).any()
    assert first.min() < 64 < 200 < first.max()


def test_the_same_stroke_is_found_however_it_was_drawn() -> None:
    from strokes import even, matched

    line = even([[10, -10, 0], [90, -90, 5]])
    arc = even([[10, -90, 0], [50, -20, 4], [90, -90, 9]])
    found = matched([arc[::-1], line[::-1]], [line, arc])
    assert found is not None
    assert abs(found[0] - line).max() < 1e-9
    assert abs(found[1] - arc).max() < 1e-9
    assert matched([arc, line + 0.5], [arc, line]) is None
    assert matched([arc], [line, arc]) is None


def test_the_two_halves_of_the_twins_show_the_same_characters(shared_data: Path, tmp_path: Path) -> None:
    """Nearest by pixels, a second drawing finds its first one far oftener than chance."""
    import numpy as np
    import torch
    from mixture import Mixture
    from pictures import omniglot

    mixture = Mixture.__new__(Mixture)
    mixture.data = {"omniglot": omniglot(shared_data, "train")}
    from strokes import Strokes

    mixture.strokes = Strokes(mixture.data["omniglot"])
    mixture.drawings = {}
    letters = mixture.data["omniglot"]
    for row, (name, info) in enumerate(zip(letters.labels, letters.info, strict=True)):
        mixture.drawings.setdefault(info["alphabet"], {}).setdefault(name, []).append(row)
    hits = n = 0
    for seed in range(8):
        gen = torch.Generator().manual_seed(seed)
        x, target = mixture._twins(48, 32, np.random.default_rng(seed), random.Random(seed), gen)
        half = int(target["twins"])
        assert len(x) == 2 * half == 48
        flat = torch.nn.functional.avg_pool2d(x.abs() * x.sign().mean().sign(), 4).flatten(1)
        first, second = torch.nn.functional.normalize(flat - flat.mean(1, keepdim=True), dim=1).chunk(2)
        hits += int(((second @ first.T).argmax(1) == torch.arange(half)).sum())
        n += half
    assert hits / n > 0.15  # chance: 0.042
