import numpy as np
import pytest
import torch

from napari_sam2refiner.network.base import BOX_END, BOX_START, NEGATIVE, PADDING, POSITIVE, InputSpec
from napari_sam2refiner.network.frames import Frame
from napari_sam2refiner.prompts import Prompts
from napari_sam2refiner.sessions.base import Prediction
from napari_sam2refiner.sessions.conversion import Memo, collate, group, make_request

SHAPE = (50, 100)
FRAME = Frame(SHAPE, InputSpec(64, "letterbox", (0.0,) * 3, (1.0,) * 3))
CPU = torch.device("cpu")


def request(previous: Prediction | None = None, **prompts):
    return make_request(Prompts(**prompts), previous, FRAME, CPU)


def answer(value: float, mask: np.ndarray | None = None) -> Prediction:
    logits = np.full(SHAPE, value, np.float32)
    return Prediction(logits > 0, logits, 0.5, memo=Memo(torch.full((16, 16), value), mask))


def drawn(rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[rows, columns] = True
    return mask


def test_points_and_boxes_become_tokens_in_the_square():
    made = request(points=[(10, 80), (40, 5)], labels=[1, 0], boxes=[(5, 60, 20, 90)])
    assert made.labels.tolist() == [BOX_START, BOX_END, POSITIVE, NEGATIVE]
    scale = 0.64
    places = [(60, 5), (90, 20), (80, 10), (5, 40)]  # x before y
    expected = [[(v + 0.5) * scale - 0.5 for v in place] for place in places]
    assert made.coords.numpy() == pytest.approx(np.array(expected), abs=1e-4)
    assert not made.multimask


@pytest.mark.parametrize(
    ("prompts", "multimask"),
    [({"points": [(1, 1)]}, True), ({"points": [(1, 1), (2, 2)]}, False), ({"boxes": [(1, 1, 9, 9)]}, False)],
)
def test_only_a_first_click_alone_is_ambiguous(prompts, multimask):
    assert request(**prompts).multimask is multimask
    assert not request(answer(1.0), **prompts).multimask


def test_a_mask_lies_where_it_was_drawn():
    made = request(mask=drawn(slice(10, 20), slice(70, 90)))
    assert made.labels.tolist() == [PADDING]
    rows, columns = torch.nonzero(made.mask_logits > 0).T
    assert (rows.min(), rows.max()) == (2, 2)  # of 16 by 16, the plane in the upper 8
    assert (columns.min(), columns.max()) == (11, 13)


def test_an_answer_is_gone_on_from_unless_a_mask_was_drawn_since():
    mask, other = drawn(slice(10, 20), slice(70, 90)), drawn(slice(30, 45), slice(5, 20))
    assert request(answer(3.0), points=[(1, 1)]).mask_logits.eq(3.0).all()
    assert request(answer(3.0, mask), mask=mask).mask_logits.eq(3.0).all()
    assert torch.equal(request(answer(3.0, mask), mask=other).mask_logits, request(mask=other).mask_logits)


def test_an_answer_of_elsewhere_is_taken_by_its_logits():
    made = request(Prediction(np.ones(SHAPE, bool), np.full(SHAPE, 99.0, np.float32), 0.5), points=[(1, 1)])
    assert made.mask_logits[:8].eq(32.0).all()
    assert made.mask_logits[8:].lt(0).all()


def test_alike_prompts_go_together():
    requests = [request(points=[(1, 1)]), request(boxes=[(1, 1, 9, 9)]), request(answer(2.0), points=[(2, 2)])]
    requests.append(request(points=[(3, 3)]))
    assert [[i for i, _ in part] for part in group(requests)] == [[0, 3], [1], [2]]
    batch = collate([requests[0], requests[2]])
    assert batch.has_mask.tolist() == [False, True]
    assert batch.mask_logits.shape == (2, 1, 16, 16)
