"""Objects as COCO annotations with run-length encoded masks: https://cocodataset.org/#format-data."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam2refiner.errors import ReadError
from napari_sam2refiner.labels.exchange.objects import LabelledObjects, Sheet, boxes_in, load_library
from napari_sam2refiner.planes.region import Part

UNNAMED = "object"  # class of those without


def _masks() -> Any:
    return load_library("pycocotools.mask", "pycocotools", "COCO JSON")


def write(path: Path, objects: LabelledObjects) -> None:
    """Write an image for each plane, and an annotation for each object on each plane.

    Beside what COCO asks for an annotation has `object_id`, and `score`, `parent_id` and, among its `attributes`, as
    CVAT has them, `name` where they are known; an image has `steps`, its index along the other axes.
    """
    names = sorted({*objects.classes.values(), UNNAMED})
    categories = {name: place for place, name in enumerate(names, 1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    rows, columns = objects.labels.shape[-2:]
    file_name = objects.image_name or "image.tif"
    mask = np.zeros((rows, columns), np.uint8, order="F")
    for steps, plane in objects.planes():
        images.append(
            {"id": len(images) + 1, "file_name": file_name, "height": rows, "width": columns, "steps": list(steps)}
        )
        for object_id, (ys, xs) in boxes_in(plane).items():
            mask[ys, xs] = plane[ys, xs] == object_id
            annotation = {
                "id": len(annotations) + 1,
                "image_id": len(images),
                "category_id": categories[objects.classes.get(object_id, UNNAMED)],
                "segmentation": _encode(mask),
                "area": int(mask[ys, xs].sum()),
                "bbox": [xs.start, ys.start, xs.stop - xs.start, ys.stop - ys.start],
                "iscrowd": 0,
                "object_id": object_id,
            }
            mask[ys, xs] = 0
            for key, known in (("score", objects.scores), ("parent_id", objects.parents)):
                if object_id in known:
                    annotation[key] = known[object_id]
            if object_id in objects.names:
                annotation["attributes"] = {"name": objects.names[object_id]}
            annotations.append(annotation)
    content = {
        "info": {"description": "Objects from napari-sam2refiner", "axes": objects.axes},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": place, "name": name, "supercategory": ""} for name, place in categories.items()],
    }
    path.write_text(json.dumps(content), encoding="utf-8")


def _encode(mask: Any) -> dict[str, Any]:
    encoded = _masks().encode(mask)
    return {"size": list(map(int, encoded["size"])), "counts": encoded["counts"].decode("ascii")}


def read(path: Path, shape: tuple[int, ...] | None = None) -> LabelledObjects:  # noqa: ARG001 - it knows its own
    """Read masks and polygons of images of one size; those of several images become frames.

    Raises
    ------
    ReadError
        If it is no COCO file, or its images differ in size.
    """
    masks = _masks()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        images = sorted(content["images"], key=lambda image: image["id"])
        shapes = {(int(image["height"]), int(image["width"])) for image in images}
        if len(shapes) == 1:
            return _objects(content, images, next(iter(shapes)), masks)
    except (OSError, KeyError, TypeError, ValueError, IndexError) as error:
        msg = f"{path} cannot be read: {error}; give a COCO file of instances with masks or polygons."
        raise ReadError(msg) from error
    msg = f"{path} has images of {len(shapes)} sizes; give a file with images of one size, which labels can hold."
    raise ReadError(msg)


def _objects(content: Any, images: list[Any], shape: tuple[int, int], masks: Any) -> LabelledObjects:
    steps = {image["id"]: tuple(image.get("steps", (place,))) for place, image in enumerate(images)}
    stacked = tuple(max(part) + 1 for part in zip(*steps.values(), strict=True))
    if len(images) == 1 and "steps" not in images[0]:
        steps, stacked = {images[0]["id"]: ()}, ()
    axes = content.get("info", {}).get("axes", {0: "YX", 1: "TYX", 2: "TZYX"}[len(stacked)])
    annotations = [one for one in content["annotations"] if one.get("segmentation")]
    ids = [int(one.get("object_id", one["id"])) for one in annotations]
    if min(ids, default=1) < 1:
        ids = [object_id + 1 - min(ids) for object_id in ids]
    names = {one["id"]: one["name"] for one in content.get("categories", [])}
    sheet = Sheet((*stacked, *shape), max(ids, default=1))
    classes, scores, parents, called = {}, {}, {}, {}
    for object_id, one in zip(ids, annotations, strict=True):
        sheet.put(steps[one["image_id"]], _decode(one["segmentation"], shape, masks), object_id)
        name = names.get(one.get("category_id"), UNNAMED)
        if name != UNNAMED:
            classes[object_id] = str(name)
        if "score" in one:
            scores[object_id] = float(one["score"])
        if "parent_id" in one:
            parents[object_id] = int(one["parent_id"])
        attributes = one.get("attributes")
        if isinstance(attributes, dict) and attributes.get("name"):
            called[object_id] = str(attributes["name"])
    name = str(images[0].get("file_name", ""))
    return LabelledObjects(sheet.labels, axes, classes, scores, parents, image_name=name, note=sheet.note, names=called)


def _decode(segmentation: Any, shape: tuple[int, int], masks: Any) -> Part:
    """Return the mask (Y, X) of run lengths, compressed or not, or of polygons."""
    if isinstance(segmentation, dict) and isinstance(segmentation["counts"], str):
        encoded = segmentation
    else:
        encoded = masks.frPyObjects(segmentation, *shape)
        encoded = masks.merge(encoded) if isinstance(encoded, list) else encoded
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools's, of numpy 2
        mask, box = masks.decode(encoded), masks.toBbox(encoded)
    if mask.shape != shape:
        msg = f"a mask has shape {mask.shape}, its image {shape}"
        raise ValueError(msg)
    x, y, width, height = (int(value) for value in box)  # of its pixels, whole numbers
    window = (slice(y, y + height), slice(x, x + width))
    return Part(shape, window, mask[window].astype(np.bool_))
