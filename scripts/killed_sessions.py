"""Kill sessions of the docks at random moments, and see what of their work is found afterwards.

A real viewer, a real image, the real model; each session keeps objects, or follows them into labels of its own, until
it is killed with SIGKILL. Nothing that was written more than two seconds before may be missing.

Run: xvfb-run -a -s "-screen 0 1600x1000x24" python scripts/killed_sessions.py [--times 10] [--what follow]
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from viewer_user import User, spin

from napari_sam2refiner import samples
from napari_sam2refiner._qt.follow_dock import FollowDock
from napari_sam2refiner.viewer.autosave import FOLDER_VARIABLE, read, root

PROMISED = 2.0  # seconds
OBJECTS = 100
SIZE = (1000, 700)


def main() -> int:
    """Kill so many sessions; return 1 if any of them has lost what it must not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--what", choices=SESSIONS, default="keep", help="what sessions do")
    parser.add_argument("--session", action="store_true", help="be a session")
    arguments = parser.parse_args()
    session, most, what_is_in = SESSIONS[arguments.what]
    if arguments.session:
        session()
        print("done", flush=True)
        time.sleep(60)  # until it is killed
        return 0
    command = [sys.executable, __file__, "--session", "--what", arguments.what]
    whole = [is_whole_after_kill(number, command, most, what_is_in) for number in range(1, arguments.times + 1)]
    return int(not all(whole))


def keep_objects() -> None:
    """Keep objects, and say when."""
    (image, layer, _), *_ = samples.tissue()
    user = User(image, layer, SIZE)
    dock = user.open_dock()
    user.wait()
    places = np.random.default_rng(0).integers(20, 490, (OBJECTS, 2))
    for y, x in places:
        user.click(float(y), float(x))
        user.wait()
        number = dock.state.next_id
        dock.controller.commit()
        if dock.state.next_id > number:
            print(number, time.time(), flush=True)
        dock.controller.clear()


def follow_objects() -> None:
    """Follow objects into a layer of the user's, and say when a frame is written."""
    (movie, layer, _), *_ = samples.dividing_nuclei()
    user = User(movie, layer, SIZE)
    labels = np.zeros(movie.shape, np.uint16)
    labels[0], _ = ndimage.label(ndimage.gaussian_filter(movie[0].astype(np.float32), 2) > 60)
    user.viewer.add_labels(labels, name="nuclei")
    user.viewer.dims.set_current_step(0, 0)
    dock = user.open(FollowDock(user.viewer), "Follow objects")
    user.wait(lambda: dock.state.can_follow)
    dock.run.follow.click()
    said = set[int]()
    while dock.state.running:
        spin(0.01)
        for t in {t for t in range(len(labels)) if labels[t].any()} - said:
            said.add(t)
            print(_frame(t, labels[t]), time.time(), flush=True)


def objects_in(folder: Path) -> set[str]:
    """Return which objects were kept."""
    return {str(n) for _, labels in read(folder).blocks for n in np.unique(labels)}


def frames_in(folder: Path) -> set[str]:
    """Return which frames were kept, and what was on them; frames of the movie are no larger than a block."""
    return {_frame(block[0].start, labels[0]) for block, labels in read(folder).blocks}


def _frame(t: int, labels: npt.NDArray[Any]) -> str:
    return f"{t}:{zlib.crc32(labels.astype(np.uint32).tobytes())}"


SESSIONS: dict[str, tuple[Callable[[], None], float, Callable[[Path], set[str]]]] = {  # what, most, what is found
    "keep": (keep_objects, OBJECTS / 4, objects_in),
    "follow": (follow_objects, samples.FRAMES, frames_in),
}


def is_whole_after_kill(number: int, command: list[str], most: float, what_is_in: Callable[[Path], set[str]]) -> bool:
    """Kill a session at a random moment; return whether all is there that must be."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ[FOLDER_VARIABLE] = folder
        kept: list[tuple[str, float]] = []
        enough = random.Random(number).uniform(1, most)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for line in child.stdout:
                if line == "done\n":
                    break
                what, when = line.split()
                kept.append((what, float(when)))
                if len(kept) >= enough:
                    time.sleep(random.Random(-number).uniform(0, 3))
                    break
            child.kill()
            killed = time.time()
        there = set[str]().union(*(what_is_in(kept_in) for kept_in in root().glob("*")))
        missing = [what for what, when in kept if what not in there]
        lost = [what for what, when in kept if what not in there and when < killed - PROMISED]
        print(f"{number}: {len(kept)} kept, {len(missing)} missing, {len(lost)} of them for longer", flush=True)
        return not lost


if __name__ == "__main__":
    sys.exit(main())
