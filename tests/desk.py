"""A controller with everything around it, without Qt and napari."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from fakes import FakeCanvas, FakeSession

from napari_sam2refiner.viewer.controller import Controller
from napari_sam2refiner.viewer.segmenter import Job, Outcome, Segmenter, perform
from napari_sam2refiner.viewer.state import DockState, ModelChoice

if TYPE_CHECKING:
    from napari_sam2refiner.viewer.autosave import Autosave

SHAPE = (60, 80)
MODELS = (ModelChoice("micro", 1, True), ModelChoice("tiny", 1, False, "plain", borrows=True))


class Desk:
    """A controller with everything around it; jobs run at once, or those that ask the model when told."""

    def __init__(
        self,
        shape: tuple[int, ...] = SHAPE,
        *,
        at_once: bool = True,
        autosave: Autosave | None = None,
        canvas: FakeCanvas | None = None,
        looks_twice: bool = False,
    ) -> None:
        self.log: list[Any] = []
        self.errors: list[str] = []
        self.waiting: list[tuple[Job, Callable[[Outcome], None]]] = []
        self.at_once = at_once
        self.loaded: list[str] = []
        self.canvas = canvas or FakeCanvas(np.zeros(shape))
        self.canvases = {id(self.canvas): self.canvas}
        self.state = DockState()
        self.meanwhile: Callable[[], None] = lambda: None  # what the user does between two looks
        segmenter = Segmenter(self.load, lambda _: FakeSession(self.log, looks_twice=looks_twice))
        self.controller = Controller(
            self.state, segmenter, self.submit, lambda image: image, self.errors.append, autosave
        )
        self.controller.set_models(MODELS)
        self.controller.choose_model("micro")
        self.controller.choose_image(self.canvas)

    def load(self, name: str, tell: Callable[[float], None]) -> str:
        tell(0.5)
        self.loaded.append(name)
        return name

    def submit(self, job: Job, done: Callable[[Outcome], None]) -> None:
        if self.at_once or job.kind == "list":
            done(perform(job, partial(self.tell, job)))
        else:
            self.waiting.append((job, done))

    def run(self, index: int = 0) -> None:
        job, done = self.waiting.pop(index)
        done(perform(job, partial(self.tell, job)))

    def tell(self, job: Job, share: float) -> None:
        if job.kind == "answer" and job.on_progress is not None:
            job.on_progress(share)
            self.meanwhile()
            if not job.is_wanted():  # as the worker ends it
                raise InterruptedError

    @property
    def predictions(self) -> list[Any]:
        return [entry for entry in self.log if entry[0] == "predict"]

    @property
    def preview(self) -> Any:
        return self.canvas.previews.get(self.canvas.plane)
