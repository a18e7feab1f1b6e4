"""What the pictures of the docs show: stories of somebody at work, which `screenshots.py` plays.

A story opens viewers, acts, and yields a `Shot` or a `Frame` whenever there is something to see. A new picture is one
more `yield`; a new story a function under `@story`.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from qtpy.QtCore import QBuffer
from qtpy.QtWidgets import QFileDialog, QScrollArea, QToolButton, QWidget
from scipy import ndimage
from skimage.filters import threshold_otsu
from viewer_user import User

from napari_sam2refiner import samples
from napari_sam2refiner._qt.follow_dock import FollowDock
from napari_sam2refiner._qt.relabel_dock import RefineLabelsDock

SIZE = (1220, 780)  # of the window
GLAND = (300, 250, 505, 385)  # y0, x0, y1, x1
THIRD_GLAND_OUTLINE = [
    (140, 60),
    (75, 110),
    (62, 200),
    (110, 268),
    (190, 262),
    (252, 200),
    (250, 130),
    (200, 70),
]  # (y, x)
OTHER_GLAND, MISSING = (150, 352), (80, 318)  # a click, and one that corrects what it finds
TOO_MUCH = (110, 480), (188, 468)  # clicks that do so, too
THIRD_GLAND = (207, 200)
SCRIBBLE = [(345, 308), (365, 296), (390, 296), (415, 308), (440, 322), (465, 330), (490, 336)]
TWO_NUCLEI = [(251, 297), (292, 356)]
NUCLEI = [*TWO_NUCLEI, (267, 173), (425, 218), (423, 174)]
# Centre and zoom. Whole zooms draw squares of one colour, which a PNG holds in less.
AT_NUCLEI, AT_THIRD_GLAND, AT_OTHER_GLAND = ((0, 328, 300), 2.0), ((0, 165, 165), 2.0), ((0, 150, 390), 2.0)
AT_TWO_NUCLEI = (0, 275, 325), 4.0
LONG_AGO = 1767258000.0  # seconds since the epoch
MODEL_FILE: str | None = None  # instead of `micro`


@dataclass(frozen=True, slots=True)
class Shot:
    """A still: the whole window, what of it holds some widgets, or portraits side by side."""

    name: str
    user: User
    part: Sequence[QWidget] | None = None
    pictures: Sequence[Image.Image] = ()


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a moving one, shown for so long; with a pointer at a place (y, x) of the image."""

    name: str
    user: User
    part: Sequence[QWidget]
    milliseconds: int
    pointer: tuple[float, float] | None = None


Story = Callable[[], Iterator[Shot | Frame]]
STORIES: dict[str, Story] = {}


def story(play: Story) -> Story:
    """List a story under its function's name."""
    STORIES[play.__name__.replace("_", "-")] = play
    return play


@story
def first_mask() -> Iterator[Shot]:
    """Open the dock, click on a gland, correct what comes."""
    user = User(size=SIZE)
    dock = user.open_dock()
    user.wait(lambda: dock.state.model is not None and not dock.state.loading)
    yield Shot("start", user)
    (image, layer, _), *_ = samples.tissue()
    user.viewer.add_image(image, **layer)
    ready(user, is_new=True)
    look(user, AT_OTHER_GLAND)
    yield Shot("ready", user)
    click(user, *OTHER_GLAND)
    yield Shot("first-click", user)
    dock.controller.next_candidate()
    settle(user)
    yield Shot("next-guess", user)
    while dock.state.candidate:
        dock.controller.next_candidate()
    click(user, *MISSING)
    dock.controller.set_negative(True)
    for place in TOO_MUCH:
        click(user, *place)
    yield Shot("correction", user)


@story
def objects() -> Iterator[Shot]:
    """Keep a gland from a box, nuclei from clicks and a gland from an outline; open the first again."""
    (image, layer, _), *_ = samples.tissue()
    user = User(image, layer, SIZE)
    dock = user.open_dock()
    ready(user)
    look(user, AT_NUCLEI)
    dock.controller.prompting.start_scribbling()
    user.drag(SCRIBBLE)
    user.release(SCRIBBLE[-1])
    settle(user)
    yield Shot("scribble", user)
    dock.controller.clear()
    dock.controller.start_boxing()
    add_region(user, corners(GLAND), "rectangle")
    yield Shot("box", user)
    keep(user)
    dock.controller.start_clicking()
    for place in NUCLEI:
        click(user, *place)
        keep(user)
    dock.controller.objects.classify("gland", [1])
    dock.controller.objects.classify("nucleus", range(2, 2 + len(NUCLEI)))
    click(user, *THIRD_GLAND)
    yield Shot("first-mask", user)
    dock.controller.clear()
    look(user, AT_THIRD_GLAND)
    regions = user.viewer.layers["regions"]
    user.viewer.layers.selection.active, regions.mode = regions, "add_polygon"
    add_region(user, THIRD_GLAND_OUTLINE, "polygon")
    yield Shot("polygon", user)
    keep(user)
    dock.controller.start_clicking()
    dock.controller.objects.reopen(1)
    look(user, AT_NUCLEI)
    settle(user)
    yield Shot("reopened", user)
    dock.controller.clear()
    user.viewer.theme = "light"
    settle(user)
    yield Shot("light-theme", user)


@story
def several_boxes() -> Iterator[Shot]:
    """Draw a box around each nucleus, and have them all at once."""
    frame = samples.nuclei_movie()[0]
    user = User(frame, {"name": "nuclei", "colormap": "gray"}, SIZE)
    dock = user.open_dock()
    ready(user)
    user.viewer.reset_view()
    open_section(dock.prompting)
    dock.controller.prompting.set_apart(True)
    dock.controller.start_boxing()
    found = ndimage.find_objects(ndimage.label(bright(frame))[0])
    boxes = [corners((y.start - 4, x.start - 4, y.stop + 3, x.stop + 3)) for y, x in found]
    user.viewer.layers["regions"].add(np.array(boxes, float), shape_type="rectangle")
    settle(user)
    yield Shot("several-boxes", user)


@story
def everything() -> Iterator[Shot]:
    """Find all nuclei without a click."""
    user = User(samples.nuclei_movie()[0], {"name": "nuclei", "colormap": "gray"}, SIZE)
    dock = user.open_dock()
    ready(user)
    user.viewer.reset_view()
    open_section(dock.everything)
    dock.everything.find_all.click()
    search = dock.controller.everything.state
    user.wait(lambda: bool(dock.state.objects) and not search.running)
    search.news = without_seconds(search.news)
    show_in_dock(user, dock.objects.classify)
    yield Shot("everything", user)


@story
def tidy() -> Iterator[Shot]:
    """Take a speck off a mask and smooth its outline, and export it."""
    (image, layer, _), *_ = samples.tissue()
    user = User(image, layer, SIZE)
    dock = user.open_dock()
    ready(user)
    look(user, AT_OTHER_GLAND)
    click(user, *OTHER_GLAND)
    dock.controller.next_candidate()
    settle(user)
    tidying = dock.tidy
    open_section(tidying)
    yield Shot("ragged", user, [user.canvas])
    tidying.smooth.setValue(3)
    tidying.specks.setValue(200)
    tidying.fill_holes.setChecked(True)
    settle(user)
    yield Shot("tidy", user, [user.canvas, dock])
    open_section(tidying)
    keep(user)
    open_section(dock.exchange)
    exported = []
    dock.exchange.export_asked.connect(exported.append)
    with answering(Path(tempfile.mkdtemp()) / "lumen.zip"):
        dock.exchange.formats.setCurrentIndex(dock.exchange.formats.findText("ImageJ ROIs"))
        dock.exchange.export.click()
    user.wait(lambda: bool(exported) and dock.exchange.export.isEnabled())
    dock.exchange.set_note(without_seconds(dock.exchange.note.text()), False)
    show_in_dock(user, dock.exchange)
    yield Shot("export", user, [dock.objects, dock.exchange])


@story
def bring_back() -> Iterator[Shot]:
    """Leave work unsaved, and open the same image again."""
    (image, layer, _), *_ = samples.tissue()
    before = User(image, layer, SIZE)
    before.open_dock()
    ready(before)
    for place in NUCLEI[:3]:
        click(before, *place)
        keep(before)
    before.viewer.close()
    user = User(image, layer, SIZE)
    dock = user.open_dock()
    ready(user)
    user.wait(lambda: dock.state.earlier is not None)
    dock.state.earlier = LONG_AGO
    yield Shot("bring-back", user, [dock])


@story
def refine_labels() -> Iterator[Shot]:
    """Give labels that a threshold made too small new outlines."""
    frame = samples.nuclei_movie()[0]
    user = User(frame, {"name": "nuclei", "colormap": "gray"}, SIZE)
    small = ndimage.binary_erosion(bright(frame), iterations=2)
    user.viewer.add_labels(ndimage.label(small)[0], name="threshold")
    dock = user.open(RefineLabelsDock(user.viewer), "Refine labels")
    user.wait(lambda: dock.state.model is not None and not dock.state.loading)
    user.viewer.reset_view()  # with the dock beside it
    yield Shot("refine-before", user)
    dock.run.refine.click()
    user.wait(lambda: bool(dock.state.changes) and not dock.state.running)
    dock.state.news = without_seconds(dock.state.news)
    yield Shot("refine-after", user)


@story
def follow() -> Iterator[Shot | Frame]:
    """Carry the nuclei of the first frame through a time-lapse."""
    (movie, layer, _), *_ = samples.dividing_nuclei()
    user = User(movie, layer, SIZE)
    labels = np.zeros(movie.shape, np.uint16)
    labels[0] = ndimage.label(bright(movie[0]))[0]
    user.viewer.add_labels(labels, name="nuclei")
    user.viewer.dims.set_current_step(0, 0)
    dock = user.open(FollowDock(user.viewer), "Follow objects")
    user.wait(lambda: dock.state.can_follow)
    user.viewer.reset_view()  # with the dock beside it
    yield Shot("follow-before", user)
    dock.run.follow.click()
    user.wait(lambda: bool(dock.state.next_undo) and not dock.state.running)
    dock.state.news = without_seconds(dock.state.news)
    dock.controller.show_weak(0, 1)
    yield Shot("follow", user)
    for frame in range(len(movie)):
        user.viewer.dims.set_current_step(0, frame)
        yield Frame("following", user, [user.canvas, dock], 1500 if frame in (0, len(movie) - 1) else 350)


@story
def click_correct_keep() -> Iterator[Frame]:
    """Show the three steps as they are seen."""
    (image, layer, _), *_ = samples.tissue()
    user = User(image, layer, SIZE)
    dock = user.open_dock()
    ready(user)

    def frame(milliseconds: int, pointer: tuple[float, float]) -> Frame:
        return Frame("click-correct-keep", user, [user.canvas, dock], milliseconds, pointer)

    look(user, AT_TWO_NUCLEI)
    for nucleus in TWO_NUCLEI:
        yield frame(900, nucleus)
        click(user, *nucleus)
        yield frame(1400, nucleus)
        keep(user)
    yield frame(1200, TWO_NUCLEI[-1])
    look(user, AT_OTHER_GLAND)
    for place in (OTHER_GLAND, MISSING, *TOO_MUCH):
        is_too_much = place in TOO_MUCH
        dock.controller.set_negative(is_too_much)
        yield frame(900, place)
        click(user, *place)
        yield frame(1600, place)
    keep(user)
    yield frame(2500, TOO_MUCH[-1])


def ready(user: User, *, is_new: bool = False) -> None:
    """Wait for the model and the image; who is not new knows the first steps."""
    user.wait()
    assert user.dock is not None
    user.dock.state.first_steps = is_new
    if MODEL_FILE:
        user.dock.controller.choose_file(MODEL_FILE)
        user.wait()


def click(user: User, y: float, x: float) -> None:
    """Click, and wait for what it gives."""
    user.click(y, x)
    settle(user)


def settle(user: User) -> None:
    """Wait for the preview; how long it took differs from run to run."""
    user.wait()
    assert user.dock is not None
    user.dock.state.seconds = None


def keep(user: User) -> None:
    """Wait for the preview and keep it."""
    settle(user)
    assert user.dock is not None
    user.dock.controller.commit()
    user.wait()


def add_region(user: User, places: Any, kind: str) -> None:
    """Draw a box or an outline."""
    user.viewer.layers["regions"].add(np.array(places, float), shape_type=kind)
    settle(user)


def bright(frame: Any) -> Any:
    """Return where a picture is bright."""
    return ndimage.gaussian_filter(frame, 1.0) > threshold_otsu(frame)


def corners(box: tuple[float, float, float, float]) -> list[tuple[float, float]]:
    """Return the corners of a box y0, x0, y1, x1."""
    y0, x0, y1, x1 = box
    return [(y0, x0), (y0, x1), (y1, x1), (y1, x0)]


def open_section(panel: QWidget) -> None:
    """Open a closed part of the dock, or close an open one, by a click on its title."""
    panel.findChild(QToolButton).click()


def portrait(widget: QWidget) -> Image.Image:
    """Return what a widget looks like, all of it, also what a scroll bar would hide."""
    buffer = QBuffer()
    widget.grab().save(buffer, "PNG")
    return Image.open(BytesIO(bytes(buffer.data()))).convert("RGB")


def look(user: User, view: tuple[tuple[float, float, float], float]) -> None:
    """Look at a part of the image."""
    user.camera.center, user.camera.zoom = view
    user.wait(lambda: True)


def show_in_dock(user: User, widget: QWidget) -> None:
    """Scroll the dock so far that a part of it is seen."""
    user.wait(lambda: True)
    assert user.dock is not None
    user.dock.findChild(QScrollArea).ensureWidgetVisible(widget, 0, 6)


@contextmanager
def answering(path: Path) -> Iterator[None]:
    """Answer the question where to save, or what to open, with a file."""
    ways = {way: getattr(QFileDialog, way) for way in ("getSaveFileName", "getOpenFileName")}
    for way in ways:
        setattr(QFileDialog, way, lambda *_: (str(path), ""))
    try:
        yield
    finally:
        for way, own in ways.items():
            setattr(QFileDialog, way, own)


def without_seconds(news: str) -> str:
    """Leave out how long something took."""
    return re.sub(r"(?:[;,]| in) [\d.]+ s\b", "", news)
