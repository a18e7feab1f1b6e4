"""Sample data is there without a download and without napari."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from napari_sam2refiner import samples


@pytest.mark.parametrize(
    ("make", "shape"),
    [(samples.cell, (660, 550)), (samples.tissue, (512, 512, 3)), (samples.dividing_nuclei, (20, 256, 256))],
)
def test_each_sample_is_one_image_layer(
    make: Callable[[], list[samples.LayerData]], shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*args: Any, **options: Any) -> None:
        pytest.fail("a sample was downloaded")

    monkeypatch.setattr("pooch.retrieve", no_network)
    monkeypatch.setattr("pooch.core.stream_download", no_network)
    [(image, options, kind)] = make()
    assert image.shape == shape
    assert image.dtype == np.uint8
    assert image.std() > 10
    assert kind == "image"
    assert options["name"]


def test_the_movie_repeats_and_its_nuclei_move_and_divide() -> None:
    movie = samples.nuclei_movie()
    np.testing.assert_array_equal(movie, samples.nuclei_movie())
    assert (movie != samples.nuclei_movie(seed=8)).any()
    counts = [ndimage.label(ndimage.gaussian_filter(frame.astype(float), 3) > 40)[1] for frame in movie]
    assert counts[0] == samples.NUCLEI
    assert counts[-1] > counts[0] + 2
    step = np.abs(movie[1].astype(float) - movie[0]).mean()
    assert np.abs(movie[10].astype(float) - movie[0]).mean() > 1.2 * step


def test_importing_samples_needs_no_napari_qt_or_torch() -> None:
    code = "import sys, napari_sam2refiner.samples; print({'napari', 'qtpy', 'torch'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
