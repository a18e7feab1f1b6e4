"""The weights that come with the package."""

from __future__ import annotations

from napari_sam2refiner.weights import available, find_path, load_model
from napari_sam2refiner.weights.format import read_weights
from napari_sam2refiner.weights.registry import find_entry
from napari_sam2refiner.weights.store import verify


def test_embedded_file_is_what_the_registry_says() -> None:
    verify(find_path("micro"), find_entry("micro"))
    assert read_weights(find_path("micro")).metadata["backbone"] == "micro"


def test_embedded_model_is_the_default() -> None:
    model = load_model(device="cpu")
    assert (model.name, model.backbone) == ("micro", "micro")


def test_embedded_model_needs_no_download() -> None:
    assert available()[0].name == "micro"
    assert available()[0].on_disk
