"""The plugin's page in napari's Preferences; our defaults where napari has none (before 0.9)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from napari_sam2refiner.viewer.preferences import Preferences, preferences_from

PLUGIN = "napari-sam2refiner"


class PreferenceStore:
    """Reads what users have set, and says when that changes."""

    _knows_first_steps: ClassVar[bool] = False  # for this session, where nothing can be set

    def __init__(self) -> None:
        self._settings = _settings()
        self._on_changed: Callable[[], None] | None = None

    def read(self) -> Preferences:
        """Return what is set now."""
        preferences = preferences_from(self._settings)
        return replace(preferences, first_steps=preferences.first_steps and not self._knows_first_steps)

    def skip_first_steps(self) -> None:
        """Say the first steps no more, also in later sessions where that can be set."""
        if self._settings is None:
            PreferenceStore._knows_first_steps = True
        else:
            self._settings.first_steps = False

    def watch(self, on_changed: Callable[[], None]) -> None:
        """Have something called when anything is set."""
        self._on_changed = on_changed
        if self._settings is not None:
            self._settings.events.connect(self._on_event)

    def close(self) -> None:
        """Watch no more; may be called again."""
        if self._settings is not None and self._on_changed is not None:
            self._settings.events.disconnect(self._on_event)
        self._on_changed = None

    def _on_event(self, _event: Any) -> None:
        if self._on_changed is not None:
            self._on_changed()


def _settings() -> Any:
    """Return what napari keeps for the manifest's configuration, None where it keeps nothing."""
    try:
        from napari.settings import get_plugin_settings
    except ImportError:
        return None
    try:
        return get_plugin_settings(PLUGIN).segment
    except Exception:  # it reads the configurations of all plugins; whatever one of them is like, the dock opens
        return None
