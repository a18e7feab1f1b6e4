"""Does the window keep up while the dock works? A timer beats in the GUI thread; its longest pause is the stall.

Measured on the tissue sample with the embedded model, apart for loading the model, encoding the plane and answering
clicks; and the time from a mouse press to the first beat after the preview is drawn. Not a test: it says what is so.

The first two lines are the base line: other work on the machine, and drawing without a graphics card, pause it too.

Run: xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/heartbeat.py [--clicks 40] [--model micro] [--size 4096]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from qtpy.QtCore import Qt, QTimer

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from viewer_user import User, spin

from napari_sam2refiner import samples

INTERVAL = 0.005  # seconds between beats


class Heartbeat:
    """Beats in the GUI thread and remembers when."""

    def __init__(self) -> None:
        self._beats = [time.perf_counter()]
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(lambda: self._beats.append(time.perf_counter()))
        self._timer.start(round(1000 * INTERVAL))

    def pauses(self) -> np.ndarray:
        """Return the pauses since the last call, in milliseconds beyond the interval."""
        pauses = np.diff(self._beats)
        self._beats = self._beats[-1:]
        return 1000 * np.maximum(pauses - INTERVAL, 0)


def report(what: str, pauses: np.ndarray) -> None:
    """Print the stalls of one kind of work."""
    print(
        f"{what:34s} longest stall {pauses.max():6.1f} ms, p95 {np.percentile(pauses, 95):6.1f} ms, {len(pauses)} beats"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clicks", type=int, default=40)
    parser.add_argument("--model", default=None, help="a model's name or a weight file; the dock's default if left out")
    parser.add_argument("--size", type=int, default=None, help="side to enlarge the sample to; as it is if left out")
    arguments = parser.parse_args()
    (image, layer, _), *_ = samples.tissue()
    if arguments.size:
        image = image[np.ix_(*(np.arange(arguments.size) * side // arguments.size for side in image.shape[:2]))]
    user = User(image, layer)
    spin(1.0)
    heart = Heartbeat()
    spin(1.0)
    report("nothing (what the machine adds)", heart.pauses())
    for name in range(10):
        user.viewer.layers[0].opacity = 0.9 + 0.01 * name
        spin(0.1)
    report("redrawing alone", heart.pauses())
    start = time.perf_counter()
    dock = user.open_dock()
    opened = 1000 * (time.perf_counter() - start)
    spin(0.05)
    report(f"opening the dock ({opened:.0f} ms)", heart.pauses())
    if arguments.model:
        dock.controller.choose_file(arguments.model)
    user.wait(lambda: dock.state.model is not None and not dock.state.loading)
    report("loading the model", heart.pauses())
    user.wait()
    report("encoding the plane", heart.pauses())
    times = [click(user, place) for place in places(image.shape[:2], arguments.clicks)]
    report(f"{arguments.clicks} clicks", heart.pauses())
    print(
        f"click to preview: median {1000 * np.median(times):.0f} ms, p95 {1000 * np.percentile(times, 95):.0f} ms "
        f"(of which the first {1000 * times[0]:.0f} ms)"
    )
    user.viewer.close()


def places(shape: tuple[int, ...], count: int) -> list[tuple[float, float]]:
    """Return random places, not at the rim; always the same."""
    return [tuple(row) for row in np.random.default_rng(0).uniform(0.1, 0.9, (count, 2)) * shape]


def click(user: User, place: tuple[float, float]) -> float:
    """Click, wait for the preview, keep every third object; return the seconds to the preview."""
    dock = user.dock
    assert dock is not None
    before = dock.state.undo, dock.state.positives
    start = time.perf_counter()
    user.click(*place)
    while not user.is_idle or (dock.state.undo, dock.state.positives) == before:
        spin(INTERVAL / 5)
    seconds = time.perf_counter() - start
    if dock.state.positives >= 3:
        dock.controller.commit()
    spin(0.1)
    return seconds


if __name__ == "__main__":
    main()
