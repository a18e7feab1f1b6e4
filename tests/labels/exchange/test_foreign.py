"""What other programs write is read, and what is written here is what they expect."""

from __future__ import annotations

import json
import warnings
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import geff
import networkx as nx
import numpy as np
import pytest
import roifile
import tifffile
import zarr
from geff_spec import RelatedObject

from napari_sam2refiner.errors import ReadError
from napari_sam2refiner.labels.exchange.formats import export_objects, import_objects
from napari_sam2refiner.labels.exchange.measures import read_known, write_known
from napari_sam2refiner.labels.exchange.objects import LabelledObjects


@pytest.fixture
def objects() -> LabelledObjects:
    """Two objects that touch on three frames; the second one has a hole, and comes from the first."""
    labels = np.zeros((3, 30, 40), np.uint16)
    for t in range(3):
        labels[t, 5:15, 2 + t : 12 + t] = 300
    labels[1:, 15:25, 5:15] = 4
    labels[1:, 18:20, 8:10] = 0
    return LabelledObjects(labels, "TYX", {4: "daughter"}, {4: 0.75}, {4: 300}, names={300: "A/1"})


def test_coco_polygons_plain_run_lengths_and_crowds(tmp_path: Path) -> None:
    about = {
        "images": [{"id": 7, "file_name": "a.png", "height": 6, "width": 8}],
        "categories": [{"id": 3, "name": "worm"}],
        "annotations": [
            {"id": 10, "image_id": 7, "category_id": 3, "segmentation": [[0, 0, 3, 0, 3, 3, 0, 3]]},
            {"id": 11, "image_id": 7, "category_id": 3, "segmentation": {"size": [6, 8], "counts": [36, 12]}},
            {"id": 12, "image_id": 7, "category_id": 3, "bbox": [0, 0, 2, 2]},
        ],
    }
    (tmp_path / "a.json").write_text(json.dumps(about))
    found = import_objects(tmp_path / "a.json")
    wanted = np.zeros((6, 8), int)
    wanted[:3, :3], wanted[:, 6:] = 10, 11
    np.testing.assert_array_equal(found.labels, wanted)
    assert found.classes == {10: "worm", 11: "worm"}
    assert found.axes == "YX"


def test_names_are_where_other_programs_look(tmp_path: Path, objects: LabelledObjects) -> None:
    coco = json.loads(export_objects(tmp_path / "a.json", objects).read_text())
    named = {one["object_id"]: one.get("attributes") for one in coco["annotations"]}
    assert named == {300: {"name": "A/1"}, 4: None}
    root = ET.parse(export_objects(tmp_path / "a.xml", objects)).getroot()
    spots = [spot.attrib["name"] for spot in root.iterfind("Model/AllSpots/SpotsInFrame/Spot")]
    assert sorted({*spots}) == ["300 A/1", "4"]
    assert [track.attrib["name"] for track in root.iterfind("Model/AllTracks/Track")] == ["A/1"]
    graph, _ = geff.read(export_objects(tmp_path / "a.geff", objects))
    assert {values["object"]: values["name"] for _, values in graph.nodes(data=True)} == {300: "A/1", 4: ""}


def test_coco_objects_that_overlap_are_said_to(tmp_path: Path) -> None:
    one, other = np.zeros((6, 8), int), np.zeros((6, 8), int)
    one[:4, :4], other[2:, 2:] = 1, 2
    path = export_objects(tmp_path / "a.json", LabelledObjects(one))
    more = export_objects(tmp_path / "b.json", LabelledObjects(other))
    content = json.loads(path.read_text())
    content["annotations"] += json.loads(more.read_text())["annotations"]
    path.write_text(json.dumps(content))
    found = import_objects(path)
    np.testing.assert_array_equal(found.labels, np.where(one, one, other))
    assert "overlap in 4 pixels" in found.note


def test_coco_images_of_different_sizes_are_refused(tmp_path: Path) -> None:
    images = [{"id": n, "file_name": "a.png", "height": 6, "width": 8 + n} for n in (1, 2)]
    (tmp_path / "a.json").write_text(json.dumps({"images": images, "annotations": []}))
    with pytest.raises(ReadError, match=r"a\.json has images of 2 sizes; give a file with images of one size"):
        import_objects(tmp_path / "a.json")


def test_coco_is_read_by_its_own_library(tmp_path: Path, objects: LabelledObjects, capsys: Any) -> None:
    from pycocotools.coco import COCO

    coco = COCO(str(export_objects(tmp_path / "a.json", objects)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # its own, of numpy 2
        masks = {(one["image_id"], one["object_id"]): coco.annToMask(one) for one in coco.anns.values()}
    assert set(masks) == {(t, 300) for t in (1, 2, 3)} | {(t, 4) for t in (2, 3)}
    for (image, object_id), mask in masks.items():
        np.testing.assert_array_equal(mask, objects.labels[image - 1] == object_id)
    assert [one["area"] for one in coco.anns.values() if one["object_id"] == 4] == [96, 96]


def test_rois_stand_on_their_frames_with_names_and_holes(tmp_path: Path, objects: LabelledObjects) -> None:
    rois = roifile.roiread(export_objects(tmp_path / "a.zip", objects))
    names = ["T0001-0300 A/1", "T0002-0004", "T0002-0300 A/1", "T0003-0004", "T0003-0300 A/1"]
    assert [roi.name for roi in rois] == names
    with zipfile.ZipFile(tmp_path / "a.zip") as file:
        assert file.namelist() == [f"{name.replace('/', '_')}.roi" for name in names], "ImageJ goes by these"
    assert [roi.t_position for roi in rois] == [1, 2, 2, 3, 3]
    assert [len(roi.coordinates(multi=True)) for roi in rois if roi.composite] == [2, 2]
    assert rois[0].coordinates().tolist() == [[2, 5], [12, 5], [12, 15], [2, 15]]
    assert rois[1].properties["class"] == "daughter"


def test_rois_drawn_in_imagej_become_objects_in_their_order(tmp_path: Path) -> None:
    corners = np.array([[2, 1], [8, 1], [8, 5], [2, 5]])
    drawn = roifile.ImagejRoi.frompoints(corners, name="mine")
    box = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.RECT, left=10, top=2, right=14, bottom=8, byteorder=">")
    box.position = 2
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("mine.roi", drawn.tobytes())
        file.writestr("box.roi", box.tobytes())
    found = import_objects(tmp_path / "a.zip", shape=(3, 10, 20))
    wanted = np.zeros((3, 10, 20), int)
    wanted[0, 1:5, 2:8], wanted[1, 2:8, 10:14] = 1, 2
    np.testing.assert_array_equal(found.labels, wanted)
    assert found.names == {1: "mine"}


def test_a_roi_that_is_damaged_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("a.roi", b"Iout\x00")
    with pytest.raises(ReadError, match=r"a\.zip cannot be read"):
        import_objects(tmp_path / "a.zip", shape=(9, 9))


def test_a_graph_is_valid_and_has_its_labels(tmp_path: Path, objects: LabelledObjects) -> None:
    path = export_objects(tmp_path / "a.geff", objects)
    graph, about = geff.read(path)
    assert [axis.name for axis in about.axes] == ["t", "y", "x"]
    assert sorted(values["object"] for _, values in graph.nodes(data=True)) == [4, 4, 300, 300, 300]
    named = {(graph.nodes[a]["object"], graph.nodes[b]["object"]) for a, b in graph.edges}
    assert named == {(300, 300), (4, 4), (300, 4)}
    related = about.related_objects[0]
    np.testing.assert_array_equal(zarr.open_array(path / related.path, mode="r")[...], objects.labels)


def test_a_graph_of_others_with_labels_beside_it(tmp_path: Path) -> None:
    """Each frame has labels of its own; tracks are found by the edges."""
    labels = np.zeros((3, 10, 10), np.uint16)
    labels[0, 1:3, 1:3], labels[1, 1:3, 2:4], labels[2, 1:3, 1:3], labels[2, 1:3, 5:7] = 11, 12, 13, 14
    graph = nx.DiGraph([(1, 2), (2, 3), (2, 4)])
    for node, (t, seg) in {1: (0, 11), 2: (1, 12), 3: (2, 13), 4: (2, 14)}.items():
        graph.nodes[node].update(t=t, y=1.5, x=2.0, seg_id=seg)
    about = geff.GeffMetadata(
        directed=True,
        node_props_metadata={},
        edge_props_metadata={},
        related_objects=[RelatedObject(type="labels", path="../cells", node_prop="seg_id")],
    )
    axes = {"axis_names": ["t", "y", "x"], "axis_types": ["time", "space", "space"]}
    geff.write(graph, tmp_path / "a.zarr" / "tracks.geff", metadata=about, **axes)
    zarr.create_array(tmp_path / "a.zarr" / "cells", data=labels, zarr_format=2)
    found = import_objects(tmp_path / "a.zarr" / "tracks.geff")
    wanted = np.select([labels == 11, labels == 12, labels == 13, labels == 14], [1, 1, 2, 3])
    np.testing.assert_array_equal(found.labels, wanted)
    assert found.parents == {2: 1, 3: 1}


def test_a_graph_whose_nodes_do_not_fit_its_labels_is_refused(tmp_path: Path, objects: LabelledObjects) -> None:
    path = export_objects(tmp_path / "a.geff", objects)
    about = json.loads((path / ".zattrs").read_text())
    about["geff"]["related_objects"][0]["node_prop"] = "cell"
    (path / ".zattrs").write_text(json.dumps(about))
    with pytest.raises(ReadError, match="its nodes do not fit its labels"):
        import_objects(path)


def test_a_graph_without_labels_is_refused(tmp_path: Path) -> None:
    graph = nx.DiGraph()
    graph.add_node(1, t=0, y=1.0, x=2.0)
    geff.write(graph, tmp_path / "a.geff", axis_names=["t", "y", "x"])
    with pytest.raises(ReadError, match="has points but names no labels"):
        import_objects(tmp_path / "a.geff")


def test_spots_of_others_are_named_by_their_tracks_and_discs_without_outlines(tmp_path: Path) -> None:
    root = ET.Element("TrackMate", version="7.0")
    model = ET.SubElement(root, "Model", spatialunits="micron", timeunits="sec")
    spots = ET.SubElement(model, "AllSpots")
    for number, frame, x in ((10, 0, 5.0), (11, 1, 6.0), (12, 1, 12.0)):
        place = ET.SubElement(spots, "SpotsInFrame", frame=str(frame))
        at = {"POSITION_X": str(x), "POSITION_Y": "5", "POSITION_Z": "0", "FRAME": str(frame), "RADIUS": "2"}
        ET.SubElement(place, "Spot", ID=str(number), name=f"ID{number}", **at)
    track = ET.SubElement(ET.SubElement(model, "AllTracks"), "Track", TRACK_ID="0")
    ET.SubElement(track, "Edge", SPOT_SOURCE_ID="11", SPOT_TARGET_ID="10")  # either way, as TrackMate has them
    about = {"width": "40", "height": "20", "nframes": "2", "nslices": "1", "pixelwidth": "0.5", "pixelheight": "0.5"}
    ET.SubElement(ET.SubElement(root, "Settings"), "ImageData", about)
    ET.ElementTree(root).write(tmp_path / "a.xml")
    found = import_objects(tmp_path / "a.xml")
    assert found.labels.shape == (2, 20, 40)
    assert found.labels[0, 10, 10] == found.labels[1, 10, 12] == 1
    assert found.labels[1, 10, 24] == 2
    assert (found.labels[0] == 1).sum() == pytest.approx(np.pi * 16, rel=0.05)
    assert found.scale == (1.0, 0.5, 0.5)


def test_ome_zarr_is_read_by_its_own_library_as_labels(tmp_path: Path, objects: LabelledObjects) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # its own
        from ome_zarr.io import parse_url
        from ome_zarr.reader import Label, Multiscales, Reader

        path = export_objects(tmp_path / "a.ome.zarr", objects)
        (node, *_) = Reader(parse_url(path))()
    assert {Label, Multiscales} <= {type(spec) for spec in node.specs}
    np.testing.assert_array_equal(np.asarray(node.data[0]), objects.labels)
    assert node.metadata["properties"][300] == {"name": "A/1"}
    assert node.metadata["properties"][4] == {"class": "daughter", "score": 0.75, "parent": 300}


def test_large_ome_zarr_has_a_pyramid(tmp_path: Path) -> None:
    labels = np.zeros((1500, 2100), np.uint16)
    labels[100:900, 100:900] = 2
    path = export_objects(tmp_path / "a.zarr", LabelledObjects(labels, scale=(0.5, 0.25)))
    about: Any = zarr.open_group(path, mode="r").attrs["ome"]
    levels = about["multiscales"][0]["datasets"]
    assert [zarr.open_array(path / level["path"], mode="r").shape for level in levels] == [
        (1500, 2100),
        (750, 1050),
        (375, 525),
    ]
    scales = [level["coordinateTransformations"][0]["scale"] for level in levels]
    assert scales == [[0.5, 0.25], [1.0, 0.5], [2.0, 1.0]]
    np.testing.assert_array_equal(import_objects(path).labels, labels)


def test_a_truth_of_the_challenge_is_read_too(tmp_path: Path, objects: LabelledObjects) -> None:
    for t, labels in enumerate(objects.labels):
        tifffile.imwrite(tmp_path / f"man_track{t:03}.tif", labels)
    (tmp_path / "man_track.txt").write_text("300 0 2 0\n4 1 2 300\n")
    found = import_objects(tmp_path)
    np.testing.assert_array_equal(found.labels, objects.labels)
    assert found.parents == {4: 300}


def test_imagej_reads_size_and_time_of_a_tiff(tmp_path: Path, objects: LabelledObjects) -> None:
    scaled = LabelledObjects(objects.labels, "TYX", scale=(30.0, 0.5, 0.25))
    with tifffile.TiffFile(export_objects(tmp_path / "a.tif", scaled)) as file:
        assert file.is_imagej
        assert file.imagej_metadata["frames"] == 3
        assert file.imagej_metadata["finterval"] == 30.0
        assert file.pages[0].tags["XResolution"].value == (4, 1)


def test_measures_are_those_of_the_objects(tmp_path: Path, objects: LabelledObjects) -> None:
    image = np.arange(3 * 30 * 40).reshape(objects.labels.shape)
    scaled = LabelledObjects(
        objects.labels,
        "TYX",
        objects.classes,
        objects.scores,
        objects.parents,
        (1.0, 0.5, 0.5),
        image,
        names=objects.names,
    )
    path = export_objects(tmp_path / "a.csv", scaled)
    import csv

    with path.open(newline="") as file:
        rows = {(int(row["frame"]), int(row["object"])): row for row in csv.DictReader(file)}
    assert set(rows) == {(0, 300), (1, 300), (2, 300), (1, 4), (2, 4)}
    row, mask = rows[2, 4], objects.labels[2] == 4
    assert (float(row["area"]), row["class"], row["score"], row["parent"]) == (24.0, "daughter", "0.75", "300")
    assert float(row["intensity_mean"]) == image[2][mask].mean()
    assert [int(row[name]) for name in ("min_y", "min_x", "max_y", "max_x")] == [15, 5, 25, 15]
    assert float(row["centroid_y"]) == pytest.approx(np.argwhere(mask)[:, 0].mean() * 0.5)
    assert (rows[1, 300]["name"], row["name"]) == ("A/1", "")
    assert read_known(path) == (objects.classes, objects.scores, objects.parents, objects.names)


@pytest.mark.parametrize("axes", ["YX", "ZYX"])
def test_measures_of_channels_and_volumes(axes: str, tmp_path: Path) -> None:
    labels = np.zeros((4, 12, 12)[-len(axes) :], np.uint64)
    labels[..., 3:8, 2:9] = 2**40
    image = np.stack([labels > 0, labels == 0], axis=-1).astype(np.float32)
    path = export_objects(
        tmp_path / "a.csv", LabelledObjects(labels, axes, scale=(1.0, 0.5, 0.25)[-len(axes) :], image=image)
    )
    header, values = (line.split(",") for line in path.read_text().splitlines())
    row = dict(zip(header, values, strict=True))
    assert row["object"] == str(2**40)
    assert (float(row["intensity_mean_0"]), float(row["intensity_mean_1"])) == (1.0, 0.0)
    assert float(row["area"]) == pytest.approx((labels > 0).sum() * 0.125)
    assert ("centroid_z" in row) == (axes == "ZYX")
    assert "perimeter" not in row


def test_what_is_known_of_objects_goes_through_a_table(tmp_path: Path, objects: LabelledObjects) -> None:
    write_known(tmp_path / "a.csv", objects)
    assert read_known(tmp_path / "a.csv") == (objects.classes, objects.scores, objects.parents, objects.names)
    (tmp_path / "b.csv").write_text("frame,object,score\n0,1,0.9\n1,1,0.4\n")
    assert read_known(tmp_path / "b.csv") == ({}, {1: 0.4}, {}, {})
    (tmp_path / "c.csv").write_text("id,score\n1,0.9\n")
    with pytest.raises(ReadError, match=r"c\.csv cannot be read: .*column object"):
        read_known(tmp_path / "c.csv")
