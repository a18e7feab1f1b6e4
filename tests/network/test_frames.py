import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from napari_sam2refiner.network.base import InputSpec
from napari_sam2refiner.network.frames import Frame

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.1)
FITS = ("stretch", "letterbox")
brief = settings(deadline=None, max_examples=40, derandomize=True)
shapes = st.tuples(st.integers(1, 300), st.integers(2, 300))


def frame(shape, fit="letterbox", side=64) -> Frame:
    return Frame(shape, InputSpec(side, fit, MEAN, STD))


@brief
@given(shapes, st.sampled_from(FITS), st.tuples(st.floats(-0.5, 299.5), st.floats(-0.5, 299.5)))
def test_points_keep_their_share_of_the_plane(shape, fit, point):
    f = frame(shape, fit)
    there = f.points(torch.tensor([point], dtype=torch.float64))[0].flip(0) + 0.5
    share = (torch.tensor(point, dtype=torch.float64) + 0.5) / torch.tensor(shape)
    assert torch.allclose(there / torch.tensor(f.content), share)


@brief
@given(shapes, st.sampled_from(FITS))
def test_the_share_of_all_is_one(shape, fit):
    f = frame(shape, fit)
    rows, columns = f.content
    share = f.share(torch.ones(shape, dtype=torch.bool))
    assert share.shape == (64, 64)
    assert share[:rows, :columns].min() > 0.999
    assert share.sum() == pytest.approx(rows * columns, rel=1e-4)


@brief
@given(shapes, st.sampled_from(FITS))
def test_the_plane_fills_the_content(shape, fit):
    f = frame(shape, fit)
    corners = f.points(torch.tensor([[-0.5, -0.5], [shape[0] - 0.5, shape[1] - 0.5]], dtype=torch.float64))
    rows, columns = f.content
    assert torch.allclose(corners, torch.tensor([[-0.5, -0.5], [columns - 0.5, rows - 0.5]], dtype=torch.float64))
    assert max(rows, columns) == 64
    if fit == "stretch":
        assert (rows, columns) == (64, 64)
    elif min(shape) / max(shape) > 0.25:
        assert f.scale[0] == pytest.approx(f.scale[1], rel=0.15)


@brief
@given(shapes, st.sampled_from(FITS), st.data())
def test_a_coarse_mask_comes_back(shape, fit, data):
    f = frame(shape, fit)
    y0, x0 = data.draw(st.integers(0, shape[0] - 1)), data.draw(st.integers(0, shape[1] - 1))
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[y0:, x0:] = True
    logits = f.mask_logits(mask)
    assert logits.shape == (16, 16)
    assert logits.max() > 0
    assert logits.abs().max() <= 10
    rows, columns = (n // 4 for n in f.content)
    assert (logits[rows:] == -10).all()
    assert (logits[:, columns:] == -10).all()
    back = f.logits_to_plane(logits[None])[0]
    assert back.shape == shape
    wrong = torch.nonzero((back > 0) != mask)
    reach = 4 / min(f.scale) + 1  # pixels of the plane under a stride-4 pixel
    assert (torch.minimum((wrong - torch.tensor([y0, x0])).abs().amin(1), (wrong[:, 0] - y0).abs()) <= reach).all()


def test_boxes_are_cut_to_the_plane():
    f = frame((32, 64))
    box = f.boxes(torch.tensor([[-5.0, 3.5, 40.0, 7.5]]))
    assert torch.equal(box, torch.tensor([[[3.5, -0.5], [7.5, 31.5]]]))


def test_logits_are_resampled_as_sam_does():
    logits = torch.randn(2, 16, 16)
    expected = F.interpolate(logits[:, None], size=(50, 70), mode="bilinear", align_corners=False)[:, 0]
    assert torch.equal(frame((50, 70), "stretch").logits_to_plane(logits), expected)


def test_a_drawn_pixel_is_seen_in_a_large_plane():
    mask = torch.zeros(1000, 1000, dtype=torch.bool)
    mask[500, 300:400] = True
    assert frame((1000, 1000)).mask_logits(mask).max() == 10


def test_pixels_are_resampled_normalised_and_padded():
    image = torch.from_numpy(np.random.default_rng(0).random((100, 200, 3), np.float32))
    pixels = frame((100, 200)).pixels(image)
    assert pixels.shape == (1, 3, 64, 64)
    assert not pixels[..., 32:, :].any()
    small = F.interpolate(image.permute(2, 0, 1)[None], size=(32, 64), mode="bilinear", antialias=True)[0]
    expected = (small - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    assert torch.allclose(pixels[0, :, :32], expected, atol=1e-6)


def test_quadrants_come_from_source_pixels():
    image = torch.from_numpy(np.random.default_rng(0).random((128, 128, 3), np.float32))
    f = frame((128, 128), "stretch")
    quadrants = f.quadrants(image)
    assert quadrants.shape == (4, 3, 64, 64)
    normalised = (image.permute(2, 0, 1) - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    assert torch.allclose(quadrants[1], normalised[:, :64, 64:], atol=1e-6)
    assert torch.allclose(quadrants[2], normalised[:, 64:, :64], atol=1e-6)
    assert torch.equal(f.quadrants(image, [2])[0], quadrants[2])


def test_quadrants_cover_the_square():
    image = torch.linspace(0, 1, 40)[:, None, None] * torch.linspace(0, 1, 100)[:, None] * torch.ones(3)
    f = frame((40, 100))
    above, below = f.quadrants(image).unflatten(0, (2, 2))
    twice = torch.cat([torch.cat([*above], -1), torch.cat([*below], -1)], -2)
    assert torch.allclose(F.avg_pool2d(twice, 2)[..., :24, :], f.pixels(image)[0, :, :24], atol=0.05)
    assert f.places() == (0, 1)
    assert frame((100, 40)).places() == (0, 2)
    assert frame((100, 90)).places() == (0, 1, 2, 3)


@brief
@given(shapes, st.sampled_from(FITS), st.integers(0, 2), st.integers(0, 3))
def test_what_is_added_lands_in_its_place(shape, fit, row, column):
    f = frame(shape, fit)
    values = torch.full((32, 16), 2.0)
    plane = torch.zeros(shape)
    f.add_to_plane(plane, values, (row * 16, column * 16))
    at = f.points(torch.stack(torch.meshgrid(*(torch.arange(float(n)) for n in shape), indexing="ij"), -1))
    inside = torch.minimum(
        at - torch.tensor([column, row]) * 16, torch.tensor([15, 31]) - (at - torch.tensor([column, row]) * 16)
    )
    inside = inside.amin(-1)
    assert torch.allclose(plane[inside >= 0], torch.tensor(2.0))
    assert not plane[inside <= -1].any()


def test_what_is_added_keeps_its_scale():
    plane = torch.zeros(128, 128)
    values = torch.arange(64.0)[:, None].expand(64, 64)
    frame((128, 128), "stretch").add_to_plane(plane, values.contiguous(), (0, 0))
    expected = F.interpolate(values[None, None], size=(128, 128), mode="bilinear", align_corners=False)[0, 0]
    assert torch.allclose(plane[1:-1, 1:-1], expected[1:-1, 1:-1], atol=1e-4)


def test_a_plane_may_take_less_of_the_square():
    whole = frame((100, 200))
    half = Frame((100, 200), whole.spec, fill=0.5)
    assert whole.content == (32, 64)
    assert half.content == (16, 32)
    assert half.scale == tuple(s / 2 for s in whole.scale)
    point = torch.tensor([[49.5, 99.5]])
    assert half.points(point).tolist() == [[15.5, 7.5]]
    pixels = half.pixels(torch.ones(100, 200, 3))
    assert pixels.shape == (1, 3, 64, 64)
    assert not pixels[..., 16:, :].any()
    assert not pixels[..., 32:].any()
    assert half.places() == (0,)
    logits = torch.arange(16.0 * 16).reshape(16, 16)
    assert torch.equal(half.logits_to_plane(logits[None])[0, 99, 199], logits[3, 7])
