"""Objects as a TrackMate file (version 7), which TrackMate opens: spots with outlines, and tracks with divisions.

An outline is that of the largest piece, without its holes; volumes have spots alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np

from napari_sam2refiner.errors import ReadError
from napari_sam2refiner.labels.exchange.lineage import Node, links_of, nodes_of, tracks_along
from napari_sam2refiner.labels.exchange.objects import LabelledObjects, Sheet, one_line
from napari_sam2refiner.labels.exchange.outlines import area, fill, trace

SPOT_FEATURES = {  # name -> dimension, whether whole
    "QUALITY": ("QUALITY", False),
    "POSITION_X": ("POSITION", False),
    "POSITION_Y": ("POSITION", False),
    "POSITION_Z": ("POSITION", False),
    "POSITION_T": ("TIME", False),
    "FRAME": ("NONE", True),
    "RADIUS": ("LENGTH", False),
    "VISIBILITY": ("NONE", True),
}
VERSION = "7.11.1"
OURS = re.compile(r"0*([1-9]\d*)(?: (.+))?")  # name of a spot: an object's id, and its name


def write(path: Path, objects: LabelledObjects) -> None:
    """Write a spot for each object on each frame, named after its id and name, and a track for each family."""
    nodes = nodes_of(objects)
    links = links_of(nodes, objects.parents)
    size = dict(zip(objects.axes, objects.pixel_size, strict=True))
    root = ET.Element("TrackMate", version=VERSION)
    unit = "micron" if objects.scale is not None else "pixel"
    model = ET.SubElement(root, "Model", spatialunits=unit, timeunits="sec" if objects.scale else "frame")
    _declare(model)
    _add_spots(model, objects, nodes, size)
    _add_tracks(model, objects, nodes, links)
    rows, columns = objects.labels.shape[-2:]
    shape = dict(zip(objects.axes, objects.labels.shape, strict=True))
    settings = ET.SubElement(root, "Settings")
    about = {
        "filename": objects.image_name,
        "folder": "",
        "width": columns,
        "height": rows,
        "nslices": shape.get("Z", 1),
        "nframes": shape.get("T", 1),
        "pixelwidth": size["X"],
        "pixelheight": size["Y"],
        "voxeldepth": size.get("Z", 1.0),
        "timeinterval": size.get("T", 1.0),
    }
    ET.SubElement(settings, "ImageData", {name: str(value) for name, value in about.items()})
    ET.indent(root)
    ET.ElementTree(root).write(path, encoding="UTF-8", xml_declaration=True)


def _declare(model: ET.Element) -> None:
    """Say which features there are."""
    declared = ET.SubElement(model, "FeatureDeclarations")
    kinds = {"SpotFeatures": SPOT_FEATURES, "EdgeFeatures": {}, "TrackFeatures": {}}
    kinds["EdgeFeatures"] = {"SPOT_SOURCE_ID": ("NONE", True), "SPOT_TARGET_ID": ("NONE", True)}
    kinds["TrackFeatures"] = {"TRACK_ID": ("NONE", True), "TRACK_INDEX": ("NONE", True)}
    for kind, features in kinds.items():
        place = ET.SubElement(declared, kind)
        for name, (dimension, whole) in features.items():
            words = name.replace("_", " ").capitalize()
            about = {"feature": name, "name": words, "shortname": words, "dimension": dimension}
            ET.SubElement(place, "Feature", {**about, "isint": "true" if whole else "false"})


def _add_spots(model: ET.Element, objects: LabelledObjects, nodes: Sequence[Node], size: dict[str, float]) -> None:
    spots = ET.SubElement(model, "AllSpots", nspots=str(len(nodes)))
    frames: dict[int, ET.Element] = {}
    for place, node in enumerate(nodes):
        if node.frame not in frames:
            frames[node.frame] = ET.SubElement(spots, "SpotsInFrame", frame=str(node.frame))
        # Middle of pixel (0, 0) is at 0 in TrackMate, as here.
        at = {axis: value * size[axis] for axis, value in zip(objects.space, node.middle, strict=True)}
        spot = {
            "ID": place,
            "name": f"{node.object_id} {one_line(objects.names.get(node.object_id, ''))}".rstrip(),
            "QUALITY": objects.scores.get(node.object_id, 1.0),
            "POSITION_X": at["X"],
            "POSITION_Y": at["Y"],
            "POSITION_Z": at.get("Z", 0.0),
            "POSITION_T": node.frame * size.get("T", 1.0),
            "FRAME": node.frame,
            "RADIUS": _radius(node, objects.space, size),
            "VISIBILITY": 1,
        }
        element = ET.SubElement(frames[node.frame], "Spot", {name: str(value) for name, value in spot.items()})
        if objects.space == "YX":
            _outline(element, objects, node, size)


def _radius(node: Node, space: str, size: dict[str, float]) -> float:
    """Return the radius of the disc or ball as large as an object."""
    volume = node.pixels * math.prod(size[axis] for axis in space)
    return math.sqrt(volume / math.pi) if len(space) == 2 else (3 * volume / (4 * math.pi)) ** (1 / 3)


def _outline(spot: ET.Element, objects: LabelledObjects, node: Node, size: dict[str, float]) -> None:
    """Give a spot its outline, from its middle."""
    mask = objects.frames[node.frame][node.box] == node.object_id
    corners = np.add(max(trace(mask), key=area), [part.start for part in node.box])
    places = (corners - 0.5 - node.middle) * (size["Y"], size["X"])
    spot.set("ROI_N_POINTS", str(len(places)))
    spot.text = " ".join(f"{value:.7g}" for value in places[:, ::-1].ravel().tolist())


def _add_tracks(
    model: ET.Element, objects: LabelledObjects, nodes: Sequence[Node], links: Sequence[tuple[int, int]]
) -> None:
    """Write families of what follows what, under the name of the one that they begin with."""
    family = list(range(len(nodes)))
    for source, target in sorted(links, key=lambda link: nodes[link[1]].frame):
        family[target] = family[source]
    edges: dict[int, list[tuple[int, int]]] = {}
    for source, target in links:
        edges.setdefault(family[source], []).append((source, target))
    tracks, kept = ET.SubElement(model, "AllTracks"), ET.SubElement(model, "FilteredTracks")
    for number, (first, those) in enumerate(edges.items()):
        name = one_line(objects.names.get(nodes[first].object_id, "")) or f"Track_{number}"
        about = {"name": name, "TRACK_ID": str(number), "TRACK_INDEX": str(number)}
        track = ET.SubElement(tracks, "Track", about)
        ET.SubElement(kept, "TrackID", TRACK_ID=str(number))
        for source, target in those:
            ET.SubElement(track, "Edge", SPOT_SOURCE_ID=str(source), SPOT_TARGET_ID=str(target))


def read(path: Path, shape: tuple[int, ...] | None = None) -> LabelledObjects:  # noqa: ARG001 - it knows its own
    """Read the outlines of spots, and the tracks; spots without outlines are discs.

    Raises
    ------
    ReadError
        If it is no such file, or of volumes.
    """
    try:
        root = ET.parse(path).getroot()
        image = root.find("Settings/ImageData")
        if root.tag != "TrackMate" or image is None:
            msg = "it has no model and settings"
            raise ValueError(msg)
        if int(image.get("nslices", "1")) > 1:
            msg = "it is of volumes, whose outlines it does not have"
            raise ValueError(msg)
        return _objects(root, image.attrib)
    except (OSError, ET.ParseError, ValueError, KeyError) as error:
        msg = f"{path} cannot be read: {error}; give a TrackMate file of a plane or a time-lapse of planes."
        raise ReadError(msg) from error


def _objects(root: ET.Element, image: dict[str, Any]) -> LabelledObjects:
    spots = {int(spot.attrib["ID"]): spot for spot in root.iterfind("Model/AllSpots/SpotsInFrame/Spot")}
    edges = root.iterfind("Model/AllTracks/Track/Edge")
    links = [(int(edge.attrib["SPOT_SOURCE_ID"]), int(edge.attrib["SPOT_TARGET_ID"])) for edge in edges]
    frames = {number: int(float(spot.attrib["FRAME"])) for number, spot in spots.items()}
    links = [link if frames[link[0]] < frames[link[1]] else link[::-1] for link in links]
    named = {number: match for number, spot in spots.items() if (match := OURS.fullmatch(spot.get("name", "")))}
    names: dict[int, str] = {}
    if len({(frames[number], match[1]) for number, match in named.items()}) == len(spots):
        ids = {number: int(match[1]) for number, match in named.items()}
        names = {int(match[1]): match[2] for match in named.values() if match[2]}
        parents = {ids[b]: ids[a] for a, b in links if ids[a] != ids[b]}
    else:
        order = sorted(spots, key=frames.__getitem__)
        numbers, parents = tracks_along(order, links)
        ids = {number: numbers[number] for number in spots}
    plane, count = (int(image["height"]), int(image["width"])), int(image.get("nframes", "1"))
    sheet = Sheet((count, *plane), max(ids.values(), default=1))
    size = (float(image.get("pixelheight", 1)), float(image.get("pixelwidth", 1)))
    for number, spot in spots.items():
        sheet.put((frames[number],), fill([_corners(spot, size)], plane), ids[number])
    labels, axes = (sheet.labels, "TYX") if count > 1 else (sheet.labels[0], "YX")
    has_unit = root.find("Model[@spatialunits='pixel']") is None
    scale = (*(float(image.get("timeinterval", 1)),) * (len(axes) - 2), *size) if has_unit else None
    return LabelledObjects(labels, axes, parents=parents, scale=scale, note=sheet.note, names=names)


def _corners(spot: ET.Element, size: tuple[float, float]) -> Any:
    """Return the outline (y, x) of a spot, in corners of pixels; a circle where it has none."""
    middle = np.array([float(spot.attrib["POSITION_Y"]), float(spot.attrib["POSITION_X"])])
    words = (spot.text or "").split()
    if spot.get("ROI_N_POINTS") and words:
        around = np.array(words, np.float64).reshape(-1, 2)[:, ::-1]
    else:
        turns = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        around = float(spot.attrib["RADIUS"]) * np.stack([np.sin(turns), np.cos(turns)], axis=1)
    return (middle + around) / size + 0.5
