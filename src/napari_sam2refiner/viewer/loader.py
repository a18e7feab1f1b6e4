"""Loads the models that the user chooses, off the GUI thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import PurePath

from napari_sam2refiner.viewer.segmenter import Job, Outcome, Segmenter
from napari_sam2refiner.viewer.state import ModelChoice, ModelState

Submit = Callable[[Job, Callable[[Outcome], None]], None]


class ModelLoader:
    """Keeps the choice of a model and what the worker has loaded in step; the newest choice wins.

    Parameters
    ----------
    state : ModelState
    segmenter : Segmenter
        Touched by the worker alone, through jobs.
    submit : callable
        Takes a job and what to call with its outcome, on the thread that runs this loader.
    on_started : callable
        Called when a model has been chosen; until it is there the one before stays.
    on_replaced : callable
        Called when another model answers from now on.
    on_finished : callable
        Takes one sentence about what went wrong, or nothing, when the newest choice is settled.
    on_unloaded : callable
        Takes one sentence when the model has been taken out of memory.

    Attributes
    ----------
    loaded : str or None
        The model that answers; none once it was taken out of memory, until it is loaded again.
    """

    def __init__(
        self,
        state: ModelState,
        segmenter: Segmenter,
        submit: Submit,
        *,
        on_started: Callable[[], None],
        on_replaced: Callable[[], None],
        on_finished: Callable[[str], None],
        on_unloaded: Callable[[str], None],
    ) -> None:
        self._state = state
        self._segmenter = segmenter
        self._submit = submit
        self._on_started = on_started
        self._on_replaced = on_replaced
        self._on_finished = on_finished
        self._on_unloaded = on_unloaded
        self._loads = 0
        self._is_closed = False
        self.loaded: str | None = None

    def choose_file(self, path: str) -> None:
        """Load a model from the user's own file, again where it is loaded: the file may be another now."""
        if not self._is_closed:
            self._load(path)

    def choose_model(self, name: str | None) -> None:
        """Load a model that is not chosen yet, or not in memory any more."""
        is_there = name == self._state.model and not self._state.unloaded
        if not self._is_closed and name is not None and not is_there:
            self._load(name)

    def unload(self) -> None:
        """Take the model out of memory, with all that it has seen; it stays chosen."""
        if self._is_closed or self._state.loading or self.loaded is None:
            return
        self.loaded, self._state.unloaded = None, True
        self._submit(Job("unload", self._segmenter.unload), partial(self._on_given_back, self._loads))

    def wake(self) -> None:
        """Load the model again that was taken out of memory; what is asked of the worker next finds it there."""
        if not self._is_closed and self._state.unloaded and self._state.model is not None:
            self._load(self._state.model, is_same=True)

    def close(self) -> None:
        """Wait for no model any more."""
        self._loads += 1
        self._is_closed = True

    def _load(self, name: str, *, is_same: bool = False) -> None:
        self._loads += 1
        self._state.model = name
        self._state.loading, self._state.loaded, self._state.unloaded = True, None, False
        self._on_started()
        load = self._loads
        run, tell = partial(self._segmenter.load, name), partial(self._on_progressed, load)
        job = Job("load", run, tell, lambda: load == self._loads)
        self._submit(job, partial(self._on_loaded, load, name, is_same))

    def _on_given_back(self, load: int, outcome: Outcome) -> None:
        if load == self._loads and not self._is_closed:
            size = f": {outcome.value / 1e6:,.0f} MB of memory are free again" if outcome.value else ""
            name = PurePath(self._state.model or "").name
            self._on_unloaded(outcome.error or f"{name} is unloaded{size}. It loads again when it is needed.")

    def _on_progressed(self, load: int, share: float) -> None:
        if load == self._loads:
            self._state.loaded = share

    def _on_loaded(self, load: int, name: str, is_same: bool, outcome: Outcome) -> None:
        if self._is_closed:
            return
        if not outcome.error:  # it answers from now on, also when another has been chosen meanwhile
            self.loaded = name
            if not is_same:
                self._on_replaced()
        if load != self._loads:
            return
        self._state.loading, self._state.loaded = False, None
        self._state.model = self.loaded
        if not outcome.error:
            self._list(name, borrows=bool(outcome.value))
        self._on_finished(f"{name} cannot be loaded: {outcome.error}" if outcome.error else "")

    def _list(self, name: str, *, borrows: bool) -> None:
        """List a model that has been loaded as being on disk; of a file only now is known whether it borrows."""
        models = self._state.models
        if name not in [model.name for model in models]:
            models = (*models, ModelChoice(name, 0, True, f"from {name}"))
        self._state.models = tuple(
            replace(model, on_disk=True, borrows=model.borrows or borrows) if model.name == name else model
            for model in models
        )
