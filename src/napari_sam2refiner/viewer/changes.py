"""What a change of marks is called, and which are refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_sam2refiner.planes.plane import PlaneIndex
    from napari_sam2refiner.viewer.canvas import Canvas
    from napari_sam2refiner.viewer.drafts import Draft
    from napari_sam2refiner.viewer.marks import Marks

Drafts = Mapping["PlaneIndex", "Draft"]
NAMES = {"rectangle": "box", "path": "scribble"}


def refuse(canvas: Canvas, before: Drafts, after: Drafts) -> str:
    """Say why marks cannot be taken; nothing when they can. What is deleted is always taken."""
    for plane, draft in after.items():
        if draft.marks.count > before[plane].marks.count and canvas.obstacle:
            return canvas.obstacle
        outside = draft.marks.find_outside(canvas.shape_of(plane))
        if outside is not None:
            return f"The point at ({outside[0]:.0f}, {outside[1]:.0f}) is outside the image; click inside it."
    return ""


def name_change(before: Drafts, after: Drafts) -> str:
    """Name what the user did."""
    names = [_compare(draft.marks.joined(), after[plane].marks.joined()) for plane, draft in before.items()]
    return names[0] if len(names) == 1 else f"{names[0]} and more on {len(names)} planes"


def _compare(before: Marks, after: Marks) -> str:
    """Name what the user did to the marks of one plane."""
    added = [point for point in after.points if point not in before.points]
    if len(after.points) > len(before.points):
        return "positive point" if added and added[-1][2] else "negative point"
    if len(after.points) < len(before.points):
        return "deleting a point"
    if added:
        return "moving a point"
    if len(after.regions) > len(before.regions):
        new = [region for region in after.regions if region not in before.regions]
        return NAMES.get(new[-1].kind, "outline") if new else "outline"
    return "deleting a shape" if len(after.regions) < len(before.regions) else "moving a shape"
