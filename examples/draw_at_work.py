"""Draws examples/at_work.png, the picture at the top of the README, from real answers of the embedded bundle.

python examples/draw_at_work.py
"""

from __future__ import annotations

import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from mmagent import Agent

HERE = Path(__file__).parent
INK, PAPER, DIM, ACCENT = (225, 228, 232), (24, 27, 33), (139, 148, 158), (126, 231, 135)


def main() -> None:
    """Ask, and draw what was answered."""
    agent = Agent.load("tiny")
    shots = [
        {"image": str(HERE / f"pictures/{n}-{k}.png"), "answer": n}
        for k in (1, 2)
        for n in ("dax", "blicket")
    ]
    cat, shapes, new = (str(HERE / "pictures" / name) for name in ("cat.jpg", "shapes.png", "dax-3.png"))
    panels = [
        (cat, ["What is this?", "Can it fly?", "What is it made of?", "How many legs does it have?"], []),
        (
            shapes,
            [None, "How many shapes are there?", "What is below the red circle?", "Is there a green star?"],
            [],
        ),
        (new, ["What is this?"], shots),
    ]
    font = ImageFont.load_default(17)
    height, width, y = 240, 1280, 24
    picture = Image.new("RGB", (width, height * len(panels) + 20), PAPER)
    pen = ImageDraw.Draw(picture)
    for path, questions, taught in panels:
        small = Image.open(path).convert("RGB")
        small.thumbnail((190, 190))
        picture.paste(small, (24, y))
        line = y
        if taught:
            pen.text((240, line), "taught by four drawings: dax, blicket, dax, blicket", DIM, font)
            for at, shot in enumerate(taught):
                tiny = Image.open(shot["image"]).convert("RGB").resize((84, 84))
                picture.paste(tiny, (240 + 92 * at, line + 30))
            line += 128
        for question in questions:
            answer = agent.ask(question, image=path, shots=taught)
            asked = f'$ mmagent ask "{question}"' if question else "$ mmagent ask"
            pen.text((240, line), f"{asked} --image {Path(path).name}", INK, font)
            for said in textwrap.wrap(answer.text, 92) or [""]:
                line += 22
                pen.text((240, line), f"{said}   ", ACCENT, font)
            wide = pen.textlength(f"{said}   ", font)
            pen.text((240 + wide, line), f"({100 * answer.confidence:.0f} % sure)", DIM, font)
            line += 28
        y += height
    picture.save(HERE / "at_work.png", optimize=True)


if __name__ == "__main__":
    main()
