"""Make the picture of the README: a real viewer, a real image, real clicks, the real model.

Run by `make screenshots`, or: xvfb-run -a -s "-screen 0 1600x1000x24" python scripts/screenshots.py
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from viewer_user import User

from napari_sam2refiner import samples

FILE = Path(__file__).parents[1] / "docs" / "images" / "first-mask.png"
OTHER_GLAND = [(150, 352), (80, 318)]  # a click, and one for what that left out
GLAND = (300, 250, 505, 385)  # a box around it: y0, x0, y1, x1
NUCLEI = [(251, 297), (267, 173), (292, 356), (425, 218), (423, 174), (207, 200)]  # the last, a gland, is not kept
CENTER, ZOOM = (0, 325, 300), 2.1  # of the picture


def main() -> None:
    """Segment objects of the tissue sample and save the window."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a weight file instead of the embedded one")
    arguments = parser.parse_args()
    (image, layer, _), *_ = samples.tissue()
    user = User(image, layer, (1360, 820))
    dock = user.open_dock()
    user.wait()
    if arguments.model:
        dock.controller.choose_file(arguments.model)
        user.wait()
    for place in OTHER_GLAND:
        user.click(*place)
        user.wait()
    keep(user)
    dock.controller.start_boxing()
    y0, x0, y1, x1 = GLAND
    user.viewer.layers["regions"].add(np.array([[y0, x0], [y0, x1], [y1, x1], [y1, x0]]), shape_type="rectangle")
    keep(user)
    dock.controller.start_clicking()
    camera = getattr(user.viewer, "scene", user.viewer).camera
    camera.center, camera.zoom = CENTER, ZOOM
    for place in NUCLEI[:-1]:
        user.click(*place)
        keep(user)
    user.click(*NUCLEI[-1])
    user.wait()
    FILE.parent.mkdir(parents=True, exist_ok=True)
    user.viewer.screenshot(str(FILE), canvas_only=False, flash=False)
    print(f"{FILE.name}: {dock.state.next_id - 1} objects kept; {dock.status.status.text()}")
    user.viewer.close()


def keep(user: User) -> None:
    """Wait for the preview and keep it."""
    user.wait()
    assert user.dock is not None
    user.dock.controller.commit()
    user.wait()


if __name__ == "__main__":
    main()
