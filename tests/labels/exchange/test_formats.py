"""Objects come back from every format as they went, as far as it keeps them; a failure leaves what was there."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sam2refiner.errors import InvalidConfigError, InvalidLabelsError, ReadError, SaveError
from napari_sam2refiner.labels.exchange.formats import FORMATS, Format, export_objects, find_format, import_objects
from napari_sam2refiner.labels.exchange.objects import AXES, LabelledObjects

READABLE = [one for one in FORMATS if one.read is not None]
EXACT = [one for one in READABLE if one.name not in ("ctc", "trackmate")]
SHAPES = {"YX": (9, 12), "TYX": (3, 9, 12), "ZYX": (3, 9, 12), "TZYX": (2, 3, 9, 12)}
by_name = {"ids": lambda one: one.name}


def place(folder: str | Path, one: Format) -> Path:
    return Path(folder, "out" + (one.suffixes[0] if one.suffixes else ""))


def there_and_back(folder: str | Path, objects: LabelledObjects, one: Format) -> LabelledObjects:
    path = export_objects(place(folder, one), objects, one.name)
    assert [file.name for file in Path(folder).iterdir()] == [path.name]
    shape = None if one.knows_shape else objects.labels.shape
    return import_objects(path, one.name, shape=shape, axes=objects.axes if one.name == "npy" else None)


@st.composite
def any_labels(draw: Any) -> LabelledObjects:
    """Return objects of random pixels: they touch, have holes, and fall into pieces."""
    axes = draw(st.sampled_from(AXES))
    values = [0, *draw(st.lists(st.sampled_from([1, 2, 7, 255, 65535, 65536, 2**31, 2**33]), max_size=4))]
    seed = draw(st.integers(0, 2**32 - 1))
    labels = np.random.default_rng(seed).choice(np.array(values, np.uint64), SHAPES[axes])
    return LabelledObjects(labels, axes)


@pytest.mark.parametrize("one", EXACT, **by_name)
@settings(max_examples=15, deadline=None)
@given(objects=any_labels())
def test_random_labels_come_back(one: Format, objects: LabelledObjects) -> None:
    with tempfile.TemporaryDirectory() as folder:
        back = there_and_back(folder, objects, one)
        np.testing.assert_array_equal(back.labels, objects.labels)
        if objects.labels.any() or one.name != "roi":  # nothing says what the axes are where there is no ROI
            assert back.axes == objects.axes
        assert not back.note


def family() -> LabelledObjects:
    """Return a time-lapse: 1 stays, 2 divides into 3 and 4 that touch, 5 comes late and has gone at the end."""
    labels = np.zeros((4, 40, 50), np.uint16)
    for t in range(4):
        labels[t, 5:15, 5 + t : 15 + t] = 1
    labels[:2, 20:30, 10:30] = 2
    labels[2:, 20:30, 10:20] = 3
    labels[2:, 20:30, 20:30] = 4
    labels[1:3, 0:4, 40:45] = 5
    parents, scores = {3: 2, 4: 2}, {1: 0.5, 4: 0.875}
    classes, names = {1: "nucleus", 3: "Zelle, groß", 4: "7"}, {1: "left: of/the 'gap'", 2: "Mütterchen", 4: "012"}
    return LabelledObjects(labels, "TYX", classes, scores, parents, (30.0, 0.5, 0.25), names=names)


@pytest.mark.parametrize("one", READABLE, **by_name)
def test_lineage_classes_scores_and_names_come_back_where_they_are_said_to(one: Format, tmp_path: Path) -> None:
    objects = family()
    back = there_and_back(tmp_path, objects, one)
    np.testing.assert_array_equal(back.labels, objects.labels)
    assert back.axes == "TYX"
    assert back.parents == (objects.parents if one.lineage else {})
    assert back.classes == (objects.classes if one.classes else {})
    assert back.scores == (objects.scores if one.scores else {})
    assert back.names == (objects.names if one.names else {})


@pytest.mark.parametrize("name", ["roi", "trackmate"])
def test_names_of_several_lines_become_one(name: str, tmp_path: Path) -> None:
    objects = replace(family(), names={1: "a\nb\x00 \u2028c"})
    assert there_and_back(tmp_path, objects, find_format("", name)).names == {1: "a b c"}


@pytest.mark.parametrize("name", ["ome-zarr", "trackmate"])
def test_pixel_sizes_come_back(name: str, tmp_path: Path) -> None:
    one = find_format("", name)
    assert there_and_back(tmp_path, family(), one).scale == (30.0, 0.5, 0.25)
    unknown = export_objects(tmp_path / f"b{one.suffixes[0]}", replace(family(), scale=None))
    assert import_objects(unknown).scale is None


@pytest.mark.parametrize("one", READABLE, **by_name)
def test_no_object_at_all(one: Format, tmp_path: Path) -> None:
    back = there_and_back(tmp_path, LabelledObjects(np.zeros((3, 20, 30), np.uint8), "TYX"), one)
    assert back.labels.shape == (3, 20, 30)
    assert not back.labels.any()


def test_tracks_in_a_folder_begin_anew_after_a_gap_and_fit_16_bits(tmp_path: Path) -> None:
    labels = family().labels.astype(np.uint32)
    labels[1][labels[1] == 1] = 0
    labels[labels == 5] = 70_000
    one = find_format("", "ctc")
    back = there_and_back(tmp_path, LabelledObjects(labels, "TYX", parents={3: 2, 4: 2}), one)
    assert back.labels.dtype == np.uint16
    np.testing.assert_array_equal(back.labels > 0, labels > 0)
    first, later = back.labels[0, 6, 9], back.labels[2, 6, 9]
    assert back.parents[int(later)] == first != later
    mother, daughter = back.labels[0, 25, 15], back.labels[2, 25, 15]
    assert back.parents[int(daughter)] == mother
    rows = np.loadtxt(tmp_path / "out" / "res_track.txt", dtype=int)
    assert rows.shape == (6, 4)
    assert [file.name for file in sorted((tmp_path / "out").glob("*.tif"))] == [f"mask00{t}.tif" for t in range(4)]


def test_a_spot_has_the_outline_of_its_largest_piece_without_holes(tmp_path: Path) -> None:
    labels = np.zeros((30, 40), int)
    labels[5:15, 5:15] = 9
    labels[8:10, 8:10] = 0
    labels[20:22, 5:7] = 9
    back = there_and_back(tmp_path, LabelledObjects(labels), find_format("", "trackmate"))
    filled = np.zeros_like(labels)
    filled[5:15, 5:15] = 9
    np.testing.assert_array_equal(back.labels, filled)


def test_a_graph_and_spots_of_volumes_are_written(tmp_path: Path) -> None:
    from xml.etree import ElementTree as ET

    labels = np.zeros((2, 4, 20, 20), np.uint8)
    labels[:, 1:4, 4:9, 6:11] = 3
    objects = LabelledObjects(labels, "TZYX", scale=(1.0, 2.0, 0.5, 0.5))
    path = export_objects(tmp_path / "a.xml", objects)
    spots = ET.parse(path).getroot().findall("Model/AllSpots/SpotsInFrame/Spot")
    assert [float(spot.attrib[f"POSITION_{axis}"]) for spot in spots for axis in "ZYX"] == [4.0, 3.0, 4.0] * 2
    assert len(ET.parse(path).getroot().findall("Model/AllTracks/Track/Edge")) == 1
    with pytest.raises(ReadError, match="of volumes, whose outlines it does not have"):
        import_objects(path)


# -- what is wrong -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("one", FORMATS, **by_name)
def test_what_is_there_already_stays_unless_it_may_go(one: Format, tmp_path: Path) -> None:
    path = export_objects(place(tmp_path, one), family(), one.name)
    before = contents(tmp_path)
    other = LabelledObjects(np.eye(9, dtype=int))
    with pytest.raises(SaveError, match=r"is there already; .*--overwrite"):
        export_objects(path, other, one.name)
    assert contents(tmp_path) == before
    export_objects(path, other, one.name, overwrite=True)
    assert contents(tmp_path) != before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("one", [one for one in FORMATS if one.is_folder], **by_name)
def test_a_folder_of_something_else_is_never_replaced(one: Format, tmp_path: Path) -> None:
    path = place(tmp_path, one)
    path.mkdir()
    (path / "thesis.txt").write_text("years of work")
    with pytest.raises(SaveError, match=r"is no .*, so it is not overwritten"):
        export_objects(path, family(), one.name, overwrite=True)
    assert (path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("one", FORMATS, **by_name)
def test_a_disk_that_is_full_leaves_what_was_there(one: Format, tmp_path: Path) -> None:
    path = export_objects(place(tmp_path, one), family(), one.name)
    before = contents(tmp_path)
    noise = np.random.default_rng(0).integers(0, 9, (2, 50, 50))
    with files_end_at(500), pytest.raises(SaveError, match=r"out.* cannot be written: .*"):
        export_objects(path, LabelledObjects(noise, "TYX"), one.name, overwrite=True)
    assert contents(tmp_path) == before


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """Let the system refuse to write more than so many bytes into a file."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("one", FORMATS, **by_name)
def test_places_that_cannot_be_written_are_named(one: Format, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in ("missing", "file"):
        with pytest.raises(SaveError, match=rf"{folder}.*out.* cannot be written, there is no folder"):
            export_objects(place(tmp_path / folder, one), family(), one.name)
    if one.suffixes:
        with pytest.raises(SaveError, match=rf"end the name in {one.suffixes[0]}"):
            export_objects(tmp_path / "out.wrong", family(), one.name)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("one", READABLE, **by_name)
def test_what_cannot_be_read_is_named(one: Format, tmp_path: Path) -> None:
    path = place(tmp_path, one)
    with pytest.raises(ReadError, match=r"out.* cannot be read: there is no such file or folder"):
        import_objects(path, one.name, shape=(9, 9))
    if one.is_folder:
        path.mkdir()
        (path / "zarr.json").write_text("{")
        (path / "mask000.tif").write_text("{")
        (path / "res_track.txt").write_text("1 0")
    else:
        path.write_text("{")
    with pytest.raises(ReadError, match=r"cannot be read"):
        import_objects(path, one.name, shape=(9, 9))


def test_formats_are_found_by_name_and_by_ending(tmp_path: Path) -> None:
    endings = {"a.tif": "tiff", "a.ome.tiff": "tiff", "b.ome.zarr": "ome-zarr", "c.JSON": "coco", "01_RES": "ctc"}
    endings |= {"d.zip": "roi", "e.geff": "geff", "f.xml": "trackmate", "g.csv": "csv", "h.npy": "npy"}
    assert {name: find_format(name).name for name in endings} == endings
    with pytest.raises(InvalidConfigError, match=r"no format 'tif'; choose tiff, ome-zarr"):
        find_format("a.tif", "tif")
    with pytest.raises(InvalidConfigError, match=r"a\.doc has an ending that no format has"):
        find_format("a.doc")
    path = export_objects(tmp_path / "a.csv", family())
    with pytest.raises(InvalidConfigError, match="cannot be had back"):
        import_objects(path)


def test_a_shape_that_does_not_fit_is_named(tmp_path: Path) -> None:
    path = export_objects(tmp_path / "a.zip", family())
    with pytest.raises(ReadError, match="how large its image is; open the image first, or give --shape Y X"):
        import_objects(path)
    with pytest.raises(ReadError, match=r"a\.zip cannot be read: .*"):
        import_objects(path, shape=(2, 40, 50))
    path = export_objects(tmp_path / "a.json", family())
    with pytest.raises(InvalidLabelsError, match=r"shape \(4, 40, 50\), but the image has \(40, 50\)"):
        import_objects(path, shape=(40, 50))
    with pytest.raises(InvalidLabelsError, match="with axes 'YX'"):
        import_objects(path, axes="yx")


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (np.zeros((4, 4)), {}, "dtype float64"),
        (np.full((4, 4), -2), {}, "0 for background"),
        (np.zeros((0, 4), int), {}, r"\(0, 4\)"),
        (np.zeros((4, 4), int), {"axes": "TYX"}, "with axes 'TYX'"),
        (np.zeros((4, 4), int), {"scale": (1.0, 0.0)}, r"pixel size is \(1.0, 0.0\)"),
        (np.zeros((4, 4), int), {"image": np.zeros((4, 5))}, r"image has shape \(4, 5\)"),
    ],
)
def test_what_are_no_objects_is_said(labels: npt.NDArray[Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidLabelsError, match=message):
        LabelledObjects(labels, **options)


@pytest.mark.parametrize(
    ("name", "module", "library"),
    [
        ("coco", "pycocotools.mask", "pycocotools"),
        ("roi", "roifile", "roifile"),
        ("geff", "geff", "geff"),
        ("ome-zarr", "ome_zarr.writer", "ome-zarr"),
    ],
)
def test_a_library_that_is_missing_is_named(
    name: str, module: str, library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    one = find_format("", name)
    with pytest.raises(InvalidConfigError, match=rf"needs {library}; install it by: pip install .*\[export\]"):
        export_objects(place(tmp_path, one), family(), name)
    assert not list(tmp_path.iterdir())


def test_tiffs_of_others_are_read_by_their_axes(tmp_path: Path) -> None:
    stack = np.arange(60, dtype=np.uint8).reshape(2, 5, 6)
    tifffile.imwrite(tmp_path / "z.tif", stack, ome=True, photometric="minisblack", metadata={"axes": "ZYX"})
    assert import_objects(tmp_path / "z.tif").axes == "ZYX"
    tifffile.imwrite(tmp_path / "plain.tif", stack, photometric="minisblack", metadata=None)
    assert import_objects(tmp_path / "plain.tif").axes == "TYX"
    assert import_objects(tmp_path / "plain.tif", axes="ZYX").axes == "ZYX"
    tifffile.imwrite(tmp_path / "channel.tif", stack[:, None, None], imagej=True, metadata={"axes": "TZCYX"})
    assert import_objects(tmp_path / "channel.tif").labels.shape == (2, 5, 6)
