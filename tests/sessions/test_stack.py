"""Parity with the official video predictor, on its own network with random weights, at a quarter of the side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sam2.sam2_video_predictor as official_module
import torch
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from sam2.build_sam import build_sam2_video_predictor
from scipy import ndimage

from napari_sam2refiner.errors import InvalidConfigError, InvalidImageError, InvalidPromptError, ReadError
from napari_sam2refiner.metrics import iou
from napari_sam2refiner.network.backbones import _HIERA, Sam21Base
from napari_sam2refiner.network.refiner import SAM2Refiner
from napari_sam2refiner.prompts import Prompts
from napari_sam2refiner.sessions.image import ImageSession
from napari_sam2refiner.sessions.stack import StackSession
from napari_sam2refiner.weights import load_model

SIDE, FRAMES = 256, 12

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")


@pytest.fixture(scope="module")
def official() -> Any:
    """The official predictor, every answered frame with prompts an anchor."""
    if not GlobalHydra.instance().is_initialized():
        initialize_config_module("sam2", version_base="1.2")
    torch.manual_seed(0)
    extra = [f"++model.image_size={SIDE}", "++model.add_all_frames_to_correct_as_cond=true"]
    model = build_sam2_video_predictor("configs/sam2.1/sam2.1_hiera_t.yaml", device="cpu", hydra_overrides_extra=extra)
    model.fill_hole_area = 0
    with torch.no_grad():
        # Masks that mean something, of objects that are there, and memories that matter.
        for mlp in model.sam_mask_decoder.output_hypernetworks_mlps:
            mlp.layers[-1].weight.mul_(20)
        model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(3.0)
        for parameter in (model.maskmem_tpos_enc, model.no_mem_embed):
            parameter.normal_(std=0.5)
    return model


@pytest.fixture(scope="module")
def refiner(official: Any) -> SAM2Refiner:
    base = Sam21Base(_HIERA["sam2.1_hiera_tiny"], side=SIDE)
    base.load_state_dict(official.state_dict(), strict=True)
    return SAM2Refiner(base.eval()).eval()


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """Discs that move over a bright ground."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    stack = np.zeros((FRAMES, SIDE, SIDE, 3), np.uint8)
    for t in range(FRAMES):
        image = 90 + 30 * np.sin(columns / 17)
        for y, x, radius in ((80 + 3 * t, 90, 30), (170, 160 - 4 * t, 25), (120, 200, 18)):
            image = np.where((rows - y) ** 2 + (columns - x) ** 2 < radius**2, 200.0, image)
        stack[t] = (image[..., None] + rng.normal(0, 6, (SIDE, SIDE, 3))).clip(0, 255)
    return stack


class Official:
    """The official predictor as it is used, its reading of JPEG files left out."""

    def __init__(self, predictor: Any, frames: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
        mean, std = (torch.tensor(values)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        images = (torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255 - mean) / std
        monkeypatch.setattr(official_module, "load_video_frames", lambda **_: (images, SIDE, SIDE))
        monkeypatch.setattr(official_module, "tqdm", lambda order, **_: order)
        self.predictor = predictor
        self.state = predictor.init_state("frames")

    def add(self, number: int, frame: int, prompts: Prompts) -> np.ndarray:
        if prompts.mask is not None:
            _, _, logits = self.predictor.add_new_mask(self.state, frame, number, prompts.mask)
        else:
            points = prompts.points[:, ::-1].copy() if len(prompts.points) else None
            labels = prompts.labels.astype(np.int32) if len(prompts.points) else None
            box = prompts.boxes[0][[1, 0, 3, 2]] if len(prompts.boxes) else None
            _, _, logits = self.predictor.add_new_points_or_box(self.state, frame, number, points, labels, box=box)
        return (logits[self.state["obj_ids"].index(number), 0] > 0).numpy()

    def masks(self, start: int | None = None, *, reverse: bool = False) -> dict[int, dict[int, np.ndarray]]:
        passes = self.predictor.propagate_in_video(self.state, start_frame_idx=start, reverse=reverse)
        return {t: {n: (m[0] > 0).numpy() for n, m in zip(ids, logits, strict=True)} for t, ids, logits in passes}


@pytest.fixture
def make_official(official: Any, frames: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Official]:
    return lambda: Official(official, frames, monkeypatch)


@pytest.fixture
def ours(refiner: SAM2Refiner, frames: np.ndarray) -> StackSession:
    return StackSession(refiner, frames, limits=(0.0, 255.0))


def assert_alike(ours: StackSession, theirs: dict[int, dict[int, np.ndarray]], frames: range, numbers=(1,)) -> None:
    for t in frames:
        found = ours.at(t).objects
        for number in numbers:
            assert found[number].mask.any()
            assert iou(found[number].mask, theirs[t][number]) >= 0.999, (t, number)


def disc(y: int, x: int, radius: int) -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return (rows - y) ** 2 + (columns - x) ** 2 < radius**2


PROMPTS = {
    "click": Prompts([(80, 90)]),
    "clicks": Prompts([(80, 90), (90, 100), (10, 10)], [1, 1, 0]),
    "box": Prompts(boxes=[(50, 60, 110, 120)]),
    "box and click": Prompts([(80, 90)], boxes=[(50, 60, 110, 120)]),
    "mask": Prompts(mask=disc(80, 90, 30)),
}


@pytest.mark.parametrize("kind", PROMPTS)
def test_one_object_forwards(ours: StackSession, make_official: Callable[[], Official], kind: str) -> None:
    theirs = make_official()
    for one in (ours, theirs):
        one.add(1, 0, PROMPTS[kind])
    seen = [frame.index for frame in ours.propagate("forward")]
    assert seen == list(range(FRAMES))
    assert_alike(ours, theirs.masks(), range(FRAMES))


def test_several_objects_on_one_frame_both_ways(ours: StackSession, make_official: Callable[[], Official]) -> None:
    theirs = make_official()
    for one in (ours, theirs):
        one.add(1, 5, PROMPTS["click"])
        one.add(2, 5, Prompts(mask=disc(170, 140, 25)))
        one.add(7, 5, Prompts(boxes=[(100, 180, 140, 220)]))
    seen = [frame.index for frame in ours.propagate()]
    assert seen == [*range(5, FRAMES), *range(FRAMES - 1, -1, -1)]
    assert_alike(ours, theirs.masks(5), range(5, FRAMES), (1, 2, 7))
    assert_alike(ours, theirs.masks(5, reverse=True), range(5), (1, 2, 7))


def test_objects_on_different_frames_do_not_disturb_each_other(
    ours: StackSession, make_official: Callable[[], Official]
) -> None:
    anchors = {1: (0, PROMPTS["click"]), 2: (4, Prompts([(170, 145)])), 3: (2, PROMPTS["box"])}
    for number, (frame, prompts) in anchors.items():
        ours.add(number, frame, prompts)
    list(ours.propagate("forward"))
    for number, (frame, prompts) in anchors.items():
        theirs = make_official()  # on its own: before its anchor it would be guessed at, and that remembered
        theirs.add(number, frame, prompts)
        assert_alike(ours, theirs.masks(frame), range(frame, FRAMES), (number,))
        assert all(number not in ours.at(t).objects for t in range(frame))


def test_a_correction_changes_its_frame_at_once_and_the_others_when_they_are_propagated(
    ours: StackSession, make_official: Callable[[], Official]
) -> None:
    theirs, corrected = make_official(), Prompts([(98, 90), (20, 20)], [1, 0])
    for one in (ours, theirs):
        one.add(1, 0, PROMPTS["click"])
        one.add(2, 0, Prompts([(120, 200)]))
    list(ours.propagate("forward"))
    before = {t: ours.at(t) for t in range(FRAMES)}
    theirs.masks()
    for clicks in (Prompts([(98, 90)]), corrected):
        at_once = theirs.add(1, 6, clicks)
        assert iou(ours.add(1, 6, clicks).objects[1].mask, at_once) >= 0.999
    assert 1 not in ours.at(7).objects
    list(ours.propagate("forward"))
    assert_alike(ours, theirs.masks(0), range(FRAMES), (1, 2))
    for t in range(FRAMES):
        np.testing.assert_array_equal(ours.at(t).objects[2].logits, before[t].objects[2].logits)


@pytest.fixture(scope="module")
def micro() -> SAM2Refiner:
    return load_model("micro", "none", device="cpu")


def test_an_anchor_that_outlives_the_first_can_be_prompted_again(ours: StackSession) -> None:
    ours.add(1, 0, PROMPTS["click"])
    list(ours.propagate("forward", range(8)))
    ours.add(1, 6, Prompts([(98, 90)]))
    ours.remove(1, 0)
    again = ours.add(1, 6, Prompts([(98, 90), (20, 20)], [1, 0]))
    assert again.objects[1].mask.any()
    assert [t for t in range(FRAMES) if ours.at(t).objects] == [6]
    list(ours.propagate())
    assert all(ours.at(t).objects for t in range(FRAMES))


def test_memory_is_kept_of_what_is_read_only(ours: StackSession) -> None:
    ours.add(1, 0, PROMPTS["click"])
    list(ours.propagate("forward"))
    (track,) = ours._tracks.values()
    kept = [t for t, known in track.others.items() if known.maps is not None]
    assert set(kept) <= set(range(FRAMES - 6, FRAMES))
    assert len(kept) >= 5
    assert all(known.pointer is not None for known in track.others.values())


class Moving:
    """A disc that moves past another one, very near."""

    def __init__(self, length: int = 6, broken: int | None = None) -> None:
        self.length, self.broken = length, broken
        self.read: list[int] = []

    def __len__(self) -> int:
        return self.length

    def truth(self, t: int) -> np.ndarray:
        rows, columns = np.mgrid[:120, :160]
        first = (rows - 50) ** 2 + (columns - 40 - 5 * t) ** 2 < 15**2
        second = (rows - 78) ** 2 + (columns - 60) ** 2 < 12**2
        return np.where(first, 1, 2 * second)

    def __getitem__(self, t: int) -> np.ndarray:
        self.read.append(t)
        if t == self.broken:
            msg = "truncated"
            raise OSError(msg)
        noise = np.random.default_rng(t).normal(0, 10, (120, 160))
        return (100 + 300 * (self.truth(t) > 0) + noise).astype(np.uint16)


def test_micro_carries_masks_from_frame_to_frame_and_back(micro: SAM2Refiner) -> None:
    frames = Moving()
    stack = StackSession(micro, frames)
    first = stack.add(1, 3, Prompts([(50, 55)]))
    assert iou(first.objects[1].mask, frames.truth(3) == 1) > 0.9
    stack.add(2, 3, Prompts([(78, 60)]))
    list(stack.propagate())
    for t in range(len(frames)):
        found = stack.at(t)
        for number in (1, 2):
            assert iou(found.labels == number, frames.truth(t) == number) > 0.85, (t, number)
        assert not (found.objects[1].mask & found.objects[2].mask).any()


def test_neighbours_compete_and_what_is_there_keeps_its_pixels(micro: SAM2Refiner) -> None:
    frames = Moving()
    stack = StackSession(micro, frames)
    stack.add(1, 0, Prompts(mask=frames.truth(0) == 1))
    list(stack.propagate("forward", range(3)))
    before = [stack.at(t).objects[1].mask for t in range(3)]
    greedy = (frames.truth(0) == 2) | ((frames.truth(0) == 1) & (np.mgrid[:120, :160][0] > 50))
    stack.add(2, 0, Prompts(mask=greedy))
    list(stack.propagate("forward", range(3)))
    for t in (1, 2):
        found = stack.at(t).objects
        np.testing.assert_array_equal(found[1].mask, before[t])
        assert found[2].mask.any()
        assert not (found[1].mask & found[2].mask).any()


def test_from_two_anchors_frames_are_reached_from_the_nearer_one(micro: SAM2Refiner) -> None:
    frames = Moving()
    stack = StackSession(micro, frames)
    stack.add(1, 0, Prompts(mask=frames.truth(0) == 1))
    stack.add(1, 5, Prompts(mask=frames.truth(5) == 2))  # as if it had been mistaken
    list(stack.propagate())
    for t, number in ((1, 1), (2, 1), (3, 2), (4, 2)):
        assert iou(stack.at(t).objects[1].mask, frames.truth(t) == number) > 0.8, t


class Leaving(Moving):
    """The first disc is not there on some frames."""

    def __init__(self, away: tuple[int, ...] = (3, 4, 5)) -> None:
        super().__init__()
        self.away = away

    def truth(self, t: int) -> np.ndarray:
        truth = super().truth(t)
        return np.where(truth == 1, 0, truth) if t in self.away else truth


def test_an_object_in_doubt_ends_there_and_a_correction_goes_on(micro: SAM2Refiner) -> None:
    frames = Leaving()
    stack = StackSession(micro, frames)
    for number in (1, 2):
        stack.add(number, 0, Prompts(mask=frames.truth(0) == number))
    doubts = {frame.index: dict(frame.doubts) for frame in stack.propagate("forward")}
    assert not doubts[1]
    assert not doubts[2]
    assert 1 in doubts[3]
    stopped = list(stack.propagate("forward", early_stop=True))
    assert [set(frame.ended) for frame in stopped] == [set(), set(), set(), {1}, {1}, {1}]
    assert not any(frame.fresh for frame in stopped)
    assert [set(stack.at(t).objects) for t in range(6)] == [{1, 2}, {1, 2}, {1, 2}, {2}, {2}, {2}]
    assert set(stack.carried(3)) == {1, 2}
    assert stack.carried(3)[1].impression is None, "it ends there"
    stack.remove(2)
    stack.add(1, 4, Prompts(mask=frames.truth(4) == 2))
    list(stack.propagate("forward", early_stop=True))
    assert [1 in stack.at(t).objects for t in range(6)] == [True, True, True, False, True, True]
    assert 1 in next(frame for frame in stack.propagate("forward") if frame.index == 3).fresh


def test_a_negative_point_alone_corrects_what_was_carried(micro: SAM2Refiner) -> None:
    frames = Moving()
    stack = StackSession(micro, frames)
    stack.add(1, 0, Prompts(mask=frames.truth(0) > 0))  # both discs, as if they were one
    with pytest.raises(InvalidPromptError, match="there is no positive prompt"):
        stack.add(1, 2, Prompts([(78, 60)], [0]))
    list(stack.propagate("forward", range(3)))
    assert stack.at(2).objects[1].mask[78, 60]
    mask = stack.add(1, 2, Prompts([(78, 60)], [0])).objects[1].mask
    assert not mask[78, 60]
    assert iou(mask, frames.truth(2) == 1) > 0.8
    stack.add(2, 0, Prompts([(5, 5)]))
    everywhere = [(y, x) for y in range(5, 120, 10) for x in range(5, 160, 10)]
    list(stack.propagate("forward", range(2)))
    stack.add(1, 1, Prompts(everywhere, [0] * len(everywhere)))  # nothing need be left of it


def test_an_object_that_is_back_is_found_again(micro: SAM2Refiner) -> None:
    frames = Leaving(away=(3,))
    stack = StackSession(micro, frames)
    stack.add(1, 0, Prompts(mask=frames.truth(0) == 1))
    found = {frame.index: frame for frame in stack.propagate("forward")}
    assert not found[3].objects[1].mask.any()
    assert found[3].doubts == {1: "is gone"}
    assert found[4].doubts == {1: "is there again"}
    assert all(iou(found[t].objects[1].mask, frames.truth(t) == 1) > 0.85 for t in (4, 5))


def test_an_object_that_the_base_outlines_otherwise_stays_as_it_was_given(micro: SAM2Refiner) -> None:
    frames = Moving()
    half = [(frames.truth(t) == 1) & (np.mgrid[:120, :160][0] < 50) for t in range(3)]
    (answer,) = ImageSession(micro).set_image(frames[0]).predict_many([Prompts(mask=half[0])])
    assert iou(answer.mask, half[0]) < 0.6, "the base sees the whole disc"
    stack = StackSession(micro, frames)
    stack.add(1, 0, Prompts(mask=half[0]))
    list(stack.propagate("forward", range(3)))
    assert all(iou(stack.at(t).objects[1].mask, half[t]) > 0.62 for t in (1, 2))


@pytest.mark.parametrize("radius", [12, 17])
def test_outlines_stay_as_far_in_or_out_as_they_were_given(micro: SAM2Refiner, radius: int) -> None:
    rows, columns = np.mgrid[:128, :128]

    def disc_at(t: int, wide: float) -> np.ndarray:
        return (rows - 50 - 3 * t) ** 2 + (columns - 60 - 2 * t) ** 2 <= wide**2

    rng = np.random.default_rng(0)
    frames = [200 * ndimage.gaussian_filter(disc_at(t, 14.0).astype(float), 2.5) for t in range(5)]
    stack = StackSession(micro, np.array([frame + rng.normal(20, 3, frame.shape) for frame in frames]))
    given = disc_at(0, radius)
    (answer,) = ImageSession(micro).set_image(frames[0]).predict_many([Prompts(mask=given)])
    assert abs(answer.mask.sum() / given.sum() - 1) > 0.1, "the base draws it otherwise"
    stack.add(1, 0, Prompts(mask=given))
    found = {frame.index: frame.objects[1].mask for frame in stack.propagate("forward")}
    assert all(iou(found[t], disc_at(t, radius)) > 0.9 for t in range(1, 5))


def test_from_the_middle_objects_end_on_both_sides(micro: SAM2Refiner) -> None:
    frames = Leaving(away=(0, 5))
    stack = StackSession(micro, frames)
    for number in (1, 2):
        stack.add(number, 2, Prompts(mask=frames.truth(2) == number))
    list(stack.propagate())
    stopped = {(frame.index, 1 in frame.ended) for frame in stack.propagate(early_stop=True)}
    assert {t for t, ended in stopped if ended} == {0, 5}
    assert [1 in stack.at(t).objects for t in range(6)] == [False, True, True, True, True, False]
    assert all(2 in stack.at(t).objects for t in range(6))


def test_frames_on_the_way_to_the_range_are_passed(micro: SAM2Refiner) -> None:
    frames = Moving()
    stack = StackSession(micro, frames)
    stack.add(1, 0, Prompts([(50, 40)]))
    given = [(frame.index, set(frame.fresh)) for frame in stack.propagate("forward", range(4, 6))]
    assert given == [(0, set()), (1, {1}), (2, {1}), (3, {1}), (4, {1}), (5, {1})]
    assert not any(frame.fresh for frame in stack.propagate("forward"))
    assert all(iou(stack.at(t).objects[1].mask, frames.truth(t) == 1) > 0.85 for t in range(6))


def test_what_is_done_stays_when_a_frame_cannot_be_read(micro: SAM2Refiner) -> None:
    stack = StackSession(micro, Moving(broken=4))
    stack.add(1, 1, Prompts([(50, 45)]))
    done = []
    with pytest.raises(ReadError, match=r"frame 4 cannot be read \(truncated\)"):
        done += [frame.index for frame in stack.propagate("forward")]
    assert 1 in stack.at(3).objects
    assert 1 not in stack.at(4).objects
    list(stack.propagate("backward"))
    assert 1 in stack.at(0).objects


def test_a_propagation_that_is_closed_goes_on_where_it_was(micro: SAM2Refiner) -> None:
    frames = Moving()
    stack = StackSession(micro, frames, limits=(50.0, 500.0))
    stack.add(1, 0, Prompts([(50, 40)]))
    going = stack.propagate("forward")
    assert [next(going).index for _ in range(3)] == [0, 1, 2]
    going.close()
    assert 1 not in stack.at(4).objects
    frames.read.clear()
    assert [frame.index for frame in stack.propagate("forward", range(5))] == [0, 1, 2, 3, 4]
    assert set(frames.read) == {3, 4}
    assert 1 not in stack.at(5).objects


def test_removing_prompts_takes_back_what_was_carried_from_them(micro: SAM2Refiner) -> None:
    stack = StackSession(micro, Moving(), limits=(50.0, 500.0))
    stack.add(1, 0, Prompts([(50, 40)]))
    stack.add(2, 0, Prompts([(78, 60)]))
    list(stack.propagate("forward"))
    before = stack.at(5).objects[2].logits
    stack.add(1, 4, Prompts([(50, 60)]))
    assert [sorted(stack.at(t).objects) for t in (0, 2, 4, 5)] == [[1, 2], [2], [1, 2], [2]]
    stack.remove(1, 4)
    assert sorted(stack.at(4).objects) == [2]
    stack.remove(1)
    assert sorted(stack.at(0).objects) == [2]
    np.testing.assert_array_equal(stack.at(5).objects[2].logits, before)
    with pytest.raises(InvalidPromptError, match=r"there is no object 1; choose one of \[2\]"):
        stack.remove(1)
    with pytest.raises(InvalidPromptError, match=r"object 2 has no prompts on frame 3; choose one of \[0\]"):
        stack.remove(2, 3)


def test_bad_input_gets_one_sentence(micro: SAM2Refiner) -> None:
    with pytest.raises(InvalidImageError, match="the stack has no frames"):
        StackSession(micro, Moving(0))
    stack = StackSession(micro, Moving(), limits=(50.0, 500.0))
    for arguments, said in (
        ((0, 0), "the object's id is 0"),
        ((1, 6), "there is no frame 6"),
        ((1, -1), "no frame -1"),
        ((2**32, 0), "4294967296"),
    ):
        with pytest.raises(InvalidPromptError, match=said):
            stack.add(*arguments, Prompts([(50, 40)]))
    with pytest.raises(InvalidPromptError):
        stack.add(1, 0, Prompts([(500, 40)]))
    assert not stack.at(0).objects
    with pytest.raises(InvalidConfigError, match="no object has prompts"):
        stack.propagate()
    stack.add(1, 0, Prompts([(50, 40)]))
    with pytest.raises(InvalidConfigError, match="direction is 'up'"):
        stack.propagate("up")  # type: ignore[arg-type]
    with pytest.raises(InvalidConfigError, match=r"frames is range\(4, 9\)"):
        stack.propagate(frames=range(4, 9))
