"""Does the window keep up with many objects? Its longest stall for each act: a hundred boxes at once, a full plane.

Measured with the embedded model on the tissue sample, as `heartbeat.py` measures single clicks. Beside the stall stand
the seconds that the window's own thread works on the act: other work on the machine makes the one longer, not the
other. Not a test: it says what is so.

Run: xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/heartbeat_many.py [boxes] [objects] [--rounds 3]
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from qtpy.QtCore import Qt

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from heartbeat import Heartbeat
from viewer_user import User, spin

from napari_sam2refiner import samples

SIDE = 1024


class Acts:
    """Measures acts in a dock, several times each.

    Parameters
    ----------
    user : User
    profiled : str
        The act whose profile is printed, if any.
    """

    def __init__(self, user: User, profiled: str = "") -> None:
        self.user, self._profiled = user, profiled
        self._heart = Heartbeat()
        self._found: dict[str, list[tuple[float, float]]] = {}

    def do(self, what: str, act: Callable[[], object], until: Callable[[], bool] = lambda: True) -> None:
        """Do something, and wait until the window has come to rest."""
        spin(0.3)
        self._heart.pauses()
        profile = cProfile.Profile() if what == self._profiled else None
        start = time.thread_time()
        if profile is not None:
            profile.enable()
        act()
        while not (until() and self.user.is_idle):
            spin(0.005)
        spin(0.5)
        if profile is not None:
            profile.disable()
            pstats.Stats(profile).sort_stats("cumulative").print_stats(90)
        seconds = time.thread_time() - start
        self._found.setdefault(what, []).append((float(self._heart.pauses().max()), 1000 * seconds))

    def report(self) -> None:
        """Print the medians."""
        for what, found in self._found.items():
            stall, worked = np.median(found, axis=0)
            print(f"{what:40s} longest stall {stall:6.0f} ms, of the window's thread {worked:6.0f} ms ({len(found)}x)")
        self._found.clear()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=["boxes", "objects"], help="boxes, objects or both")
    parser.add_argument("--boxes", type=int, default=100)
    parser.add_argument("--objects", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", default="", help="an act as it is named in the output; its profile is printed")
    arguments = parser.parse_args()
    (image, layer, _), *_ = samples.tissue()
    image = image[np.ix_(*(np.arange(SIDE) * side // SIDE for side in image.shape[:2]))]
    user = User(image, layer)
    user.open_dock()
    user.wait()
    acts = Acts(user, arguments.profile)
    acts.do("nothing", lambda: None)
    if "boxes" in arguments.what:
        measure_boxes(acts, arguments.boxes, arguments.rounds)
    if "objects" in arguments.what:
        measure_objects(acts, arguments.objects, arguments.rounds)
    user.viewer.close()


def measure_boxes(acts: Acts, count: int, rounds: int) -> None:
    """Keep many boxes at once, undo that and do it again."""
    user = acts.user
    dock, regions = user.dock, user.viewer.layers["regions"]
    assert dock is not None
    side = int(np.ceil(np.sqrt(count)))
    step = SIDE / side
    corners = np.array([[0.2, 0.2], [0.2, 0.8], [0.8, 0.8], [0.8, 0.2]])
    boxes = [(corners + divmod(n, side)) * step for n in range(count)]
    dock.controller.prompting.set_apart(True)
    for _ in range(rounds):
        acts.do(f"marking {count} boxes", lambda: regions.add(boxes), lambda: bool(dock.state.pixels))
        acts.do("keeping them", dock.controller.commit)
        acts.do("undoing that", dock.controller.undo)
        acts.do("doing it again", dock.controller.redo)
        acts.do("undoing that", dock.controller.undo)
        acts.do("clearing them", dock.controller.clear)
        acts.do("undoing the clearing", dock.controller.undo)
        dock.controller.clear()
    dock.controller.prompting.set_apart(False)
    acts.report()


def measure_objects(acts: Acts, count: int, rounds: int) -> None:
    """Work on a plane with many objects."""
    user = acts.user
    dock, result = user.dock, next(one for one in user.viewer.layers if one.name.endswith(" objects"))
    assert dock is not None
    controller = dock.controller
    side = int(np.ceil(np.sqrt(count)))
    step = SIDE // side
    labels = np.zeros((SIDE, SIDE), np.uint32)
    for n in range(count):
        y, x = divmod(n, side)
        labels[y * step + 1 : (y + 1) * step - 1, x * step + 1 : (x + 1) * step - 1] = n + 1
    labels[:200, :200] = 0  # room for clicks
    table = dock.objects.table

    acts.do(
        f"listing {count} objects", lambda: setattr(result, "data", labels), lambda: len(dock.state.objects) > count / 2
    )
    for n in range(rounds):
        place = 60 + 30 * n, 100
        acts.do("a click", lambda place=place: user.click(*place), lambda: bool(dock.state.candidates))
        acts.do("keeping it", controller.commit)
        acts.do("undoing that", controller.undo)
        acts.do("clearing", controller.clear)
        acts.do("choosing a row", lambda n=n: table.selectRow(100 + n))
        acts.do("choosing all rows", table.selectAll)
        acts.do("choosing one again", lambda n=n: table.selectRow(200 + n))
        chosen = table.chosen
        acts.do("naming one", lambda chosen=chosen, n=n: controller.objects.call(chosen, f"name {n}"))
        ids = [row.object_id for row in dock.state.objects]
        acts.do("giving all a class", lambda ids=ids, n=n: controller.objects.classify(f"class {n}", ids))
        acts.do("deleting one", lambda chosen=chosen: controller.objects.delete([chosen]))
        acts.do("undoing the deletion", controller.undo)
        acts.do("sorting by area", lambda n=n: table.sortByColumn(3, Qt.SortOrder(n % 2)))
        acts.do("sorting by id", lambda: table.sortByColumn(0, Qt.SortOrder.AscendingOrder))
    acts.report()


if __name__ == "__main__":
    main()
