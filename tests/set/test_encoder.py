"""Features of sets: the same for every order of the elements, and different for different sets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmagent.errors import UserError
from mmagent_set.encoder import BLOCKS, SHOWN, SetEncoder
from mmagent_set.reader import SetReader

CPU, FLOAT = torch.device("cpu"), torch.float32


def builtin() -> SetEncoder:
    return SetReader().load_encoder("builtin", device=CPU, dtype=FLOAT)


def pooled(*sources: object) -> torch.Tensor:
    return builtin().encode([SetReader().load(source) for source in sources]).pooled


def scene(seed: int, n: int = 9) -> list[list[dict[str, Any]]]:
    """Things in three boxes."""
    rng = np.random.default_rng(seed)
    boxes: list[list[dict[str, Any]]] = [[], [], []]
    for at in range(n):
        thing = {
            "type": str(rng.choice(["square", "circle"])),
            "color": str(rng.choice(["Black", "#0099ff"])),
        }
        places = {"x_loc": int(rng.integers(0, 80)), "y_loc": int(rng.integers(0, 80)), "size": 20}
        boxes[at % 3].append({**thing, **places, "weight": float(rng.random())})
    return boxes


@pytest.mark.parametrize("seed", range(3))
def test_a_permuted_set_has_the_very_same_features(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((500, 3))
    boxes = scene(seed)
    shuffled = [list(rng.permutation(np.array(box, dtype=object))) for box in boxes]
    shuffled = [shuffled[at] for at in rng.permutation(3)]
    told = "There is a box with a black square."
    pairs: list[tuple[object, object]] = [
        (points, points[rng.permutation(500)]),
        (boxes, shuffled),
        ({"objects": boxes, "statement": told}, {"objects": shuffled, "statement": told}),
    ]
    for one, other in pairs:
        first, second = (builtin().encode([SetReader().load(source)]) for source in (one, other))
        assert torch.equal(first.values, second.values)
        assert torch.equal(first.pooled, second.pooled)


def test_what_a_set_is_made_of_shows_in_its_features() -> None:
    square = {"type": "square", "color": "black", "x": 10, "y": 90, "size": 10}
    sources: list[object] = [
        [square],
        [square, square],
        [[square], [square]],
        [{**square, "color": "blue"}],
        [{**square, "y": 40}],
        [square, {**square, "y": 80}],
        [square, {**square, "y": 60}],
        [{**square, "weight": 3.5}],
        np.array([[0.0, 0.0], [1.0, 1.0]]),
        np.array([[0.0, 1.0], [1.0, 0.0]]),
        np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 4.0]]),
    ]
    rows = {tuple(row.tolist()) for row in pooled(*sources)}
    assert len(rows) == len(sources)


def test_a_cloud_that_is_moved_or_scaled_has_the_same_shape() -> None:
    points = np.random.default_rng(0).standard_normal((200, 2))
    first = BLOCKS["whole"] + BLOCKS["measured"] + 8  # after the place and the extent
    last = first + BLOCKS["cloud"] - 8
    one, moved, turned = pooled(points, points * 3 + 7, points[:, ::-1] * [1, -1])[:, first:last]
    torch.testing.assert_close(one, moved, atol=1e-3, rtol=1e-3)
    assert not torch.allclose(one, turned, atol=1e-2)


def test_a_batch_gives_what_each_set_gives_alone_and_pads_with_zeros() -> None:
    sets = [SetReader().load(source) for source in (scene(0), np.eye(3), [{"color": "red"}], scene(1, 60))]
    encoder = builtin()
    together = encoder.encode(sets)
    assert together.values.shape[1:] == (SHOWN + 1, encoder.d_encoder)
    for at, one in enumerate(sets):
        alone = encoder.encode([one])
        n = alone.values.shape[1]
        assert torch.equal(together.values[at, :n], alone.values[0])
        assert not bool(together.values[at, n:].any())
        assert not bool(together.mask[at, n:].any())
        assert torch.equal(together.pooled[at], alone.pooled[0])
    assert encoder.encode([]).pooled.shape == (0, encoder.d_encoder)


def test_the_encoder_is_named_by_what_it_does_and_there_is_no_other() -> None:
    assert builtin().id == builtin().id
    with pytest.raises(UserError, match="builtin"):
        SetReader().load_encoder("pointnet", device=CPU, dtype=FLOAT)


def test_a_profile_tells_words_groups_gaps_and_draws_every_group() -> None:
    boxes = scene(0)
    del boxes[0][0]["color"]
    told = SetReader().profile(SetReader().load(boxes))
    assert told.summary == "set from objects, 9 objects in 3 groups, 2 attributes in words and 4 in numbers"
    assert told.aspects["structure"]["groups"] == 3
    assert told.aspects["noise"]["missing values (share)"] == pytest.approx(1 / 54, rel=0.01)
    assert "blue" in str(told.aspects["elements"]["color"])
    assert told.draw is not None
    figure = Figure((9, 3))
    told.draw(figure)
    assert sum(len(one.get_offsets()) for axes in figure.axes for one in axes.collections) == 9
    assert figure.axes[0].get_xlim() == figure.axes[2].get_xlim()


def test_pictures_are_drawn_without_a_warning_and_gaps_are_no_value(recwarn: pytest.WarningsRecorder) -> None:
    told = SetReader().profile(SetReader().load([{"kind": "a", "x": 1, "y": 2}, {"x": 3, "y": 1}]))
    assert told.summary == "set from objects, 2 objects, 1 attribute in words and 2 in numbers"
    assert told.aspects["information"]["entropy of kind (bits)"] == 0
    assert told.draw is not None
    figure = Figure((12, 6), layout="constrained")  # as `mmagent inspect --picture` has it
    told.draw(figure)
    FigureCanvasAgg(figure).draw()
    assert not recwarn.list
    one = SetReader().load(np.zeros((1, 2)))
    assert SetReader().describe(one) == "set, 1 point of x, y"


def test_the_profile_of_a_line_with_an_outlier() -> None:
    line = np.stack([np.arange(100.0), np.zeros(100)], axis=1)
    told = SetReader().profile(SetReader().load(np.concatenate([line, line[:50], [[5000.0, 0.0]]])))
    assert told.aspects["information"]["elements that repeat another (share)"] == pytest.approx(
        50 / 151, abs=1e-3
    )
    assert told.aspects["noise"]["far from all others (share)"] == pytest.approx(1 / 151, abs=1e-3)
    assert str(told.aspects["structure"]["spread along its main directions"]).endswith(", 0")
