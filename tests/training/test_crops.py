from __future__ import annotations

import numpy as np
import pytest
import torch
from annotated import discs

from napari_sam2refiner.datasets import Field
from napari_sam2refiner.errors import InvalidConfigError, ReadError
from napari_sam2refiner.network.micro import SIDE
from napari_sam2refiner.planes.intensity import limits
from napari_sam2refiner.training.config import BaseTrainingConfig, load_config
from napari_sam2refiner.training.crops import SMALLEST_OBJECT, CropDataset
from napari_sam2refiner.training.readers import scene_field


def field_of_discs() -> Field:
    image, labels = discs()
    return Field("discs", image, labels, limits(image))


@pytest.fixture
def crops(config: BaseTrainingConfig) -> CropDataset:
    return CropDataset({"scenes": [scene_field(i) for i in range(3)], "discs": [field_of_discs()]}, config)


def test_the_same_number_gives_the_same_crop(crops: CropDataset, config: BaseTrainingConfig) -> None:
    again = CropDataset(crops.mixture.sets, config)
    for number in (0, 5):
        first, second = crops[number], again[number]
        assert torch.equal(first.pixels.nan_to_num(-1.0), second.pixels.nan_to_num(-1.0))
        assert torch.equal(first.labels, second.labels)
        assert first.chosen == second.chosen
    other = CropDataset(crops.mixture.sets, config, first=1)
    assert not torch.equal(crops[0].labels, other[0].labels)


def test_shapes_and_chosen_objects(crops: CropDataset) -> None:
    assert len(crops) == 8
    for number in range(12):
        crop = crops[number]
        assert crop.pixels.shape == (3, 128, 128)
        assert crop.pixels.dtype == torch.float32
        assert crop.labels.shape == (128, 128)
        assert max(crop.annotated.shape) <= 128
        rows, columns = (torch.arange(128) * n // 128 for n in crop.annotated.shape)
        assert (crop.annotated[rows][:, columns] == crop.labels).float().mean() > 0.95  # the same window
        assert 1 <= len(crop.chosen) <= 3
        assert len(set(crop.chosen)) == len(crop.chosen)
        for label in crop.chosen:
            assert label > 0
            assert (crop.labels == label).sum() >= SMALLEST_OBJECT


@pytest.mark.parametrize(("extent", "is_cut"), [((8.0, 30.0), True), ((200.0, 300.0), False)])
def test_outside_the_plane_is_nan_and_has_no_labels(extent: tuple[float, float], is_cut: bool) -> None:
    crops = CropDataset(
        {"discs": [field_of_discs()]}, load_config(None, BaseTrainingConfig, crop=128, whole_planes=0.0, extent=extent)
    )
    shares = []
    for number in range(12):
        crop = crops[number]
        outside = crop.pixels.isnan()
        assert (outside.all(0) == outside.any(0)).all()
        assert (crop.labels[outside[0]] > 0).sum() <= 128  # along an edge, by half a pixel
        shares.append(outside.float().mean().item())
    assert (max(shares) > 0.1) == is_cut


def test_objects_are_as_large_as_the_network_sees_them_on_a_whole_plane() -> None:
    field = field_of_discs()
    config = load_config(None, BaseTrainingConfig, crop=256, whole_planes=1.0)
    crops = CropDataset({"discs": [field]}, config)
    areas = np.bincount(field.labels.ravel())
    zooms = []
    for number in range(40):
        crop = crops[number]
        whole = [i for i in crop.chosen if not touches(crop.labels, i)]
        zooms += [((crop.labels == i).sum().item() / areas[i]) ** 0.5 for i in whole]
    assert len(zooms) > 20
    assert np.median(zooms) == pytest.approx(SIDE / max(field.labels.shape), rel=0.25)


def touches(labels: torch.Tensor, label: int) -> bool:
    """Whether an object meets the border of its crop."""
    border = torch.cat([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    return bool((border == label).any())


def test_sets_are_drawn_by_their_shares() -> None:
    config = load_config(None, BaseTrainingConfig, crop=128, weights={"a": 0.0, "b": 1.0})
    bright, labels = discs()
    black = Field("a", np.zeros_like(bright), labels, (0.0, 1.0))
    crops = CropDataset({"a": [black], "b": [field_of_discs()]}, config)
    assert all(crops[i].pixels.nan_to_num(0.0).std() > 0.05 for i in range(10))
    with pytest.raises(InvalidConfigError, match="none of the sets a has a share"):
        CropDataset({"a": [black]}, config)


def test_objects_that_are_all_too_small_are_refused() -> None:
    labels = np.zeros((300, 300), np.int32)
    labels[20, 20] = 1
    dust = Field("dust", np.zeros((300, 300), np.uint8), labels, (0.0, 1.0))
    crops = CropDataset(
        {"dust": [dust]}, load_config(None, BaseTrainingConfig, crop=128, whole_planes=0.0, extent=(1.0, 2.0))
    )
    with pytest.raises(ReadError, match="crops of dust held no object of 20 pixels"):
        crops[0]
