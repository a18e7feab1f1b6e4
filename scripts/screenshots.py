"""Make the pictures of the README: a real viewer, a real image, real clicks, the real model.

Run by `make screenshots`, or: xvfb-run -a -s "-screen 0 1600x1000x24" python scripts/screenshots.py
"""

from __future__ import annotations

from pathlib import Path

from viewer_user import User

from napari_sam2refiner import samples

FOLDER = Path(__file__).parents[1] / "docs" / "images"
# Nuclei of the tissue sample, (y, x): these are kept, the last one is left as a preview.
NUCLEI = [(168, 305), (262, 222), (380, 175), (463, 405), (300, 290), (430, 400)]


def main() -> None:
    """Segment nuclei of the tissue sample and save the window."""
    (image, layer, _), *_ = samples.tissue()
    user = User(image, layer)
    dock = user.open_dock()
    user.wait()
    camera = getattr(user.viewer, "scene", user.viewer).camera
    camera.center, camera.zoom = (0, 350, 350), 2.4
    for place in NUCLEI[:-1]:
        user.click(*place)
        user.wait()
        dock.controller.commit()
        user.wait()
    user.click(*NUCLEI[-1])
    user.wait()
    FOLDER.mkdir(parents=True, exist_ok=True)
    user.viewer.screenshot(str(FOLDER / "dock.png"), canvas_only=False, flash=False)
    print(f"{FOLDER / 'dock.png'}: {dock.state.next_id - 1} objects kept, {dock.status.status.text()}")
    user.viewer.close()


if __name__ == "__main__":
    main()
