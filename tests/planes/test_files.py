"""One plane of an image file, whatever its axes, and one sentence where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
import zarr
from skimage.io import imsave

from napari_sam2refiner.errors import InvalidImageError, ReadError
from napari_sam2refiner.planes.files import read_plane
from napari_sam2refiner.planes.image_file import ImageFile
from napari_sam2refiner.planes.lazy import LazyPlane


def numbers(*shape: int) -> npt.NDArray[np.uint16]:
    return np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(
    ("shape", "options", "steps", "channels", "expected"),
    [
        ((5, 6), {}, (), (), np.s_[:, :]),
        ((4, 5, 6), {"imagej": True, "metadata": {"axes": "TYX"}}, (2,), (), np.s_[2]),
        ((4, 3, 5, 6), {"imagej": True, "metadata": {"axes": "TZYX"}}, (2, 1), (), np.s_[2, 1]),
        ((3, 2, 5, 6), {"ome": True, "metadata": {"axes": "ZCYX"}}, (1,), (1,), np.s_[1, 1]),
        ((1, 3, 5, 6), {"ome": True, "metadata": {"axes": "TZYX"}}, (2,), (), np.s_[0, 2]),
        ((1, 5, 6), {"ome": True, "metadata": {"axes": "CYX"}}, (), (), np.s_[0]),
        ((7, 5, 6), {}, (3,), (), np.s_[3]),
    ],
)
def test_plane_of_a_tiff(
    tmp_path: Path,
    shape: tuple[int, ...],
    options: dict[str, Any],
    steps: tuple[int, ...],
    channels: tuple[int, ...],
    expected: Any,
    compression: str | None,
) -> None:
    image = numbers(*shape)
    tifffile.imwrite(tmp_path / "i.tif", image, photometric="minisblack", compression=compression, **options)
    plane = read_plane(tmp_path / "i.tif", steps, channels)
    np.testing.assert_array_equal(plane, image[expected])
    assert plane.dtype == np.uint16


def test_channels_become_the_last_axis(tmp_path: Path) -> None:
    image = numbers(3, 2, 5, 6)
    tifffile.imwrite(tmp_path / "i.tif", image, photometric="minisblack", ome=True, metadata={"axes": "ZCYX"})
    np.testing.assert_array_equal(read_plane(tmp_path / "i.tif", [2]), image[2].transpose(1, 2, 0))
    np.testing.assert_array_equal(read_plane(tmp_path / "i.tif", [2], [1, 0]), image[2][[1, 0]].transpose(1, 2, 0))


def test_colour_tiff_and_stack_of_them(tmp_path: Path) -> None:
    image = numbers(4, 5, 6, 3).astype(np.uint8)
    tifffile.imwrite(tmp_path / "one.tif", image[0], photometric="rgb")
    tifffile.imwrite(tmp_path / "many.tif", image, photometric="rgb")
    np.testing.assert_array_equal(read_plane(tmp_path / "one.tif"), image[0])
    np.testing.assert_array_equal(read_plane(tmp_path / "many.tif", [3]), image[3])
    np.testing.assert_array_equal(read_plane(tmp_path / "many.tif", [3], [2]), image[3, ..., 2])


def test_other_pages_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "i.tif", numbers(50, 5, 6), photometric="minisblack", compression="zlib")
    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", None)
    np.testing.assert_array_equal(read_plane(tmp_path / "i.tif", [49]), numbers(50, 5, 6)[49])


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 3), (5, 6, 4)])
def test_png(tmp_path: Path, shape: tuple[int, ...]) -> None:
    image = numbers(*shape).astype(np.uint8)
    imsave(tmp_path / "i.png", image, check_contrast=False)
    np.testing.assert_array_equal(read_plane(tmp_path / "i.png"), image)


def test_grey_png_with_transparency_is_grey(tmp_path: Path) -> None:
    image = numbers(5, 6, 2).astype(np.uint8)
    imsave(tmp_path / "i.png", image, check_contrast=False)
    np.testing.assert_array_equal(read_plane(tmp_path / "i.png"), image[..., 0])


@pytest.mark.parametrize(
    ("steps", "channels", "message"),
    [
        ((), (), r"got 0 plane indices; give one for each of these: T \(4\)"),
        ((1, 2), (), "got 2 plane indices"),
        ((4,), (), "no index 4 on axis T; choose from 0 to 3"),
        ((-1,), (), "no index -1"),
        ((1,), (0,), "no channels"),
    ],
)
def test_plane_that_is_not_there(tmp_path: Path, steps: list[int], channels: list[int], message: str) -> None:
    tifffile.imwrite(tmp_path / "i.tif", numbers(4, 5, 6), imagej=True, metadata={"axes": "TYX"})
    with pytest.raises(InvalidImageError, match=message):
        read_plane(tmp_path / "i.tif", steps, channels)


@pytest.mark.parametrize("name", ["i.tif", "i.png", "i.jpg", "i.xyz"])
@pytest.mark.parametrize("content", [None, b"", b"not an image"])
def test_unreadable_file_is_named(tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ReadError, match=name):
        read_plane(tmp_path / name)


def test_truncated_tiff_is_named(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 999, (500, 600), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "i.tif", noise, photometric="minisblack", compression="zlib")
    (tmp_path / "i.tif").write_bytes((tmp_path / "i.tif").read_bytes()[:5000])
    with pytest.raises(ReadError, match=r"i\.tif cannot be read"):
        read_plane(tmp_path / "i.tif")


@pytest.mark.parametrize("kind", ["tiles", "strips", "pyramid", "whole", "stack", "zarr", "scales"])
def test_of_a_large_plane_only_regions_are_read(kind, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_sam2refiner.planes.image_file.LARGE", 100)
    pixels = np.random.default_rng(0).integers(0, 4000, (3, 320, 256)).astype(np.uint16)
    path, steps = tmp_path / ("a.zarr" if kind in ("zarr", "scales") else "a.tif"), (1,)
    if kind == "zarr":
        zarr.create_array(path, data=pixels, chunks=(1, 64, 64), dimension_names=("t", "y", "x"))
    elif kind == "scales":
        group = zarr.create_group(path)
        group.create_array("0", data=pixels, chunks=(1, 64, 64))
        group.create_array("1", data=pixels[:, ::2, ::2], chunks=(1, 64, 64))
        axes = [{"name": name} for name in "tyx"]
        group.attrs["ome"] = {"multiscales": [{"axes": axes, "datasets": [{"path": "0"}, {"path": "1"}]}]}
    elif kind == "pyramid":
        steps = ()
        with tifffile.TiffWriter(path) as file:
            file.write(pixels[1], tile=(64, 64), subifds=1, photometric="minisblack")
            file.write(pixels[1, ::2, ::2], tile=(64, 64), subfiletype=1, photometric="minisblack")
    else:
        options = {"tiles": {"tile": (64, 64), "compression": "zlib"}, "strips": {"rowsperstrip": 16}}.get(kind, {})
        about = {} if kind == "whole" else {"metadata": {"axes": "TYX"}}
        tifffile.imwrite(path, pixels, photometric="minisblack", **options, **about)
    with ImageFile(path) as file:
        expected = file.read(steps)
        monkeypatch.setattr(ImageFile, "read", None)
        plane = file.open(steps)
        assert isinstance(plane, LazyPlane)
        np.testing.assert_array_equal(plane[70:90, 100:256], expected[70:90, 100:256])
        coarse = plane.reduced((slice(0, 320), slice(0, 256)), 2)
        assert plane.coarsest(2) == (2 if kind in ("pyramid", "scales") else 1)
        assert coarse.shape == (160, 128)


def test_chosen_channels_of_a_large_plane_are_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_sam2refiner.planes.image_file.LARGE", 100)
    pixels = np.random.default_rng(0).integers(0, 255, (64, 48, 3)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", tile=(16, 16))
    with ImageFile(tmp_path / "a.tif") as file:
        assert isinstance(file.open((), [2, 0]), np.ndarray)
        one, every = file.open((), [2]), file.open()
        np.testing.assert_array_equal(one[5:9, 3:7], pixels[5:9, 3:7, 2])
        np.testing.assert_array_equal(every[5:9, 3:7], pixels[5:9, 3:7])
