"""Planes that are read region by region."""

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from large import DrawnNuclei

from napari_sam2refiner.errors import InvalidImageError, ReadError
from napari_sam2refiner.planes import lazy as lazy_module
from napari_sam2refiner.planes.intensity import limits
from napari_sam2refiner.planes.lazy import LazyPlane
from napari_sam2refiner.planes.plane import PlaneIndex


def block_means(plane: np.ndarray, k: int) -> np.ndarray:
    """Return means of k x k pixels; of fewer at the end, where the last pixel counts for those that are not there."""
    rows, columns = (-(-n // k) * k for n in plane.shape[:2])
    padded = np.pad(plane.astype(float), ((0, rows - plane.shape[0]), (0, columns - plane.shape[1])), mode="edge")
    return padded.reshape(rows // k, k, columns // k, k).mean((1, 3))


@settings(deadline=None, max_examples=30)
@given(st.integers(20, 70), st.integers(20, 70), st.sampled_from([1, 2, 4, 8]), st.booleans(), st.data())
def test_cells_are_means_whichever_level_they_come_from(rows, columns, k, pyramid, data):
    plane = np.random.default_rng(0).uniform(0, 100, (rows, columns))
    levels = [plane, block_means(plane, 2), block_means(plane, 4)] if pyramid else [plane]
    top, left = (data.draw(st.integers(0, (n - 1) // k)) * k for n in plane.shape)
    window = (slice(top, rows), slice(left, columns))
    found = LazyPlane(levels).reduced(window, k)
    assert found.shape == tuple(-(-(part.stop - part.start) // k) for part in window)
    whole = found[: (rows - top) // k, : (columns - left) // k]  # the last ones have fewer pixels
    expected = block_means(plane, k)[top // k :, left // k :]
    np.testing.assert_allclose(whole, expected[: whole.shape[0], : whole.shape[1]], rtol=1e-5)


def test_large_cells_are_read_in_blocks(monkeypatch):
    monkeypatch.setattr(lazy_module, "BLOCK", 64)
    drawn = DrawnNuclei((500, 700), most=64 * 64)
    plane = LazyPlane([drawn])
    whole = DrawnNuclei((500, 700))[:, :]
    found = plane.reduced((slice(0, 500), slice(0, 700)), 16)
    np.testing.assert_allclose(found, block_means(whole, 16), rtol=1e-5)
    np.testing.assert_array_equal(plane.reduced((slice(30, 90), slice(600, 660)), 1), whole[30:90, 600:660])


def test_a_level_that_ends_before_the_plane_is_continued():
    plane = np.arange(81.0).reshape(9, 9)
    levels = [plane, plane[:8, :8].reshape(4, 2, 4, 2).mean((1, 3))]
    found = LazyPlane(levels).reduced((slice(0, 9), slice(0, 9)), 2)
    assert found.shape == (5, 5)
    np.testing.assert_array_equal(found[:4, :4], levels[1])
    np.testing.assert_array_equal(found[4, :4], levels[1][3])


def test_levels_that_are_no_whole_fraction_are_left_out():
    plane = np.random.default_rng(0).uniform(size=(90, 90))
    lazy = LazyPlane([plane, np.zeros((60, 60)), np.zeros((45, 45))])
    assert lazy.coarsest(2) == 2
    assert not lazy.reduced((slice(0, 90), slice(0, 90)), 2).any()
    assert LazyPlane([plane, np.zeros((60, 60))]).coarsest(4) == 1


def test_a_plane_of_a_stack_and_its_pyramid():
    stack = np.random.default_rng(0).integers(0, 99, (6, 40, 50))
    coarse = stack[::2, ::2, ::2] * 0 + np.arange(3)[:, None, None]
    lazy = LazyPlane([stack, coarse], PlaneIndex((5, 0, 0), (1, 2)))
    assert lazy.shape == (40, 50)
    np.testing.assert_array_equal(lazy[5:9, 10:20], stack[5, 5:9, 10:20])
    assert (lazy.reduced((slice(0, 40), slice(0, 50)), 2) == 2).all()
    turned = LazyPlane([stack], PlaneIndex((0, 0, 7), (1, 0)))
    np.testing.assert_array_equal(turned[3:9, 1:4], stack[:, :, 7].T[3:9, 1:4])


@pytest.mark.parametrize("lib", ["dask", "zarr", "memmap", "numpy"])
def test_arrays_of_every_kind(lib, tmp_path):
    plane = np.random.default_rng(0).integers(0, 4000, (1500, 1600)).astype(np.uint16)
    made = {
        "dask": lambda: da.from_array(plane, chunks=300),
        "zarr": lambda: zarr.create_array(tmp_path / "a.zarr", data=plane, chunks=(300, 300)),
        "memmap": lambda: np.memmap(tmp_path / "a", plane.dtype, "w+", shape=plane.shape),
        "numpy": lambda: plane,
    }[lib]()
    if lib == "memmap":
        made[:] = plane
    lazy = LazyPlane.of(made)
    assert lazy is not None
    np.testing.assert_array_equal(lazy[100:110, 1500:1600], plane[100:110, 1500:])
    np.testing.assert_array_equal(lazy.whole(), plane)
    np.testing.assert_allclose(lazy.limits(), limits(plane), atol=5)
    assert (lazy.limits() == limits(plane)) == (lib == "numpy")


def test_limits_come_from_blocks_within_chunks():
    drawn = DrawnNuclei((20_000, 20_000), most=128 * 128)
    low, high = LazyPlane([drawn]).limits()
    assert drawn.read <= 100 * 128 * 128
    expected = limits(DrawnNuclei()[5000:7000, 5000:7000])
    assert (low, high) == pytest.approx(expected, rel=0.05)
    touched = []

    class Chunked(DrawnNuclei):
        chunks = (1024, 1024)

        def __getitem__(self, key):
            touched.append([(part.start // 1024, (part.stop - 1) // 1024) for part in key])
            return super().__getitem__(key)

    LazyPlane([Chunked()]).limits()
    assert all(first == last for place in touched for first, last in place)


def test_what_the_sample_does_not_hold_is_still_seen():
    class Dark(DrawnNuclei):
        def __getitem__(self, key):
            return super().__getitem__(key) * 0

    assert LazyPlane([Dark()]).limits() == (0.0, 65535.0)


def test_transparency_is_left_out():
    plane = np.random.default_rng(0).integers(0, 255, (60, 60, 4)).astype(np.uint8)
    lazy = LazyPlane([plane])
    np.testing.assert_array_equal(lazy[0:5, 0:5], plane[:5, :5, :3])
    assert lazy.reduced((slice(0, 60), slice(0, 60)), 4).shape == (15, 15, 3)


@pytest.mark.parametrize("wrong", [np.zeros((5, 5), complex), np.zeros((0, 5)), np.zeros((9, 9, 5)), np.zeros((1, 1))])
def test_what_is_no_plane_is_refused(wrong):
    with pytest.raises(InvalidImageError, match=r"shape \("):
        LazyPlane([wrong])


def test_other_things_are_not_planes():
    assert LazyPlane.of([[1, 2], [3, 4]]) is None
    assert LazyPlane.of([np.zeros((5, 5)), np.zeros((5, 5))]) is None
    assert LazyPlane.of(np.zeros(5)) is None
    assert LazyPlane.of([]) is None


def test_a_region_that_cannot_be_read_is_named():
    class Broken(DrawnNuclei):
        def __getitem__(self, key):
            msg = "chunk is damaged"
            raise OSError(msg)

    with pytest.raises(ReadError, match="chunk is damaged"):
        LazyPlane([Broken()])[0:5, 0:5]
