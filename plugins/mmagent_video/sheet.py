"""The picture of a clip's profile: a contact sheet with times, and how much moves when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mmagent_video.clip import Clip, evenly

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mmagent_video.profile import Course

COLUMNS, MOST = 4, 8


def draw(clip: Clip, course: Course, moves: str, figure: Figure) -> None:
    """At most `MOST` frames with their times above a curve of motion energy; cuts are dashed lines."""
    sample = clip.sample
    shown = evenly(len(sample.frames), MOST)
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    timed = clip.film.fps is not None
    figure.set_layout_engine("constrained")
    still = len(course.seconds) < 2
    parts: Any = [figure, None] if still else figure.subfigures(2, 1, height_ratios=[rows, 1.3])
    top, below = parts
    for at, number in enumerate(shown):
        axes = top.add_subplot(rows, columns, at + 1)
        axes.imshow(sample.frames[number], interpolation="nearest")
        second = sample.seconds[number]
        axes.set_title(f"{second:.2f} s" if timed else f"frame {second:.0f}", fontsize=9)
        axes.set_xticks([])
        axes.set_yticks([])
    if still:
        return
    axes = below.add_subplot()
    few = len(course.seconds) < 60
    axes.plot(course.seconds[1:], 100 * np.array(course.energy[1:]), marker="." if few else "", linewidth=1.2)
    for number, cut in enumerate(course.cuts):
        axes.axvline(cut, color="tab:red", linestyle="--", label="" if number else "cut")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.02)
    axes.set_xlabel("time (s)" if timed else "time (frames)")
    axes.set_ylabel("change\n(% of full scale)")
    axes.set_title(f"Motion: {moves}", fontsize=10)
    axes.grid(alpha=0.3)
    if course.cuts:
        axes.legend(loc="upper right")
