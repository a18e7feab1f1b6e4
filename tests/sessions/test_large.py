"""Planes larger than twice the network's square: only what is around the prompts is read, encoded and kept."""

import subprocess
import sys
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import torch
from large import DrawnNuclei

from napari_sam2refiner.errors import InvalidImageError, InvalidPromptError
from napari_sam2refiner.network.refiner import SAM2Refiner
from napari_sam2refiner.planes.lazy import LazyPlane
from napari_sam2refiner.planes.region import Part
from napari_sam2refiner.prompts import Prompts
from napari_sam2refiner.sessions import image as image_session
from napari_sam2refiner.sessions.image import ImageSession
from napari_sam2refiner.sessions.placed import PlacedPrediction
from napari_sam2refiner.sessions.tiles import tile_at, touches_edge
from napari_sam2refiner.weights import load_model

PLACE = (103, 87)  # of a nucleus on the grid


@pytest.fixture(scope="module")
def micro() -> SAM2Refiner:
    return load_model("micro", device="cpu")


@pytest.fixture
def nuclei() -> DrawnNuclei:
    return DrawnNuclei()


def iou_of(nuclei: DrawnNuclei, place: tuple[int, int], part: Part) -> float:
    """Return the IoU of a mask with a nucleus, counted where either is."""
    y, x = (round(n) for n in nuclei.middle(place))
    reach = 150 * nuclei.zoom
    window = (slice(max(0, y - reach), y + reach), slice(max(0, x - reach), x + reach))
    truth, found = nuclei.truth(place, window), part.within(window)
    assert found.sum() == part.area, "all of it is near the nucleus"
    return float((truth & found).sum() / (truth | found).sum())


def encodings(model: SAM2Refiner, ask) -> int:
    """Return how many images the model's trunk encodes meanwhile."""
    sizes: list[int] = []
    hook = model.base.image_encoder.register_forward_hook(lambda _m, given, _o: sizes.append(len(given[0])))
    try:
        ask()
    finally:
        hook.remove()
    return len(sizes)


def test_a_nucleus_by_a_click_and_by_a_box(micro, nuclei):
    session = ImageSession(micro).set_image(nuclei)
    assert session.shape == (20_000, 20_000)
    y, x = nuclei.middle(PLACE)
    click, box = Prompts(points=[(y, x)]), Prompts(boxes=[(y - 30, x - 32, y + 30, x + 32)])
    nuclei.read = 0
    for answer in (session.predict(click), session.predict(box), *session.predict_many([click, box])):
        assert isinstance(answer, PlacedPrediction)
        assert answer.tile.scale == 1
        assert iou_of(nuclei, PLACE, answer.part) > 0.85
        assert answer.shape == (20_000, 20_000)
        assert answer.nbytes < 2**22
    assert nuclei.read == 512 * 512


def test_clicks_near_by_do_not_encode_again(micro, nuclei):
    session = ImageSession(micro).set_image(nuclei)
    first, second = ((50, 102), (51, 102))

    def ask(place):
        return session.predict(Prompts(points=[nuclei.middle(place)]))

    assert encodings(micro, lambda: ask(first)) > 0
    assert encodings(micro, lambda: ask(second)) == 0
    y, x = nuclei.middle(first)
    before = ask(first)
    wider = Prompts(points=[(y, x), (y, x + 45)], labels=[1, 0])
    assert encodings(micro, lambda: session.predict(wider, previous=before)) == 0
    assert session.predict(wider, previous=before).tile == before.tile
    assert iou_of(nuclei, second, ask(second).part) > 0.85


def test_candidates_and_corrections_are_those_of_a_small_plane(micro, nuclei):
    session = ImageSession(micro).set_image(nuclei)
    y, x = nuclei.middle(PLACE)
    answer = session.predict(Prompts(points=[(y, x)]))
    low, high = session._large.limits
    tile = answer.tile
    small = ImageSession(micro, windows=8).set_image(nuclei[tile.window], limits=(low, high))
    inside = Prompts(points=[(y - tile.top, x - tile.left)])
    expected = small.predict(inside)
    assert len(answer.candidates) == len(expected.candidates) > 1
    for one, other in zip(answer.candidates, expected.candidates, strict=True):
        np.testing.assert_array_equal(one.part.within(tile.window), other.mask)
        assert one.score == other.score
    more = [(y, x), (y + 45, x)]
    corrected = session.predict(Prompts(more, [1, 0]), previous=answer.choose(1))
    expected = small.predict(
        Prompts([(a - tile.top, b - tile.left) for a, b in more], [1, 0]), previous=expected.choose(1)
    )
    np.testing.assert_array_equal(corrected.part.within(tile.window), expected.mask)


@pytest.mark.parametrize("place", [(0, 0), (199, 199), (0, 120)])
def test_at_the_border_of_the_plane(micro, nuclei, place):
    session = ImageSession(micro).set_image(nuclei)
    answer = session.predict(Prompts(points=[nuclei.middle(place)]))
    assert iou_of(nuclei, place, answer.part) > 0.85


def test_no_mask_is_cut_off_by_the_edge_of_a_tile(micro):
    nuclei = DrawnNuclei(zoom=8)  # of 288 to 480 pixels; a tile has 512, on a grid of 256
    session = ImageSession(micro).set_image(nuclei)
    cut = [place for place in np.ndindex(24, 24) if is_cut(nuclei, place)]
    assert len(cut) > 20
    for place in cut[:: len(cut) // 3]:
        y, x = nuclei.middle(place)
        answer = session.predict(Prompts(points=[(y, x + 90)]))
        assert not touches_edge(answer.look.mask, answer.tile, answer.shape)
        assert answer.tile != tile_at((y, x + 90), 1, 512, nuclei.shape)
        assert iou_of(nuclei, place, answer.part) > 0.8


def is_cut(nuclei, place):
    """Return whether the first tile that is asked for a click beside the middle does not hold the nucleus."""
    y, x = nuclei.middle(place)
    rows, columns = tile_at((y, x + 90), 1, 512, nuclei.shape).window
    around = (slice(rows.start - 400, rows.stop + 400), slice(columns.start - 400, columns.stop + 400))
    around = tuple(slice(max(0, part.start), part.stop) for part in around)
    return nuclei.truth(place, (rows, columns)).sum() < nuclei.truth(place, around).sum()


def test_the_scale_comes_from_a_box(micro):
    nuclei = DrawnNuclei(zoom=40)  # of 2000 pixels
    session = ImageSession(micro).set_image(nuclei)
    y, x = nuclei.middle((2, 3))
    answer = session.predict(Prompts(boxes=[(y - 1150, x - 1150, y + 1150, x + 1150)]))
    assert answer.tile.scale == 16
    assert iou_of(nuclei, (2, 3), answer.part) > 0.8
    assert answer.part.pixels.dtype == bool
    assert answer.nbytes < 3 * answer.part.pixels.size
    assert len(repr(answer)) < 300


def test_the_scale_comes_from_a_mask(micro):
    nuclei = DrawnNuclei(zoom=10)
    session = ImageSession(micro).set_image(nuclei)
    y, x = (round(n) for n in nuclei.middle((4, 5)))
    rough = Part((20_000, 20_000), (slice(y - 150, y + 150), slice(x - 150, x + 150)), np.ones((300, 300), bool))
    answer = session.predict(Prompts(mask=rough))
    assert answer.tile.scale in (2, 4)
    assert iou_of(nuclei, (4, 5), answer.part) > 0.7


def test_the_scale_comes_from_what_is_seen_and_goes_finer_for_small_objects(micro):
    large_ones = DrawnNuclei(zoom=40)
    session = ImageSession(micro).set_image(large_ones)
    middle = Prompts(points=[large_ones.middle((2, 3))])
    answer = session.predict(middle, view=(9000, 6000))
    assert answer.tile.scale == 8, "no more is read for a click"
    assert iou_of(large_ones, (2, 3), answer.part) > 0.8
    small_ones = DrawnNuclei()
    session = ImageSession(micro).set_image(small_ones)
    answer = session.predict(Prompts(points=[small_ones.middle(PLACE)]), view=(2100, 1000))
    assert answer.tile.scale == 1, "a nucleus is small in a tile of 2048 pixels"
    assert iou_of(small_ones, PLACE, answer.part) > 0.85


def test_a_mask_that_was_kept_is_corrected(micro, nuclei):
    session = ImageSession(micro).set_image(nuclei)
    y, x = (round(n) for n in nuclei.middle(PLACE))
    half = Part((20_000, 20_000), (slice(y - 15, y), slice(x - 15, x + 15)), np.ones((15, 30), bool))
    kept = PlacedPrediction.of(half, 0.5)
    answer = session.predict(Prompts(points=[(y + 8, x)]), previous=kept)
    assert iou_of(nuclei, PLACE, answer.part) > 0.7
    away = session.predict(Prompts(points=[(y - 30, x - 35)], labels=[0]), previous=kept)
    assert away.part.area > 0


def test_a_first_answer_comes_before_a_closer_look(micro, nuclei):
    session = ImageSession(micro).set_image(nuclei)
    first = []
    small = Prompts(points=[nuclei.middle((199, 199))])
    answer = session.predict(small, on_first=first.append)
    if len(first) < 2:  # surely one that is looked at again
        first.clear()
        answer = session.predict(Prompts(points=[(10_000, 10_001)]), on_first=first.append)
    assert len(first) == 2
    for [found] in first:
        assert found.shape == (20_000, 20_000)
        assert found.tile == answer.tile
        assert found.part.area > 0


def test_a_pyramid_is_read_at_the_level_that_will_do(micro):
    fine = DrawnNuclei((6000, 6000), zoom=20)
    coarse = LazyPlane([fine]).reduced((slice(0, 6000), slice(0, 6000)), 8)
    session = ImageSession(micro).set_image([fine, coarse])
    fine.read = 0
    y, x = fine.middle((1, 2))
    answer = session.predict(Prompts(boxes=[(y - 575, x - 575, y + 575, x + 575)]))
    assert answer.tile.scale == 8
    assert fine.read == 0
    assert iou_of(fine, (1, 2), answer.part) > 0.8


def test_dask_computes_only_chunks_of_the_tile(micro):
    nuclei = DrawnNuclei()
    lazy = da.from_array(nuclei, chunks=512, asarray=False, meta=np.zeros((0, 0), np.uint16))
    session = ImageSession(micro).set_image(lazy)
    nuclei.read = 0
    answer = session.predict(Prompts(points=[nuclei.middle(PLACE)]))
    assert iou_of(nuclei, PLACE, answer.part) > 0.85
    assert nuclei.read <= 4 * 512 * 512


def test_tiles_are_forgotten_when_they_take_too_much(micro, nuclei, monkeypatch):
    session = ImageSession(micro).set_image(nuclei)
    first = Prompts(points=[nuclei.middle((10, 10))])
    session.predict(first)
    one = session.nbytes
    assert one > 2**20
    session._large._limit = int(2.5 * one)
    for place in [(30, 30), (50, 50), (70, 70)]:
        session.predict(Prompts(points=[nuclei.middle(place)]))
        assert session.nbytes <= 2.5 * one
    assert encodings(micro, lambda: session.predict(Prompts(points=[nuclei.middle((70, 70))]))) == 0
    assert encodings(micro, lambda: session.predict(first)) > 0


@pytest.mark.parametrize("shape", [(1024, 700), (90, 130), (1024, 1024, 3)])
def test_up_to_twice_the_square_nothing_is_other_than_without_tiles(micro, shape):
    image = np.random.default_rng(0).integers(0, 4000, shape).astype(np.uint16)
    image[30:60, 40:90] += 4000
    prompts = [Prompts(points=[(45, 60)]), Prompts(boxes=[(25, 35, 65, 95)])]
    answers = [ImageSession(micro, tiled=tiled).set_image(image).predict_many(prompts) for tiled in (True, False)]
    lazy = ImageSession(micro).set_image(da.from_array(image, chunks=100)).predict_many(prompts)
    for one, other, third in zip(*answers, lazy, strict=True):
        assert not isinstance(one, PlacedPrediction)
        assert np.array_equal(one.logits, other.logits)
        assert np.array_equal(one.logits, third.logits)
        assert one.score == other.score == third.score


def test_frames_of_a_stack_are_not_seen_in_tiles(micro):
    image = np.random.default_rng(0).integers(0, 4000, (1100, 100)).astype(np.uint16)
    assert ImageSession(micro, tiled=False).set_image(image)._large is None
    assert ImageSession(micro).set_image(image)._large is not None


def test_another_image_takes_the_place_of_a_large_one(micro, nuclei):
    session = ImageSession(micro).set_image(nuclei)
    session.predict(Prompts(points=[nuclei.middle(PLACE)]))
    small = nuclei[:300, :300]
    session.set_image(small)
    assert session.shape == (300, 300)
    expected = ImageSession(micro).set_image(small).predict(Prompts(points=[nuclei.middle((1, 1))]))
    assert np.array_equal(session.predict(Prompts(points=[nuclei.middle((1, 1))])).logits, expected.logits)
    session.set_image(nuclei)
    assert list(session.encode_in_parts()) == [1.0]
    session.reset()
    with pytest.raises(InvalidImageError, match="no image"):
        session.predict(Prompts(points=[(5, 5)]))


def test_wrong_prompts_are_named(micro, nuclei):
    session = ImageSession(micro).set_image(nuclei)
    with pytest.raises(InvalidPromptError, match="outside"):
        session.predict(Prompts(points=[(20_001, 5)]))
    with pytest.raises(InvalidPromptError, match="must agree"):
        session.predict(Prompts(mask=np.ones((9, 9))))
    foreign = PlacedPrediction.of(Part((9, 9), (slice(0, 2), slice(0, 2)), np.ones((2, 2), bool)), 0.5)
    with pytest.raises(InvalidPromptError, match="previous"):
        session.predict(Prompts(points=[(5, 5)]), previous=foreign)
    with pytest.raises(InvalidImageError, match="complex"):
        session.set_image(np.zeros((3000, 3000), complex))
    assert session.shape == (20_000, 20_000)


@pytest.mark.parametrize("intensity", ["percentile", "dtype"])
def test_every_tile_has_the_same_black_and_white(micro, nuclei, monkeypatch, intensity):
    seen = []
    set_image = ImageSession.set_image

    def noted(self, image, *args, limits=None, **options):
        seen.append(limits)
        return set_image(self, image, *args, limits=limits, **options)

    session = ImageSession(micro).set_image(nuclei, intensity)
    monkeypatch.setattr(image_session.ImageSession, "set_image", noted)
    for place in [(10, 10), (150, 20)]:
        session.predict(Prompts(points=[nuclei.middle(place)]))
    assert len(seen) == 2
    assert seen[0] == seen[1]
    assert (seen[0] == (0, 65535)) == (intensity == "dtype")


def test_memory_does_not_grow_with_the_plane():
    """In a process of its own: what a click on 400 million pixels takes beside the model."""
    code = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from large import DrawnNuclei
from napari_sam2refiner import ImageSession, Prompts, load_model
small, large = DrawnNuclei((1100, 1100)), DrawnNuclei()
model = load_model("micro", device="cpu")
def peak(nuclei, places):
    session = ImageSession(model).set_image(nuclei)
    for place in places:
        answer = session.predict(Prompts(points=[nuclei.middle(place)]))
        assert answer.part.area > 500
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(peak(small, [(2, 2), (8, 8)]), peak(large, [(20, 20), (150, 30), (199, 199)]))
"""
    run = [sys.executable, "-c", code, str(Path(__file__).parents[1])]
    before, after = map(float, subprocess.run(run, check=True, capture_output=True, text=True).stdout.split())
    assert after - before < 300, "MB; the plane has 800, and its logits 1600"


def test_another_network_works_on_tiles_too():
    torch.manual_seed(0)
    from napari_sam2refiner.network.micro import MicroBase

    model = SAM2Refiner(MicroBase(width=32, memory_width=16, widths=(16, 16, 16, 16), depths=(1, 1, 1, 1))).eval()
    nuclei = DrawnNuclei((3000, 1500))
    session = ImageSession(model).set_image(nuclei)
    answers = session.predict_many([Prompts(points=[nuclei.middle((n, 3))]) for n in range(0, 30, 7)])
    assert all(answer.shape == (3000, 1500) for answer in answers)
