"""Stacks in files, frame by frame, and one sentence where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
import zarr

from napari_sam2refiner.errors import InvalidImageError, ReadError
from napari_sam2refiner.planes.files import read_plane
from napari_sam2refiner.planes.stacks import StackFile


def numbers(*shape: int) -> npt.NDArray[np.uint16]:
    return np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)


def assert_frames(stack: StackFile, expected: npt.NDArray[Any]) -> None:
    assert len(stack) == len(expected)
    for t in (*range(len(stack)), 0):
        np.testing.assert_array_equal(stack[t], expected[t])


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(
    ("shape", "axes", "axis", "steps", "channels", "expected"),
    [
        ((4, 5, 6), "TYX", None, (), (), np.s_[:]),
        ((4, 5, 6), "ZYX", None, (), (), np.s_[:]),
        ((4, 3, 5, 6), "TZYX", None, (1,), (), np.s_[:, 1]),
        ((4, 3, 5, 6), "TZYX", "z", (2,), (), np.s_[2]),
        ((4, 3, 2, 5, 6), "TZCYX", "Z", (1,), (1,), np.s_[1, :, 1]),
    ],
)
def test_frames_of_a_tiff(
    tmp_path: Path,
    shape: tuple[int, ...],
    axes: str,
    axis: str | None,
    steps: tuple[int, ...],
    channels: tuple[int, ...],
    expected: Any,
    compression: str | None,
) -> None:
    image = numbers(*shape)
    tifffile.imwrite(tmp_path / "s.tif", image, imagej=True, metadata={"axes": axes}, compression=compression)
    with StackFile(tmp_path / "s.tif", axis, steps, channels) as stack:
        assert_frames(stack, image[expected])


def test_a_large_imagej_stack_in_one_piece_is_read_from_the_disk(tmp_path: Path) -> None:
    image = numbers(4, 5, 6)
    tifffile.imwrite(tmp_path / "s.tif", image, imagej=True, metadata={"axes": "TYX"})
    with tifffile.TiffFile(tmp_path / "s.tif", mode="r+") as file:
        end = file.pages[0].offset + 2 + 12 * len(file.pages[0].tags)
        file.filehandle.seek(end)
        file.filehandle.write(b"\0" * 4)  # ImageJ writes a single page there above 4 GB
    with tifffile.TiffFile(tmp_path / "s.tif") as file:
        assert len(file.pages) == 1
        assert file.series[0].shape == (4, 5, 6)
    with StackFile(tmp_path / "s.tif") as stack:
        assert_frames(stack, image)
    np.testing.assert_array_equal(read_plane(tmp_path / "s.tif", (2,)), image[2])


@pytest.mark.parametrize("version", [2, 3])
def test_frames_of_a_zarr_array(tmp_path: Path, version: Any) -> None:
    image = numbers(4, 5, 6)
    zarr.create_array(tmp_path / "s.zarr", data=image, chunks=(1, 5, 6), zarr_format=version)
    with StackFile(tmp_path / "s.zarr") as stack:
        assert_frames(stack, image)


def test_axes_of_a_zarr_array_have_its_names_or_letters_of_their_own(tmp_path: Path) -> None:
    image = numbers(4, 3, 5, 6)
    zarr.create_array(tmp_path / "named.zarr", data=image, dimension_names=("z", "t", "y", "x"))
    with StackFile(tmp_path / "named.zarr", steps=(1,)) as stack:
        assert_frames(stack, image[1])
    zarr.create_array(tmp_path / "plain.zarr", data=image)
    with pytest.raises(InvalidImageError, match=r"its stacked axes are: Q \(4\), R \(3\)"):
        StackFile(tmp_path / "plain.zarr")
    with StackFile(tmp_path / "plain.zarr", "R", (2,)) as stack:
        assert_frames(stack, image[2])


def test_frames_of_an_ome_zarr_image(tmp_path: Path) -> None:
    image = numbers(4, 2, 5, 6)
    group = zarr.open_group(tmp_path / "s.zarr", mode="w")
    group.create_array("0", data=image)
    axes = [{"name": name} for name in ("t", "c", "y", "x")]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    with StackFile(tmp_path / "s.zarr", channels=(1,)) as stack:
        assert_frames(stack, image[:, 1])


def test_a_folder_has_its_images_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    image = numbers(12, 5, 6)
    for t in range(12):
        tifffile.imwrite(tmp_path / f"f{t}.tif", image[t])
    (tmp_path / "notes.txt").write_text("no image")
    with StackFile(tmp_path) as stack:
        assert_frames(stack, image)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("plane.tif",), "no stacked axis T or Z; its stacked axes are: none"),
        (("stack.tif", "C"), "no stacked axis C; its stacked axes are: T \\(4\\)"),
        (("stack.tif", None, (0,)), "2 plane indices"),
        (("none.tif",), "cannot be read"),
        (("damaged.tif",), "cannot be read"),
        (("empty",), "holds no images"),
        (("damaged.zarr",), "give a complete Zarr array or OME-Zarr image"),
    ],
)
def test_what_is_no_stack_gets_one_sentence(tmp_path: Path, arguments: Any, says: str) -> None:
    tifffile.imwrite(tmp_path / "plane.tif", numbers(5, 6))
    tifffile.imwrite(tmp_path / "stack.tif", numbers(4, 5, 6), imagej=True, metadata={"axes": "TYX"})
    (tmp_path / "damaged.tif").write_bytes(b"II*\0nothing")
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged.zarr").mkdir()
    name, *rest = arguments
    with pytest.raises((ReadError, InvalidImageError), match=says), StackFile(tmp_path / name, *rest) as stack:
        assert stack[0].size
