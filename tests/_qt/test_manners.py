"""How the dock treats its user, in a real viewer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import napari.settings
import numpy as np
import pytest
from bench import MODELS, Bench
from napari import layers
from napari.settings import get_settings
from napari.utils.notifications import notification_manager
from napari.utils.shortcuts import default_shortcuts
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QLabel, QMenu, QPushButton, QToolButton, QWidget

from napari_sam2refiner._qt.key_binding import chosen_keys
from napari_sam2refiner._qt.key_sheet import KeySheet, rows_of
from napari_sam2refiner._qt.manners import Manners
from napari_sam2refiner._qt.parts import KEYED
from napari_sam2refiner._qt.preferences import PLUGIN, PreferenceStore
from napari_sam2refiner.labels.tidy import Tidying
from napari_sam2refiner.viewer.keys import KEYS, Bindings, spell

SHAPE = (60, 80)

needs_preferences = pytest.mark.skipif(
    not hasattr(napari.settings, "get_plugin_settings"), reason="napari before 0.9 has no Preferences for plugins"
)


@pytest.fixture
def settings() -> Any:
    """Return what napari keeps for the dock."""
    return napari.settings.get_plugin_settings(PLUGIN).segment


@pytest.fixture
def bench(make_napari_viewer_proxy: Any, qtbot: Any) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(*, image: bool = True, viewer: Any = None, **options: Any) -> Bench:
        viewer = viewer or make_napari_viewer_proxy(show=True)
        if image:
            viewer.add_image(np.zeros(SHAPE), name="cells")
        made.append(Bench(viewer, qtbot, **options))
        return made[-1]

    yield make
    for bench in made:
        bench.close()
        bench.dock = bench.viewer = None


def test_no_key_is_one_of_naparis(make_napari_viewer_proxy: Any) -> None:
    viewer = make_napari_viewer_proxy()
    taken = {str(key) for keys in default_shortcuts.values() for key in keys}
    taken |= {
        str(key) for kind in (layers.Image, layers.Labels, layers.Points, layers.Shapes) for key in kind.class_keymap
    }
    taken |= {str(key) for key in viewer.keymap}
    taken |= {
        shortcut.toString()
        for menu in QApplication.allWidgets()
        if isinstance(menu, QMenu)
        for action in menu.actions()
        for shortcut in action.shortcuts()
    }
    assert {"E", "Ctrl+Z"} <= taken, "else this test would look at nothing"
    assert not {spell(key) for key in taken} & {key.key for key in KEYS}


def test_naparis_keys_cannot_be_chosen(make_napari_viewer_proxy: Any) -> None:
    make_napari_viewer_proxy()
    for key in ("E", "Ctrl-Z", "Space", "Ctrl-C"):
        keys, problems = chosen_keys(f"keep = {key}")
        assert keys == Bindings()
        assert len(problems) == 1
    mine = next(iter(get_settings().shortcuts.shortcuts.values()))
    assert mine, "what the user has set there counts"


def test_every_key_does_what_its_button_says(bench: Any) -> None:
    user = bench()
    content = user.dock.manners._content
    keyed = {button.property(KEYED)[0] for button in content.findChildren(QPushButton) if button.property(KEYED)}
    here = {key.name for key in KEYS if key.group != "Follow objects"}
    assert keyed <= here
    assert {"switch", "box", "guess", "keep", "undo", "redo", "clear", "reopen", "delete", "help"} <= keyed


@needs_preferences
def test_other_keys_are_taken_at_once_and_shown_everywhere(bench: Any, settings: Any, qtbot: Any) -> None:
    user = bench()
    user.click(30, 40)
    settings.keyboard = "keep = F2, undo = Ctrl-Shift-J"
    qtbot.waitUntil(lambda: user.dock.state.keys.by_name["keep"] == "F2", timeout=20_000)
    assert user.dock.prompts.keep.text() == "Keep as 1 (F2)"
    assert "[F2]" in user.dock.prompts.keep.toolTip()
    assert "(F2)" in user.dock.status.hint.text()
    assert "Press F2" in user.dock.manners.first_steps.text.text()
    user.press("K")
    assert not user.result().any(), "K means nothing any more"
    user.press(Qt.Key.Key_F2)
    assert user.result().any()
    before = notification_manager.records[-1:]
    settings.keyboard = "keep = F2, kepe = F3"
    qtbot.waitUntil(lambda: notification_manager.records[-1:] != before, timeout=20_000)
    assert "'kepe' is nothing that has a key" in str(notification_manager.records[-1].message)


def test_a_key_of_another_plugin_stays_its_own(bench: Any, make_napari_viewer_proxy: Any) -> None:
    viewer, pressed = make_napari_viewer_proxy(show=True), []
    viewer.bind_key("K", pressed.append)
    user = bench(viewer=viewer)
    user.click(30, 40)
    user.press("K")
    assert len(pressed) == 1
    assert user.dock.prompts.keep.text() == "Keep as 1", "no promise that is not kept"


@needs_preferences
def test_what_is_set_holds_when_the_dock_opens_and_when_it_changes(bench: Any, settings: Any) -> None:
    settings.overlap, settings.smooth, settings.specks = "new object wins", 2.5, 7
    settings.autosave = False
    settings.model = "sam2.1_hiera_tiny"
    tiny = MODELS[0].__class__("sam2.1_hiera_tiny", 1, False)
    user = bench(models=(*MODELS, tiny))
    assert user.dock.state.model == "sam2.1_hiera_tiny"
    assert user.dock.state.overlap == "overwrite"
    assert user.dock.state.tidying == user.dock.tidy.tidying == Tidying(2.5, False, 7)
    assert user.dock.controller._autosave is None
    settings.fill_holes = True
    assert user.dock.state.tidying == user.dock.tidy.tidying == Tidying(2.5, True, 7)
    user.dock.controller.set_overlap("keep")
    settings.smooth = 0
    assert user.dock.state.overlap == "keep", "what was chosen in the dock stays"
    assert user.dock.tidy.overlap.currentData() == "keep"
    user.dock.tidy.overlap.activated.emit(1)
    assert user.dock.state.overlap == user.dock.tidy.overlap.currentData() == "overwrite"
    user.close()
    settings.fill_holes = False
    assert user.dock.state.tidying.fill_holes, "a closed dock listens no more"


def test_first_steps_go_with_the_first_object_and_stay_away(bench: Any) -> None:
    user = bench()
    steps = user.dock.manners.first_steps
    assert steps.isVisible()
    assert len(steps.text.text().splitlines()) == 3
    user.click(30, 40)
    assert steps.isVisible()
    user.press("K")
    assert not steps.isVisible()
    user.press("U")
    assert not steps.isVisible()
    user.close()
    user.viewer.layers.clear()
    again = bench(viewer=user.viewer)
    assert not again.dock.manners.first_steps.isVisible()


@needs_preferences
def test_the_cross_takes_the_first_steps_away_and_preferences_bring_them_back(bench: Any, settings: Any) -> None:
    user = bench()
    steps = user.dock.manners.first_steps
    steps.cross.click()
    assert not steps.isVisible()
    assert not settings.first_steps
    settings.first_steps = True
    assert steps.isVisible()


def test_without_settings_the_session_remembers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("napari.settings.get_plugin_settings", raising=False)
    store = PreferenceStore()
    store.watch(lambda: None)
    assert store.read().first_steps
    store.skip_first_steps()
    assert not PreferenceStore().read().first_steps
    store.close()
    store.close()


def test_where_no_image_is_open_a_button_opens_one(bench: Any) -> None:
    user = bench(image=False)
    panel = user.dock.manners.no_image
    user.wait(panel.isVisible)
    assert not user.dock.manners.first_steps.isVisible()
    panel.sample.click()
    user.wait(lambda: user.dock.state.image == "cell" and user.is_idle())
    assert not panel.isVisible()
    assert user.dock.manners.first_steps.isVisible()


def test_what_cannot_be_opened_is_one_sentence(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    user = bench(image=False)
    gone = "/nowhere/cells.tif"
    monkeypatch.setattr("napari_sam2refiner._qt.manners.QFileDialog.getOpenFileNames", lambda *_: ([gone], ""))
    user.dock.manners.no_image.open.click()
    message = str(notification_manager.records[-1].message)
    assert message.startswith("That cannot be opened: ")
    assert message.endswith(".")


def test_the_sheet_lists_every_key_in_groups(bench: Any) -> None:
    user = bench()
    user.press(Qt.Key.Key_F1)
    sheet = next(w for w in QApplication.topLevelWidgets() if isinstance(w, KeySheet))
    said = [label.text() for label in sheet.findChildren(QWidget) if hasattr(label, "text")]
    for rows in rows_of(user.dock.state.keys).values():
        for key, does, name in rows:
            assert {key, does, name} <= set(said)
    assert sum(len(rows) for rows in rows_of(Bindings()).values()) > len(KEYS)
    user.qtbot.keyClick(sheet, Qt.Key.Key_Escape)
    assert not sheet.isVisible()


def test_everything_can_be_reached_by_tab_and_has_a_name(bench: Any, qtbot: Any) -> None:
    user = bench()
    window = user.dock.window()
    content = user.dock.manners._content
    wanted = {w for w in content.findChildren(QWidget) if w.isVisible() and w.isEnabled() and _takes_input(w)}
    first = user.dock.source._image.native
    first.setFocus(Qt.FocusReason.TabFocusReason)
    reached = list[QWidget]()
    for _ in range(60):
        reached.append(window.focusWidget())
        qtbot.keyClick(window.focusWidget(), Qt.Key.Key_Tab)
        if window.focusWidget() is first:
            break
    assert wanted
    assert {_name(w) for w in wanted.difference(reached)} == set()
    assert [type(w).__name__ for w in wanted if not _name(w)] == []
    tops = [w.mapTo(content, w.rect().center()).y() for w in reached if w in wanted]
    assert tops == sorted(tops), "from top to bottom"


def test_the_sections_and_buttons_answer_to_space(bench: Any, qtbot: Any) -> None:
    user = bench()
    title = user.dock.tidy._section._title
    title.setFocus(Qt.FocusReason.TabFocusReason)
    qtbot.keyClick(title, Qt.Key.Key_Space)
    assert user.dock.tidy.smooth.isVisible()
    user.click(30, 40)
    keep = user.dock.prompts.keep
    keep.setFocus(Qt.FocusReason.TabFocusReason)
    qtbot.keyClick(keep, Qt.Key.Key_Space)
    user.wait(lambda: user.result().any())


def test_the_model_is_unloaded_by_its_menu_and_a_click_brings_it_back(bench: Any) -> None:
    user = bench()
    source = user.dock.source
    assert (source.unload.isEnabled(), source.load.isEnabled()) == (True, False)
    source.unload.trigger()
    user.wait(lambda: "unloaded" in user.dock.status.status.text())
    assert (source.unload.isEnabled(), source.load.isEnabled()) == (False, True)
    user.click(30, 40)
    assert user.preview.any()
    assert source.unload.isEnabled()


def _takes_input(widget: QWidget) -> bool:
    return widget.focusPolicy() != Qt.FocusPolicy.NoFocus and widget.metaObject() is not None and _is_ours(widget)


def _is_ours(widget: QWidget) -> bool:
    """Return whether it is a control, and not a part of one."""
    return isinstance(widget, QPushButton | QToolButton) or widget.metaObject().className() in (
        "QComboBox",
        "QCheckBox",
        "QSpinBox",
        "QDoubleSpinBox",
    )


def _name(widget: QWidget) -> str:
    """Return what a screen reader says: a name, the text, or the label that is its buddy."""
    labels = widget.window().findChildren(QLabel)
    buddy = next((label.text() for label in labels if label.buddy() is widget), "")
    return str(widget.accessibleName() or (widget.text() if hasattr(widget, "text") else "") or buddy)


def test_manners_need_no_preferences(make_napari_viewer_proxy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("napari.settings.get_plugin_settings", raising=False)
    manners = Manners(make_napari_viewer_proxy(), PreferenceStore())
    assert manners._set == PreferenceStore().read()
