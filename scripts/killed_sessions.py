"""Kill sessions of the dock at random moments, and see what of their work is found afterwards.

A real viewer, a real image, the real model; each session keeps objects until it is killed with SIGKILL. Nothing that
was kept more than two seconds before may be missing.

Run: xvfb-run -a -s "-screen 0 1600x1000x24" python scripts/killed_sessions.py [--times 10]
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time

import numpy as np
from viewer_user import User

from napari_sam2refiner import samples
from napari_sam2refiner.viewer.autosave import FOLDER_VARIABLE, read, root

PROMISED = 2.0  # seconds
OBJECTS = 100
SIZE = (1000, 700)


def main() -> int:
    """Kill so many sessions; return 1 if any of them has lost what it must not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--session", action="store_true", help="be a session")
    arguments = parser.parse_args()
    if arguments.session:
        session()
        return 0
    whole = [is_whole_after_kill(number) for number in range(1, arguments.times + 1)]
    return int(not all(whole))


def session() -> None:
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
    print("done", flush=True)
    time.sleep(60)  # until it is killed


def is_whole_after_kill(number: int) -> bool:
    """Kill a session at a random moment; return whether all is there that must be."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ[FOLDER_VARIABLE] = folder
        command = [sys.executable, __file__, "--session"]
        kept: list[tuple[int, float]] = []
        most = random.Random(number).uniform(1, OBJECTS / 4)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for line in child.stdout:
                if line == "done\n":
                    break
                object_id, when = line.split()
                kept.append((int(object_id), float(when)))
                if len(kept) >= most:
                    time.sleep(random.Random(-number).uniform(0, 3))
                    break
            child.kill()
            killed = time.time()
        blocks = [block for kept_in in root().glob("*") for block in read(kept_in).blocks]
        there = {int(n) for _, labels in blocks for n in np.unique(labels)}
        missing = [n for n, when in kept if n not in there]
        lost = [n for n, when in kept if n not in there and when < killed - PROMISED]
        print(f"{number}: {len(kept)} kept, {len(missing)} missing, {len(lost)} of them for longer", flush=True)
        return not lost


if __name__ == "__main__":
    sys.exit(main())
