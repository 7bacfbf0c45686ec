"""Draw the labelled set `examples/gauges`: photographs of a dial, as a drawing program makes them.

    python examples/draw_gauges.py

A dial with a needle, a coloured or plain scale, seen a little from the side, in poor light and with noise;
the label says whether the needle stands low, normal or high. 96 dials to learn from and 48 to test on, drawn
with different seeds.
"""

from __future__ import annotations

import csv
import math
import random
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

FOLDER = Path(__file__).parent / "gauges"
SIDE, DRAWN = 72, 288
LABELS = {"low": (-130, -55), "normal": (-40, 40), "high": (55, 130)}  # degrees from straight up
COUNTS = {"train": 32, "test": 16}  # of each label


def dial(label: str, rng: random.Random) -> Image.Image:
    """One dial whose needle stands where the label says."""
    ground = tuple(rng.randrange(40, 200) for _ in range(3))
    picture = Image.new("RGB", (DRAWN, DRAWN), ground)
    pen = ImageDraw.Draw(picture)
    middle_x, middle_y = DRAWN / 2 + rng.uniform(-18, 18), DRAWN / 2 + rng.uniform(-18, 18)
    radius = rng.uniform(95, 125)
    squeeze = rng.uniform(0.88, 1.0)  # seen a little from the side
    tilt = rng.uniform(-8, 8)

    def at(angle: float, far: float) -> tuple[float, float]:
        turned = math.radians(angle + tilt)
        return middle_x + squeeze * far * radius * math.sin(turned), middle_y - far * radius * math.cos(
            turned
        )

    rim = rng.randrange(20, 90)
    face = rng.randrange(205, 250)
    for far, shade in ((1.12, rim), (1.0, face)):
        pen.polygon([at(angle, far) for angle in range(0, 360, 5)], fill=(shade, shade, shade))
    for angle in range(-135, 136, 15):
        inner = 0.78 if angle % 45 == 0 else 0.86
        pen.line([at(angle, inner), at(angle, 0.93)], fill=(30, 30, 30), width=4)
    angle = rng.uniform(*LABELS[label])
    needle = rng.choice([(170, 20, 20), (20, 20, 20), (20, 40, 140)])
    pen.line([at(angle + 180, 0.18), at(angle, 0.74)], fill=needle, width=rng.randrange(7, 12))
    pen.polygon([at(a, 0.1) for a in range(0, 360, 20)], fill=needle)
    picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 3.0))).resize(
        (SIDE, SIDE), Image.Resampling.BOX
    )
    light = rng.uniform(0.6, 1.1)
    noise = Image.effect_noise((SIDE, SIDE), rng.uniform(4, 16)).convert("RGB")
    return Image.blend(picture.point(lambda v: min(255, int(v * light))), noise, 0.06)


def main() -> None:
    """Draw all dials and write labels.csv."""
    rows = []
    for split, count in COUNTS.items():
        for label in LABELS:
            for number in range(count):
                rng = random.Random(f"{split} {label} {number}")
                name = f"{split}/{label}-{number:02d}.jpg"
                file = FOLDER / name
                file.parent.mkdir(parents=True, exist_ok=True)
                dial(label, rng).save(file, quality=85)
                rows.append({"image": name, "label": label, "split": split})
    with (FOLDER / "labels.csv").open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, fieldnames=["image", "label", "split"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
