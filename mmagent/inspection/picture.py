"""The picture of what was inspected: one PNG, or a page that holds the profile beside it."""

from __future__ import annotations

import html
from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from mmagent.errors import UserError
from mmagent.files import landing, staged_file
from mmagent.inspection.shown import clean, rows

if TYPE_CHECKING:
    from PIL import Image

    from mmagent.inspection.look import Inspection

__all__ = ["demand_target", "drawn", "write_picture"]

SUFFIXES = (".png", ".html")
SIZE = (10.0, 5.0)  # inches
DOTS = 120  # per inch

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem }}
h1 {{ font-size: 1.3rem }} h2 {{ font-size: 1rem; margin: 1.2rem 0 .3rem }}
article + article {{ border-top: 1px solid #8886; margin-top: 2rem; padding-top: 1rem }}
img {{ max-width: 100%; height: auto; border-radius: 6px }}
td {{ padding: .05rem 1.5rem .05rem 0; vertical-align: top; overflow-wrap: anywhere }}
:root {{ color-scheme: light dark }}
</style>
{articles}
</html>
"""


def demand_target(target: Path) -> None:
    """Raise UserError unless a picture can be written under this name and matplotlib is there to draw it."""
    if target.suffix.lower() not in SUFFIXES:
        raise UserError(f"a picture is written as {' or '.join(SUFFIXES)}, not as {target.name!r}.")
    landing(target)
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UserError("a picture needs matplotlib. Install it: pip install 'mmagent[pictures]'.") from error


def drawn(found: Inspection) -> Image.Image | None:
    """The picture of one input; None where its modality draws nothing. Needs matplotlib, no display."""
    from matplotlib.figure import Figure
    from PIL import Image

    figure = Figure(figsize=SIZE, dpi=DOTS, layout="constrained")
    figure.suptitle(clean(Path(found.source).name), fontsize="medium", parse_math=False)
    if not found.draw(figure):
        return None
    stream = BytesIO()
    figure.savefig(stream, format="png")
    picture = Image.open(stream)
    picture.load()
    return picture.convert("RGB")


def write_picture(found: Sequence[Inspection], target: Path) -> int:
    """Write the pictures below one another as PNG, or a page with every profile; how many were drawn.

    An existing file is replaced. A PNG without any picture is not written. Raises `UserError`.
    """
    pictures = [drawn(one) for one in found]
    there = [picture for picture in pictures if picture is not None]
    if target.suffix.lower() == ".png":
        if not there:
            return 0
        content = _png(_stacked(there))
    else:
        articles = [_article(one, picture) for one, picture in zip(found, pictures, strict=True)]
        title = html.escape(", ".join(clean(one.source) for one in found))
        content = PAGE.format(title=title, articles="\n".join(articles)).encode()
    with staged_file(target, replace=True) as stream:
        stream.write(content)
    return len(there)


def _stacked(pictures: Sequence[Image.Image]) -> Image.Image:
    from PIL import Image

    if len(pictures) == 1:
        return pictures[0]
    size = max(one.width for one in pictures), sum(one.height for one in pictures)
    whole, top = Image.new("RGB", size, "white"), 0
    for one in pictures:
        whole.paste(one, (0, top))
        top += one.height
    return whole


def _png(picture: Image.Image) -> bytes:
    stream = BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _article(found: Inspection, picture: Image.Image | None) -> str:
    summary = found.description if found.profile is None else found.profile.summary
    parts = [f"<article><h1>{html.escape(clean(found.source))}</h1><p>{html.escape(clean(summary))}</p>"]
    if picture is not None:
        data = b64encode(_png(picture)).decode()
        parts.append(
            f'<img alt="the {html.escape(found.modality)}, drawn" src="data:image/png;base64,{data}">'
        )
    for heading, told in rows(found):
        cells = "".join(f"<tr><td>{html.escape(a)}<td>{html.escape(b)}" for a, b in told)
        parts.append(f"<h2>{html.escape(heading)}</h2><table>{cells}</table>")
    return "\n".join([*parts, "</article>"])
