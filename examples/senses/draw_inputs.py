"""Draw the small inputs of `examples/senses/inputs`: a sound, a clip, a table, a scene, a series.

    python examples/senses/draw_inputs.py

They are made by this program alone and depend on nothing else, so they may be used as one likes.
"""

from __future__ import annotations

import json
import wave
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

HERE = Path(__file__).parent / "inputs"
TOWNS = """town,country,inhabitants,founded
Oslo,Norway,717710,1040
Bergen,Norway,291940,1070
Lima,Peru,10092000,1535
Pisa,Italy,89371,180
Rome,Italy,2748109,753
"""


def main() -> None:
    """Write the files."""
    HERE.mkdir(exist_ok=True)
    (HERE / "towns.csv").write_text(TOWNS)
    (HERE / "scene.json").write_text(json.dumps(boxes()) + "\n")
    clip(HERE / "moving.gif")
    note(HERE / "note.wav")
    still(HERE / "still.csv")


def boxes() -> list[list[dict[str, object]]]:
    """Three boxes of objects, as they lie in 100 x 100 pixels each."""
    things = [
        [("circle", "Yellow", 20, 10, 60), ("square", "Black", 30, 50, 20)],
        [("triangle", "#0099ff", 10, 80, 80)],
        [("square", "Black", 30, 10, 69), ("circle", "#0099ff", 20, 60, 10)],
    ]
    names = ("type", "color", "size", "x_loc", "y_loc")
    return [[dict(zip(names, (k, c, s, x, y), strict=True)) for k, c, s, x, y in box] for box in things]


def clip(place: Path, start: int = 46, step: int = -4, side: int = 64) -> None:
    """Ten frames of a red square that goes up; with a positive step it goes down."""
    frames = []
    for at in range(10):
        frame = Image.new("RGB", (side, side), "white")
        top = start + step * at
        ImageDraw.Draw(frame).rectangle((24, top, 38, top + 12), fill=(220, 20, 20))
        frames.append(frame)
    frames[0].save(place, save_all=True, append_images=frames[1:], duration=200, loop=0)


def note(place: Path, frequency: float = 440.0, seconds: float = 0.6, rate: int = 16_000) -> None:
    """The note A of a plucked string, as a mono wav of 16 bits."""
    t = np.arange(round(seconds * rate)) / rate
    sound = sum(0.5**k * np.sin(2 * np.pi * (k + 1) * frequency * t) for k in range(4))
    sound = sound * np.exp(-3 * t) * np.minimum(1, t / 0.01)
    samples = (0.4 * sound / np.abs(sound).max() * 32767).astype("<i2")
    with wave.open(str(place), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())


def still(place: Path, seed: int = 0) -> None:
    """Ten seconds of a wrist sensor at rest: three channels of acceleration, three of rotation, 10 Hz."""
    rng = np.random.Generator(np.random.PCG64(seed))
    names = ("accel_x", "accel_y", "accel_z", "gyro_x", "gyro_y", "gyro_z")
    values = 0.05 * rng.standard_normal((100, 6))
    rows = [",".join(f"{value:.4f}" for value in row) for row in values]
    place.write_text("\n".join([",".join(names), *rows, ""]))


if __name__ == "__main__":
    main()
