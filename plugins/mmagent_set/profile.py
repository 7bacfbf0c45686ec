"""What a set is made of, told to people, in time and memory that are bounded."""

from __future__ import annotations

import zlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from mmagent.profile import Profile, many
from mmagent_set.elements import Elements, Floats, Ints
from mmagent_set.scene import plain_word

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw", "profile"]

LISTED = 8
DRAWN = 5_000  # points in a picture
BINS = 16  # of a number's histogram, for its entropy
GROUPS_DRAWN = 6
COLOURS = {"yellow": "gold", "cyan": "c"}
MARKS = {"square": "s", "triangle": "^", "circle": "o"}


def profile(elements: Elements) -> Profile:
    """Elements, structure, information and gaps of a set, with a scatter where it has coordinates."""
    kind = "object" if elements.words else "point"
    sizes = np.bincount(elements.groups, minlength=elements.n_groups)
    whole = sum(len(texts) for texts in elements.words.values()) + sum(map(len, elements.numbers.values()))
    blank = sum(texts.count("") for texts in elements.words.values())
    blank += sum(int(np.isnan(values).sum()) for values in elements.numbers.values())
    alike = _alike(elements)
    groups = f" in {elements.n_groups:,} groups" if elements.n_groups > 1 else ""
    return Profile(
        f"set from {elements.origin}, {many(elements.n, kind)}{groups}, "
        f"{many(len(elements.words), 'attribute')} in words and {len(elements.numbers)} in numbers",
        {
            "elements": {
                "elements": elements.n,
                **{name: _listed(texts) for name, texts in list(elements.words.items())[:LISTED]},
                **{
                    f"{name} (range)": _range(values)
                    for name, values in list(elements.numbers.items())[:LISTED]
                },
            },
            "sampling": {
                "read from": elements.origin,
                "coordinates": " ".join(elements.axes) or None,
                "smallest step": _step(elements.places),
            },
            "structure": {
                "groups": elements.n_groups,
                "elements of a group": f"{int(sizes.min()):,} to {int(sizes.max()):,}",
                "extent": _extent(elements.places),
                "spread along its main directions": _directions(elements.places),
                "statement": elements.statement or None,
            },
            "information": {
                **{f"entropy of {name} (bits)": _bits(name, elements) for name in _some(elements)},
                "elements that repeat another (share)": alike,
                "compressed size (share)": _compressed(elements),
            },
            "noise": {
                "missing values (share)": _round(blank / max(whole, 1)),
                "far from all others (share)": _far(elements.places),
            },
        },
        None if len(elements.axes) < 2 else lambda figure: draw(elements, figure),
    )


def draw(elements: Elements, figure: Figure) -> None:
    """The elements where they lie, a picture for each group of a scene; of many points some."""
    scene = bool(elements.words) and elements.n_groups > 1
    shown = min(elements.n_groups, GROUPS_DRAWN) if scene else 1
    names = list(elements.axes.values())
    space = len(names) == 3
    low, high = np.nanmin(elements.places, axis=0), np.nanmax(elements.places, axis=0)
    edge = 0.08 * max(float((high - low).max()), 1e-9)
    limits = np.stack([low - edge, high + edge], axis=1)  # the same for every group
    for group in range(shown):
        axes: Any = figure.add_subplot(1, shown, group + 1, projection="3d" if space else None)
        own = np.flatnonzero(elements.groups == group) if scene else np.arange(elements.n)
        own = own[:: max(1, -(-len(own) // DRAWN))]
        for mark, at in _by_mark(elements, own).items():
            look = {"c": _colours(elements, at), "marker": mark, "s": _sizes(elements, len(own))}
            axes.scatter(*elements.places[at].T, **look)
        if scene and not space:
            axes.set(xlim=limits[0], ylim=limits[1])
        axes.set_xlabel(names[0])
        axes.set_ylabel(names[1])
        if space:
            axes.set_zlabel(names[2])
        else:
            axes.set_aspect("equal", adjustable="box" if scene else "datalim")
        if elements.downward and not space:
            axes.invert_yaxis()
        part = (
            f"{len(own):,} of {elements.n:,} drawn"
            if len(own) < elements.n and not scene
            else many(len(own), "element")
        )
        axes.set_title(f"group {group + 1}, {part}" if scene else part, fontsize=9)


def _by_mark(elements: Elements, own: Ints) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for at in own.tolist():
        said = {plain_word(texts[at]) for texts in elements.words.values()}
        mark = next((mark for word, mark in MARKS.items() if word in said), "o")
        found.setdefault(mark, []).append(int(at))
    return found


def _colours(elements: Elements, at: list[int]) -> list[str]:
    name = next((one for one in elements.words if one.lower() in ("color", "colour")), None)
    if name is None:
        return [f"C{int(group) % 10}" for group in elements.groups[at]]
    from matplotlib.colors import is_color_like

    words = [plain_word(elements.words[name][one]) for one in at]
    return [COLOURS.get(word, word) if is_color_like(word) else "C0" for word in words]


def _sizes(elements: Elements, n: int) -> float:
    return 60.0 if elements.words and n <= 200 else 12.0 if n <= 500 else 3.0


def _some(elements: Elements) -> list[str]:
    return [*elements.words, *elements.numbers][:LISTED]


def _listed(texts: tuple[str, ...]) -> str | None:
    found = sorted(Counter(text for text in texts if text).items(), key=lambda one: (-one[1], one[0]))
    told = ", ".join(f"{plain_word(text)} {count:,}" for text, count in found[:LISTED])
    return (f"{told}, and {len(found) - LISTED:,} more" if len(found) > LISTED else told) or None


def _range(values: Floats) -> str | None:
    there = values[np.isfinite(values)]
    return f"{there.min():.4g} to {there.max():.4g}, mean {there.mean():.4g}" if len(there) else None


def _step(places: Floats) -> float | None:
    """The smallest difference between two values of a coordinate."""
    steps = [np.diff(np.unique(column[np.isfinite(column)])) for column in places.T]
    least = [float(one.min()) for one in steps if len(one)]
    return _round(min(least)) if least else None


def _extent(places: Floats) -> str | None:
    there = places[np.isfinite(places).all(axis=1)]
    if not places.shape[1] or not len(there):
        return None
    return " x ".join(f"{side:.4g}" for side in there.max(axis=0) - there.min(axis=0))


def _directions(places: Floats) -> str | None:
    """Standard deviations along the principal axes, the largest first."""
    there = places[np.isfinite(places).all(axis=1)]
    if places.shape[1] < 2 or len(there) < 2:
        return None
    unit = float(np.abs(there).max()) or 1.0  # squares of large numbers would be infinite
    spread = unit * np.sqrt(np.maximum(np.linalg.eigvalsh(np.cov((there / unit).T)), 0))[::-1]
    return ", ".join(f"{one:.4g}" for one in spread)


def _bits(name: str, elements: Elements) -> float:
    """Entropy of an attribute where it is known: of its words, or of a number in 16 bins of its range."""
    if name in elements.words:
        known = Counter(text for text in elements.words[name] if text)
        counts = np.array(list(known.values()), dtype=np.float64)
    else:
        values = elements.numbers[name]
        counts = np.histogram(values[np.isfinite(values)], BINS)[0].astype(np.float64)
    shares = counts[counts > 0] / max(counts.sum(), 1)
    return _round(float(abs((shares * np.log2(shares)).sum())))


def _alike(elements: Elements) -> float:
    columns = [np.unique(values, return_inverse=True)[1] for values in elements.numbers.values()]
    columns += [np.unique(np.array(texts), return_inverse=True)[1] for texts in elements.words.values()]
    distinct = len(np.unique(np.stack([*columns, elements.groups], axis=1), axis=0))
    return _round(1 - distinct / elements.n)


def _compressed(elements: Elements) -> float:
    """What deflate leaves of the first elements, columns one after the other, numbers as float64."""
    some = 100_000
    raw = b"".join(values[:some].tobytes() for values in elements.numbers.values())
    raw += "\n".join(" ".join(texts[:some]) for texts in elements.words.values()).encode()
    return _round(len(zlib.compress(raw, 6)) / max(len(raw), 1))


def _far(places: Floats) -> float | None:
    """Elements more than five times the median distance from the median point: likely noise."""
    there = places[np.isfinite(places).all(axis=1)]
    if not places.shape[1] or len(there) < 3:
        return None
    there = there / (float(np.abs(there).max()) or 1.0)
    away = np.sqrt(((there - np.median(there, axis=0)) ** 2).sum(axis=1))
    return _round(float((away > 5 * max(float(np.median(away)), 1e-12)).mean()))


def _round(value: float) -> float:
    return float(f"{value:.4g}")
