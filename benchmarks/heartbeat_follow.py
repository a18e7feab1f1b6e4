"""Does the window keep up while objects are followed? Its longest stall, and the seconds for each frame.

Measured with the embedded model on a synthetic time-lapse, as `heartbeat.py` measures the dock that segments. Not a
test: it says what is so.

Run: xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/heartbeat_follow.py [--frames 200] [--objects 8]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import napari
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from heartbeat import Heartbeat, report
from stack import Discs
from viewer_user import spin

from napari_sam2refiner._qt.follow_dock import FollowDock


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--objects", type=int, default=8)
    arguments = parser.parse_args()
    discs = Discs(arguments.objects, arguments.frames, side=512)
    rng = np.random.default_rng(0)
    movie = np.stack([np.clip(discs[t] + rng.normal(0, 8, (512, 512)), 0, 255) for t in range(len(discs))])
    labels = np.zeros(movie.shape, np.uint16)
    for number, mask in enumerate(discs.masks(0), 1):
        labels[0][mask] = number
    viewer = napari.Viewer()
    viewer.window.resize(1300, 850)
    viewer.add_image(movie.astype(np.uint8), name="movie")
    viewer.add_labels(labels, name="cells")
    viewer.dims.set_point(0, 0)
    dock = FollowDock(viewer)
    viewer.window.add_dock_widget(dock, name="Follow objects")
    while dock.state.model is None or dock.state.loading:
        spin(0.05)
    spin(1.0)
    heart = Heartbeat()
    spin(1.0)
    report("nothing (what the machine adds)", heart.pauses())
    start = time.perf_counter()
    dock.run.follow.click()
    while dock.state.running:
        spin(0.05)
    seconds = time.perf_counter() - start
    report(f"following {arguments.objects} objects", heart.pauses())
    print(f"{seconds / (arguments.frames - 1):.2f} s for each frame; {dock.state.status}")
    for step in range(0, arguments.frames, max(1, arguments.frames // 20)):
        viewer.dims.set_point(0, step)
        spin(0.1)
    report("moving the slider", heart.pauses())
    dock.run.undo.click()
    spin(0.2)
    report("undo on all frames", heart.pauses())
    dock.shut_down()
    viewer.close()


if __name__ == "__main__":
    main()
