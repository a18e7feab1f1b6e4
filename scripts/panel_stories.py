"""More stories for the pictures of the docs: the table of objects, the closed parts of the dock, its other windows."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tifffile
from napari._qt.dialogs.preferences_dialog import PreferencesDialog
from napari.settings import get_plugin_settings
from qtpy.QtCore import QItemSelectionModel, Qt
from qtpy.QtWidgets import QLineEdit, QListWidget, QScrollArea, QToolButton
from skimage.color import rgb2hed
from stories import (
    AT_NUCLEI,
    NUCLEI,
    SIZE,
    Shot,
    add_region,
    answering,
    click,
    corners,
    keep,
    look,
    open_section,
    portrait,
    ready,
    settle,
    show_in_dock,
    story,
)
from viewer_user import User

from napari_sam2refiner import samples
from napari_sam2refiner._qt.key_sheet import KeySheet
from napari_sam2refiner._qt.parts import Section
from napari_sam2refiner._qt.preferences import PLUGIN
from napari_sam2refiner.viewer.autosave import FOLDER_VARIABLE

if TYPE_CHECKING:
    from napari_sam2refiner._qt.dock import SegmentDock

CHOOSE = QItemSelectionModel.SelectionFlag.Select | QItemSelectionModel.SelectionFlag.Rows
DIVIDING = 8  # a frame where one nucleus is about to fall into two, and another just has
AT_DIVIDING = (0, 112, 172), 4.0
DIVIDING_BOX, CUT = (118, 118, 157, 153), [(127, 115), (136, 134), (146, 153)]
DAUGHTERS = [(78, 205), (90, 220)]


@story
def merge_split() -> Iterator[Shot]:
    """Cut a mask of two nuclei in two, and make two of one."""
    user = User(samples.nuclei_movie()[DIVIDING], {"name": "nuclei", "colormap": "gray"}, SIZE)
    dock = user.open_dock()
    ready(user)
    look(user, AT_DIVIDING)
    dock.controller.start_boxing()
    add_region(user, corners(DIVIDING_BOX), "rectangle")
    keep(user)
    dock.controller.start_clicking()
    for place in DAUGHTERS:
        click(user, *place)
        keep(user)
    dock.objects.split.click()
    show_in_dock(user, dock.objects.classify)
    user.drag(CUT)
    yield Shot("split-before", user, [user.canvas, dock])
    user.release(CUT[-1])
    user.wait(lambda: len(dock.state.objects) == 4)
    yield Shot("split-after", user, [user.canvas, dock])
    select(dock, 2, 3)
    show_in_dock(user, dock.objects.merge)
    yield Shot("merge-before", user, [user.canvas, dock])
    dock.objects.merge.click()
    user.wait(lambda: len(dock.state.objects) == 3)
    yield Shot("merge-after", user, [user.canvas, dock])


@story
def names() -> Iterator[Shot]:
    """Give objects names and classes in the table."""
    (image, layer, _), *_ = samples.tissue()
    user = User(image, layer, SIZE)
    dock = user.open_dock()
    ready(user)
    look(user, AT_NUCLEI)
    for place in NUCLEI:
        click(user, *place)
        keep(user)
    objects = dock.controller.objects
    objects.call(1, "upper")
    objects.call(3, "left edge")
    objects.classify("stroma", [3])
    objects.classify("nucleus", [1, 2])
    select(dock, 4, 5)
    dock.objects.kind.setEditText("nucleus")
    show_in_dock(user, dock.objects.classify)
    dock.objects.classify.click()
    settle(user)
    table = dock.objects.table
    table.edit(table.model().index(3, 1))
    table.findChild(QLineEdit).insert("lower")
    user.wait(lambda: True)
    yield Shot("names", user, [dock.objects])


@story
def preferences() -> Iterator[Shot]:
    """Open our page of napari's Preferences."""
    user = User(size=SIZE)
    settings = get_plugin_settings(PLUGIN).segment
    settings.keyboard = "keep = F2, undo = Ctrl-Shift-J"
    dialog = PreferencesDialog(user.canvas.window())
    dialog.show()
    pages = dialog.findChild(QListWidget)
    mine = next(row for row in range(pages.count()) if pages.item(row).text() == "SAM2Refiner")
    pages.setCurrentRow(mine)
    dialog.resize(1065, 470)
    user.wait(lambda: True)
    yield Shot("preferences", user, pictures=[portrait(dialog)])
    dialog.close()
    settings.keyboard = ""


@story
def keys() -> Iterator[Shot]:
    """Open the sheet of keys."""
    user = User(size=SIZE)
    dock = user.open_dock()
    user.wait(lambda: dock.state.model is not None and not dock.state.loading)
    dock.manners.help.click()
    sheet = dock.window().findChild(KeySheet)
    user.wait(lambda: True)
    yield Shot("keys", user, pictures=[portrait(sheet.findChild(QScrollArea).widget())])
    sheet.close()


@story
def session() -> Iterator[Shot]:
    """Save the work into a file, and go on with it in an empty viewer."""
    folder = Path(tempfile.mkdtemp())
    (image, _, _), *_ = samples.tissue()
    tifffile.imwrite(folder / "tissue.tif", image, photometric="rgb")
    before = User(size=SIZE)
    before.viewer.open(folder / "tissue.tif")
    dock = before.open_dock()
    ready(before)
    look(before, AT_NUCLEI)
    for place in NUCLEI[:3]:
        click(before, *place)
        keep(before)
    click(before, *NUCLEI[4])
    open_section(dock.session)
    with answering(folder / "tissue.sam2refiner"):
        dock.session.save.click()
    before.wait(lambda: "Saved" in dock.state.news)
    show_in_dock(before, dock.session)
    yield Shot("session-save", before, [dock])
    before.viewer.close()
    os.environ[FOLDER_VARIABLE] = tempfile.mkdtemp()  # on another computer
    user = User(size=SIZE)
    dock = user.open_dock()
    user.wait(lambda: dock.state.model is not None and not dock.state.loading)
    open_section(dock.session)
    with answering(next(folder.glob("tissue.sam2refiner*"))):
        dock.session.open.click()
    user.wait(lambda: len(dock.state.objects) == 3)
    settle(user)
    look(user, AT_NUCLEI)
    yield Shot("session", user)


@story
def channels() -> Iterator[Shot]:
    """Look at the two stains of a section together."""
    user = of_stains()
    dock = user.open_dock()
    ready(user)
    look(user, AT_NUCLEI)
    open_section(dock.channels)
    tick_first(user)
    click(user, 400, 310)
    yield Shot("channels", user)


@story
def sections() -> Iterator[Shot]:
    """Open every part of the dock, in both themes."""
    user = of_stains()
    dock = user.open_dock()
    ready(user)
    tick_first(user)
    for place in NUCLEI[:2]:
        click(user, *place)
        keep(user)
    click(user, *NUCLEI[2])
    for section in dock.findChildren(Section):
        title = section.findChild(QToolButton)
        if not title.isChecked():
            title.click()
    settle(user)
    pictures = []
    for theme in ("dark", "light"):
        user.viewer.theme = theme
        user.wait(lambda: True)
        pictures.append(portrait(dock.findChild(QScrollArea).widget()))
    yield Shot("sections", user, pictures=pictures)


def select(dock: SegmentDock, *ids: int) -> None:
    """Choose rows of the table."""
    table = dock.objects.table
    table.clearSelection()
    for row in range(table.model().rowCount()):
        index = table.model().index(row, 0)
        if int(index.data()) in ids:
            table.selectionModel().select(index, CHOOSE)


def of_stains() -> User:
    """Return a user who looks at the two stains of a section, told apart by their colours."""
    (image, _, _), *_ = samples.tissue()
    stains = np.clip(rgb2hed(image), 0, None)
    user = User(size=SIZE)
    for name, stain, colormap in (("DAB", stains[..., 2], "bop orange"), ("hematoxylin", stains[..., 0], "bop blue")):
        picture = (255 * np.clip(stain / np.percentile(stain, 99.8), 0, 1)).astype(np.uint8)
        user.viewer.add_image(picture, name=name, colormap=colormap, blending="additive")
    return user


def tick_first(user: User) -> None:
    """Have the first of the other channels looked at, too."""
    assert user.dock is not None
    user.dock.channels.layers.item(0).setCheckState(Qt.CheckState.Checked)
    settle(user)
