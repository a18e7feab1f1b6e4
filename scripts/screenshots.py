"""Make the pictures of the README and the docs: a real viewer, real clicks, the real model.

Each story of `stories.py` is played, and what it shows is written to docs/images: stills as PNG, moving pictures as
WebP. The same code gives the same files, but for a pixel of napari's thumbnails: what differs from run to run, as
seconds do, is not in them.

Run by `make screenshots`, or: xvfb-run -a -s "-screen 0 1600x1000x24" python scripts/screenshots.py [STORY ...]
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import panel_stories  # noqa: F401 -- lists its stories
import stories
import viewer_user
from PIL import Image, ImageDraw
from qtpy.QtCore import QPoint, QRect
from stories import STORIES, Frame, Shot

from napari_sam2refiner.viewer.autosave import FOLDER_VARIABLE

FOLDER = Path(__file__).parents[1] / "docs" / "images"
MOST_STILL, MOST_MOVING, MOST_ALL = 200_000, 600_000, 3_500_000  # bytes
GAP = 12  # pixels between pictures that stand side by side
POINTER = np.array([(0, 0), (0, 17), (4, 13), (7, 20), (10, 19), (7, 12), (13, 12)])  # (x, y)


def main() -> None:
    """Play stories and write their pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stories", nargs="*", metavar="STORY", help=f"all, or some of: {', '.join(STORIES)}")
    parser.add_argument("--model", help="a weight file instead of the embedded one")
    arguments = parser.parse_args()
    stories.MODEL_FILE = arguments.model
    os.environ["TZ"] = "UTC"
    time.tzset()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in arguments.stories or STORIES:
        play(name)
    total = sum(path.stat().st_size for path in FOLDER.iterdir())
    print(f"{total:,} bytes in all")
    assert total <= MOST_ALL, f"the pictures have {total:,} bytes, more than {MOST_ALL:,}"


def play(name: str) -> None:
    """Play one story, with nobody's work kept from before, and write its pictures."""
    os.environ[FOLDER_VARIABLE] = tempfile.mkdtemp()
    random.seed(0)  # napari greets with a tip drawn by lot
    moving: dict[str, list[tuple[Image.Image, int]]] = {}
    for seen in STORIES[name]():
        seen.user.wait(lambda: True)
        picture = draw(seen)
        if isinstance(seen, Shot):
            path = FOLDER / f"{seen.name}.png"
            save(picture, path)
            tell(path, MOST_STILL)
        else:
            moving.setdefault(seen.name, []).append((picture, seen.milliseconds))
    for film, frames in moving.items():
        path = FOLDER / f"{film}.webp"
        pictures, times = zip(*frames, strict=True)
        pictures[0].save(
            path, save_all=True, append_images=pictures[1:], duration=times, loop=0, quality=60, method=4,
            minimize_size=True,
        )  # fmt: skip
        tell(path, MOST_MOVING)
    viewer_user.napari.Viewer.close_all()


def save(picture: Image.Image, path: Path) -> None:
    """Write a picture with as many colours as fit into the size."""
    for colors in (256, 128, 64, 32):
        few = picture.quantize(colors, Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)
        few.save(path, optimize=True)
        if path.stat().st_size <= MOST_STILL:
            return


def draw(seen: Shot | Frame) -> Image.Image:
    """Return what there is to see."""
    if isinstance(seen, Shot) and seen.pictures:
        return beside(seen.pictures)
    window = seen.user.viewer.screenshot(canvas_only=False, flash=False)
    picture = Image.fromarray(window).convert("RGB")
    if isinstance(seen, Frame) and seen.pointer is not None:
        canvas = seen.user.canvas
        tip = canvas.mapTo(canvas.window(), seen.user.place(canvas, *seen.pointer))
        corners = [tuple(corner) for corner in np.add(POINTER, (tip.x(), tip.y()))]
        ImageDraw.Draw(picture).polygon(corners, fill="white", outline="black", width=1)
    if seen.part is None:
        return picture
    shown = QRect()
    for part in seen.part:
        shown = shown.united(QRect(part.mapTo(part.window(), QPoint(0, 0)), part.size()))
    return picture.crop((shown.left(), shown.top(), shown.right() + 1, shown.bottom() + 1))


def beside(pictures: Sequence[Image.Image]) -> Image.Image:
    """Return pictures side by side."""
    width = sum(picture.width for picture in pictures) + GAP * (len(pictures) - 1)
    whole = Image.new("RGB", (width, max(picture.height for picture in pictures)), "white")
    left = 0
    for picture in pictures:
        whole.paste(picture, (left, 0))
        left += picture.width + GAP
    return whole


def tell(path: Path, most: int) -> None:
    """Say how large a picture has become; fail where that is too much."""
    size = path.stat().st_size
    print(f"{path.name}: {size:,} bytes", flush=True)
    assert size <= most, f"{path.name} has {size:,} bytes, more than {most:,}"


if __name__ == "__main__":
    main()
