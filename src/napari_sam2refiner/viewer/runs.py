"""What everything has in common that runs a model on an image and its labels; no Qt, napari or torch here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from napari_sam2refiner.viewer.loader import ModelLoader, Submit
from napari_sam2refiner.viewer.state import ModelChoice, ModelState

if TYPE_CHECKING:
    from napari_sam2refiner.viewer.segmenter import Segmenter


class RunState(ModelState):
    """What a dock shows that runs a model.

    Attributes
    ----------
    running, share : bool, float or None
        Whether something runs, and the share of it that is done; None before there is any.
    news : str
        What happened last.
    """

    running: bool = False
    share: float | None = None
    news: str = ""


class Pair(Protocol):
    """An image and its labels in a viewer."""

    @property
    def obstacle(self) -> str:
        """Why nothing can be done with them in this view, with the remedy; empty when it can."""


S = TypeVar("S", bound=RunState)
P = TypeVar("P", bound=Pair)


class Runner(ABC, Generic[S, P]):
    """Keeps the state, the layers and the worker in step.

    Each run has a number; what comes of any but the newest, or of one that was cancelled, is dropped.

    Parameters
    ----------
    state : RunState
    segmenter : Segmenter
        Touched by the worker alone, through jobs.
    submit : callable
        Takes a job and what to call with its outcome, on the thread that runs this.
    make_pair : callable
        Image and labels -> a pair.
    report : callable
        Takes one sentence about what went wrong.

    Attributes
    ----------
    is_closed : bool
        Whether it has let go of everything.
    """

    def __init__(
        self,
        state: S,
        segmenter: Segmenter,
        submit: Submit,
        make_pair: Callable[[Any, Any], P],
        report: Callable[[str], None],
    ) -> None:
        self.state = state
        self._segmenter = segmenter
        self._submit = submit
        self._make_pair = make_pair
        self._report = report
        self._models = ModelLoader(
            state,
            segmenter,
            submit,
            on_started=partial(self._say, ""),
            on_replaced=lambda: None,
            on_finished=self._on_load_finished,
            on_unloaded=self._say,
        )
        self._runs = 0
        self.is_closed = False

    def set_models(self, models: tuple[ModelChoice, ...]) -> None:
        """Take the list of models; what is chosen stays chosen."""
        self.state.models = models

    def choose_file(self, path: str) -> None:
        """Load a model from the user's own file, again where it is loaded."""
        self._models.choose_file(path)

    def choose_model(self, name: str | None) -> None:
        """Load a model, off this thread. The newest choice wins."""
        self._models.choose_model(name)

    def unload_model(self) -> None:
        """Give the memory back that the model takes up, until the next run; not while there is one."""
        if not self.state.running:
            self._models.unload()

    def reload_model(self) -> None:
        """Load the model again that was taken out of memory."""
        self._models.wake()

    def set_borrowing(self, borrowing: bool) -> None:
        """Choose whether `micro` refines the masks of a model without a refiner, from the next run on."""
        self.state.borrowing = borrowing

    def close(self) -> None:
        """Let go of every layer; may be called again."""
        self._runs += 1
        self._let_go()
        self._models.close()
        self.is_closed = True

    @abstractmethod
    def _let_go(self) -> None:
        """Forget every layer."""

    @abstractmethod
    def _words_when_ready(self) -> str:
        """Return what is said when a model is ready."""

    def _pair_of(self, image: Any, labels: Any) -> P | None:
        """Return the layers as they are now; None, and why is said, where there are none."""
        if image is None or labels is None:
            self._fail(f"There is {'no image' if image is None else 'no labels layer'}; open one, then choose it.")
            return None
        return self._make_pair(image, labels)

    def _on_load_finished(self, error: str) -> None:
        if error:
            self._fail(error)
        else:
            self._say(self._words_when_ready())

    def _is_current(self, run: int) -> bool:
        """Return whether a run is still wanted; the worker asks this too."""
        return run == self._runs and not self.is_closed

    def _say(self, news: str) -> None:
        self.state.news = news

    def _fail(self, error: str) -> None:
        self._say(error)
        self._report(error)
