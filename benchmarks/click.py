"""How soon a click is seen, from the mouse press to the new preview on screen, and how smoothly the view pans.

Measured in a real viewer, on the tissue sample with the embedded model, whose plane is ready. "First" is the preview of
the idea that the instance embedding has at once, "decoded" that of the look at the plane, "last" that of the looks that
follow where they do; all count from the press to the end of the drawing that shows them. Then the network alone, beside
SAM 2.1's own predictor, as predict.py measures it. Not a test: it says what is so. The bars are those of the design,
and other work on the machine counts in.

Run: xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/click.py [--clicks 40] [--viewer-only]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from heartbeat import places
from vispy.scene import SceneCanvas

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from viewer_user import User, spin

from napari_sam2refiner import samples

MOST = 5.0  # seconds that an answer may take
UNCHANGED = 0.5  # seconds after which a mask that was not drawn is taken to look like the one before


class Drawings:
    """Remembers when the scene was drawn to its end."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        draw = SceneCanvas._draw_scene  # noqa: SLF001 - no event is emitted when it has ended

        def drawn(canvas: Any, *arguments: Any, **options: Any) -> None:
            draw(canvas, *arguments, **options)
            self.ends.append(time.perf_counter())

        SceneCanvas._draw_scene = drawn  # noqa: SLF001

    def after(self, moment: float) -> float:
        """Return when the first drawing ended after a moment; the moment itself where there was nothing to draw."""
        while (not self.ends or self.ends[-1] < moment) and time.perf_counter() - moment < UNCHANGED:
            spin(0.05)
        return next((end for end in self.ends if end >= moment), moment)


def click(user: User, drawings: Drawings, place: tuple[float, float]) -> tuple[float, float, float]:
    """Click as a new object; return the seconds to the first preview on screen, to the decoded one and to the last."""
    dock = user.dock
    assert dock is not None
    dock.controller.clear()
    spin(0.3)
    state, shown, decoded, settled = dock.state, Moments(), Moments(), Moments()
    state.events.candidates.connect(shown.note)
    state.events.score.connect(decoded.note)
    state.events.answering.connect(settled.note)
    start = time.perf_counter()
    user.click(*place)
    while not shown.times or state.answering:
        spin(0.05)  # a loop that turns faster would take the interpreter from the worker
        if time.perf_counter() - start > MOST:
            message = f"there was no answer at {place} in {MOST} s"
            raise TimeoutError(message)
    state.events.candidates.disconnect(shown.note)
    state.events.score.disconnect(decoded.note)
    state.events.answering.disconnect(settled.note)
    first, scored, last = (drawings.after(moment) for moment in (shown.times[0], decoded.times[0], settled.times[-1]))
    return first - start, scored - start, last - start


class Moments:
    """Remembers when it was told."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def note(self) -> None:
        """Remember now."""
        self.times.append(time.perf_counter())


def pan(user: User, drawings: Drawings, seconds: float, *, clicking: bool) -> float:
    """Drag the view to and fro, while the model is kept busy or not; return the pictures in a second."""
    camera = getattr(user.viewer, "scene", user.viewer).camera
    dock = user.dock
    assert dock is not None
    middle = np.array(camera.center)
    drawn, start = len(drawings.ends), time.perf_counter()
    step = 0
    while time.perf_counter() - start < seconds:
        step += 1
        camera.center = tuple(middle + np.array([0, 0, 20 * np.sin(step / 5)]))
        if clicking and not dock.state.answering:
            dock.controller.clear()
            user.click(*middle[1:])
        spin(0.001)
    camera.center = tuple(middle)
    return (len(drawings.ends) - drawn) / seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clicks", type=int, default=40)
    parser.add_argument("--viewer-only", action="store_true", help="leave the network alone out")
    arguments = parser.parse_args()
    (image, layer, _), *_ = samples.tissue()
    user, drawings = User(image, layer), Drawings()
    spin(1.0)
    dock = user.open_dock()
    user.wait(lambda: not dock.state.loading)
    user.wait()
    spin(1.0)
    click(user, drawings, (60, 58))  # the first one in a process costs more
    times = np.array([click(user, drawings, place) for place in places(image.shape[:2], arguments.clicks)])
    for name, column in zip(("first", "decoded", "last"), 1000 * times.T, strict=True):
        print(f"press to {name} preview: median {np.median(column):.0f} ms, p95 {np.percentile(column, 95):.0f} ms")
    dock.controller.clear()
    spin(1.0)
    for what, clicking in (("idle", False), ("answering", True)):
        print(f"panning while {what}: {pan(user, drawings, 4.0, clicking=clicking):.0f} pictures a second")
    user.wait()  # a process must not end while its worker computes
    user.viewer.close()
    if (
        not arguments.viewer_only
    ):  # in a process of its own: with a software renderer in it, torchvision cannot be imported
        subprocess.run([sys.executable, str(Path(__file__).with_name("predict.py"))], check=True)


if __name__ == "__main__":
    main()
