from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_sam2refiner.errors import InsufficientMemoryError, InvalidConfigError, InvalidImageError, InvalidPromptError
from napari_sam2refiner.metrics import iou
from napari_sam2refiner.network.micro import MicroBase
from napari_sam2refiner.network.refiner import SAM2Refiner
from napari_sam2refiner.prompts import Prompts
from napari_sam2refiner.sessions import image as image_session
from napari_sam2refiner.sessions.image import ImageSession
from napari_sam2refiner.weights import load_model


@pytest.fixture(scope="module")
def fresh() -> SAM2Refiner:
    torch.manual_seed(0)
    return SAM2Refiner(MicroBase(width=32, memory_width=16, widths=(16, 16, 16, 16), depths=(1, 1, 1, 1))).eval()


@pytest.fixture(scope="module")
def trained() -> SAM2Refiner:
    """As if trained: no zeros left."""
    torch.manual_seed(0)
    base = MicroBase(width=32, memory_width=16, widths=(16, 16, 16, 16), depths=(1, 1, 1, 1))
    model = SAM2Refiner(base).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("base.") and not parameter.any():
                parameter.normal_(std=0.05)
    return model


@pytest.fixture
def image() -> np.ndarray:
    rows, columns = np.mgrid[:90, :130]
    discs = sum(np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 60) for y, x in [(20, 30), (60, 90), (70, 20)])
    return (discs * 1000 + np.random.default_rng(0).normal(100, 10, discs.shape)).astype(np.uint16)


@pytest.fixture
def one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a closer or a farther look."""
    monkeypatch.setattr(MicroBase, "input", replace(MicroBase.input, looks_again=False))


class Calls:
    """Counts the images a model's trunk has encoded."""

    def __init__(self, model: SAM2Refiner) -> None:
        self.sizes: list[int] = []
        self.sides: list[int] = []
        self._hook = model.base.image_encoder.register_forward_hook(lambda _m, given, _o: self._note(given[0]))

    def _note(self, images: torch.Tensor) -> None:
        self.sizes.append(len(images))
        self.sides.append(images.shape[-1])

    def __enter__(self) -> "Calls":
        return self

    def __exit__(self, *_: object) -> None:
        self._hook.remove()


def test_a_click_gives_candidates_in_plane_pixels(fresh, image):
    session = ImageSession(fresh).set_image(image)
    assert session.shape == (90, 130)
    answer = session.predict(Prompts(points=[(20, 30)]))
    assert len(answer.candidates) == 3
    for candidate in answer.candidates:
        assert candidate.mask.shape == candidate.logits.shape == (90, 130)
        assert candidate.mask.dtype == bool
        assert candidate.logits.dtype == np.float32
        assert 0 <= candidate.score <= 1
        assert np.array_equal(candidate.mask, candidate.logits > 0)
    scores = [c.score for c in answer.candidates]
    assert scores == sorted(scores, reverse=True)
    assert answer.mask is answer.candidates[0].mask
    assert answer.logits[20, 30] > answer.logits[60, 90]


@pytest.mark.parametrize("local_detail", ["off", "prompted", "on"])
def test_a_fresh_refiner_gives_what_the_base_gives(fresh, image, local_detail, monkeypatch):
    monkeypatch.setattr(SAM2Refiner, "is_untrained", False)  # it would be left out
    session = ImageSession(fresh).set_image(image)
    prompts = Prompts(points=[(20, 30), (60, 90)], labels=[1, 0])
    refined, base = (session.predict(prompts, refine=r, local_detail=local_detail) for r in (True, False))
    assert np.array_equal(refined.logits, base.logits)
    assert refined.score == base.score


def test_refining_changes_a_trained_answer(trained, image):
    session = ImageSession(trained).set_image(image)
    answers = [session.predict(Prompts(points=[(20, 30)]), local_detail=d) for d in ("off", "prompted", "on")]
    base = session.predict(Prompts(points=[(20, 30)]), refine=False)
    for a, b in [(answers[0], base), (answers[1], answers[0])]:
        assert not np.allclose(a.logits, b.logits, atol=1e-4)
    assert np.array_equal(answers[0].candidates[1].logits, base.candidates[1].logits)


@pytest.mark.usefixtures("one_look")
def test_the_image_is_encoded_once_and_lazily(trained, image):
    with Calls(trained) as calls:
        session = ImageSession(trained).set_image(image)
        assert calls.sizes == []
        session.predict(Prompts(points=[(20, 30)]), local_detail="off")
        assert calls.sizes == [1, 1, 1]  # the levels of the pyramid
        session.predict(Prompts(points=[(60, 90)]), local_detail="off")
        session.predict(Prompts(boxes=[(10, 10, 40, 50)]), refine=False, local_detail="on")
        assert calls.sizes == [1, 1, 1]
        session.predict(Prompts(points=[(20, 30)]), local_detail="on")
        assert calls.sizes[3:] == [4]  # one batch
        session.predict(Prompts(points=[(60, 90)]), local_detail="on")
        session.predict(Prompts(points=[(60, 90)]), local_detail="prompted")
        assert len(calls.sizes) == 4
        session.set_image(image).encode()
        assert calls.sizes[4:] == [1, 1, 1, 1, 1, 1, 1]  # the quadrants too, one by one


@pytest.mark.usefixtures("one_look")
def test_only_prompted_quadrants_are_encoded(trained, image, monkeypatch):
    seen = []
    encode_local = trained.encode_local
    monkeypatch.setattr(trained, "encode_local", lambda pixels: seen.append(len(pixels)) or encode_local(pixels))
    session = ImageSession(trained).set_image(np.pad(image, ((0, 40), (0, 0))))
    decode = trained.base.decode

    def certain_of_nothing(*args, **options):
        decoded = decode(*args, **options)
        return decoded._replace(logits=decoded.logits - 1000)

    monkeypatch.setattr(trained.base, "decode", certain_of_nothing)
    session.predict(Prompts(points=[(20, 60)]))
    assert seen == [1]
    session.predict(Prompts(points=[(20, 30), (100, 100)], labels=[1, 0]))
    assert seen == [1, 1]
    session.predict(Prompts(boxes=[(10, 10, 120, 120)]))
    assert seen == [1, 1, 2]


def assert_alike(one: np.ndarray, other: np.ndarray) -> None:
    """Assert that logits are alike; below -10 a likelihood that differs by a rounding has quite another logit."""
    np.testing.assert_allclose(np.maximum(one, -10), np.maximum(other, -10), atol=5e-3)


def test_many_objects_are_answered_as_one_by_one(trained, image):
    session = ImageSession(trained).set_image(image)
    mask = np.zeros(image.shape, bool)
    mask[60:80, 10:30] = True
    prompts = [
        Prompts(points=[(20, 30)]),
        Prompts(points=[(60, 90), (20, 30)], labels=[1, 0]),
        Prompts(boxes=[(10, 20, 30, 40)]),
        Prompts(mask=mask),
        Prompts(points=[(70, 20)]),
    ]
    one_by_one = [session.predict(p) for p in prompts]
    together = session.predict_many(prompts)
    for a, b in zip(one_by_one, together, strict=True):
        assert_alike(a.logits, b.logits)
        assert a.score == pytest.approx(b.score, abs=1e-4)
        assert len(a.candidates) == len(b.candidates)
    corrected = session.predict_many(prompts, previous=together)
    alone = session.predict(prompts[2], previous=together[2])
    assert_alike(corrected[2].logits, alone.logits)
    assert session.predict_many([]) == []


def test_a_correction_goes_on_from_the_answer_before(fresh, image):
    session = ImageSession(fresh).set_image(image)
    first = session.predict(Prompts(points=[(20, 30)]))
    both = Prompts(points=[(20, 30), (60, 90)])
    corrected, anew = session.predict(both, previous=first), session.predict(both)
    assert len(corrected.candidates) == 1
    assert not np.array_equal(corrected.logits, anew.logits)
    other = session.predict(both, previous=first.choose(1))
    assert not np.array_equal(corrected.logits, other.logits)
    again = session.predict(Prompts(points=[(20, 30)]), previous=first)
    assert len(again.candidates) == 1


@pytest.mark.usefixtures("one_look")
def test_a_mask_is_followed_until_there_is_an_answer(fresh, image, monkeypatch):
    given = []
    decode = fresh.base.decode
    monkeypatch.setattr(
        fresh.base, "decode", lambda f, i, prompts, **o: given.append(prompts) or decode(f, i, prompts, **o)
    )
    session = ImageSession(fresh).set_image(image)
    mask = np.zeros(image.shape, int)
    mask[:45] = 1
    first = session.predict(Prompts(mask=mask))
    session.predict(Prompts(points=[(80, 10)], labels=[0], mask=mask), previous=first)
    session.predict(Prompts(mask=1 - mask), previous=first)
    drawn, answer, redrawn = (prompts.mask_logits[0, 0] for prompts in given)
    assert set(drawn.unique().tolist()) <= {-10.0, 10.0} | set(drawn[43:46].unique().tolist())
    assert drawn[0, 0] == 10.0
    assert drawn[60, 0] == -10.0
    assert torch.equal(answer, first.memo.logits)
    assert redrawn[0, 0] == -10.0
    assert answer.shape == (128, 128)


def test_previous_of_other_origin_is_read_from_its_logits(micro, image):
    session = ImageSession(micro).set_image(image)
    first = session.predict(Prompts(points=[(20, 30)]))
    prompts = Prompts(points=[(20, 30), (22, 33)], labels=[1, 0])
    expected = session.predict(prompts, previous=first)

    def likeness(answer):
        return np.corrcoef(np.tanh(answer.logits).ravel(), np.tanh(expected.logits).ravel())[0, 1]

    unread = likeness(session.predict(prompts))
    for memo in (None, first.memo._replace(logits=torch.zeros(256, 256))):
        foreign = type(first)(first.mask, first.logits, first.score, memo=memo)
        answer = session.predict(prompts, previous=foreign)
        assert likeness(answer) > 0.99 > unread
        assert iou(answer.mask, expected.mask) > 0.9


@pytest.mark.usefixtures("one_look")
def test_memory_decides_how_many_objects_go_together(fresh, image, monkeypatch):
    session = ImageSession(fresh).set_image(image)
    prompts = [Prompts(boxes=[(10, 10, 30, 30 + i)]) for i in range(5)]
    expected = session.predict_many(prompts)
    decode = fresh.base.decode
    sizes = []

    def two_at_most(features, objects, *args, **options):
        sizes.append(len(objects))
        if len(objects) > 2:
            raise torch.OutOfMemoryError
        return decode(features, objects, *args, **options)

    monkeypatch.setattr(fresh.base, "decode", two_at_most)
    answers = session.predict_many(prompts)
    assert sizes == [5, 2, 2, 1]
    for a, b in zip(answers, expected, strict=True):
        assert np.allclose(a.logits, b.logits, atol=1e-3)
    monkeypatch.setattr(fresh.base, "decode", lambda *_, **__: torch.empty(2**60))
    with pytest.raises(InsufficientMemoryError, match="smaller model"):
        session.predict_many(prompts)


def test_other_errors_are_not_taken_for_lack_of_memory(fresh, image, monkeypatch):
    def broken(*args, **options):
        msg = "shapes differ"
        raise RuntimeError(msg)

    monkeypatch.setattr(fresh.base, "decode", broken)
    with pytest.raises(RuntimeError, match="shapes differ"):
        ImageSession(fresh).set_image(image).predict(Prompts(points=[(20, 30)]))


def test_half_precision(trained, image, monkeypatch):
    prompts = [Prompts(points=[(20, 30)]), Prompts(boxes=[(10, 10, 30, 30)], mask=np.ones(image.shape))]
    expected = ImageSession(trained).set_image(image).predict_many(prompts, local_detail="on")
    monkeypatch.setattr(trained, "compute_dtype", torch.bfloat16)
    answers = ImageSession(trained).set_image(image).predict_many(prompts, local_detail="on")
    for a, b in zip(answers, expected, strict=True):
        assert a.logits.dtype == np.float32
        assert np.corrcoef(a.logits.ravel(), b.logits.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("shape", [(1, 40), (7, 7), (700, 30), (64, 64, 2), (64, 64, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_any_size_and_type(fresh, shape, dtype):
    image = np.random.default_rng(0).uniform(0, 255, shape).astype(dtype)
    answer = ImageSession(fresh).set_image(image).predict(Prompts(points=[(0, 5)]))
    assert answer.mask.shape == shape[:2]
    assert np.isfinite(answer.logits).all()


def test_a_constant_image_is_answered(fresh):
    answer = ImageSession(fresh).set_image(np.full((50, 60), 7)).predict(Prompts(points=[(20, 20)]))
    assert np.isfinite(answer.logits).all()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (np.zeros((0, 5)), r"\(0, 5\)"),
        (np.zeros((1, 1)), r"\(1, 1\)"),
        (np.zeros(5), r"\(5,\)"),
        (np.zeros((2, 3, 4, 5, 6, 7)), r"\(2, 3, 4, 5, 6, 7\)"),
        (np.zeros((5, 5), complex), "complex128"),
        (np.full((5, 5), None), "object"),
        (np.full((5, 5), np.nan), "finite"),
    ],
)
def test_a_wrong_image_leaves_the_session_as_it_was(fresh, image, wrong, says):
    session = ImageSession(fresh).set_image(image)
    before = session.predict(Prompts(points=[(20, 30)]))
    with pytest.raises(InvalidImageError, match=says):
        session.set_image(wrong)
    assert session.shape == (90, 130)
    assert np.array_equal(session.predict(Prompts(points=[(20, 30)])).logits, before.logits)


@pytest.mark.parametrize(
    ("prompts", "says"),
    [
        (Prompts(points=[(20, 30)], labels=[0]), "no positive prompt"),
        (Prompts(points=[(20, 30), (90, 30)]), "point 1 at"),
        (Prompts(boxes=[(100, 10, 120, 20)]), "box 0"),
        (Prompts(mask=np.ones((90, 131))), r"\(90, 131\)"),
    ],
)
def test_a_wrong_prompt_is_named_before_anything_is_encoded(fresh, image, prompts, says):
    session = ImageSession(fresh).set_image(image)
    with Calls(fresh) as calls:
        with pytest.raises(InvalidPromptError, match=says):
            session.predict(prompts)
        with pytest.raises(InvalidPromptError, match=f"object 1: .*{says}"):
            session.predict_many([Prompts(points=[(20, 30)]), prompts])
        assert calls.sizes == []


def test_other_wrong_calls(fresh, image):
    session = ImageSession(fresh)
    prompts = Prompts(points=[(20, 30)])
    with pytest.raises(InvalidImageError, match="set_image"):
        session.predict(prompts)
    with pytest.raises(InvalidConfigError, match="'linear'"):
        session.set_image(image, intensity="linear")
    session.set_image(image)
    with pytest.raises(InvalidConfigError, match="'some'"):
        session.predict(prompts, local_detail="some")
    with pytest.raises(InvalidPromptError, match="2 previous predictions for 1"):
        session.predict_many([prompts], previous=[None, None])
    answer = session.predict(prompts)
    with pytest.raises(InvalidPromptError, match=r"\(90, 130\)"):
        session.set_image(image[:80]).predict(prompts, previous=answer)
    session.reset()
    assert session.shape is None
    with pytest.raises(InvalidImageError, match="set_image"):
        session.encode()


@pytest.fixture(scope="module")
def nuclei() -> np.ndarray:
    """Discs of radius 4 on a plane of 600 by 800 pixels: 5 pixels wide in the square."""
    rows, columns = np.mgrid[:600, :800]
    plane = np.random.default_rng(0).normal(100, 10, rows.shape)
    for y, x in CENTRES:
        plane[np.hypot(rows - y, columns - x) <= 4] += 400
    return plane.astype(np.uint16)


CENTRES = [(100, 100), (100, 130), (110, 115), (500, 700)]


def disc(shape: tuple[int, ...], centre: tuple[int, int], radius: float = 4) -> np.ndarray:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.hypot(rows - centre[0], columns - centre[1]) <= radius


@pytest.fixture(scope="module")
def micro() -> SAM2Refiner:
    return load_model("micro", "none", device="cpu")


def test_small_objects_are_looked_at_again_closer(micro, nuclei, request):
    session = ImageSession(micro).set_image(nuclei)
    prompts = [Prompts(points=[c]) for c in CENTRES]
    closer = session.predict_many(prompts)
    request.getfixturevalue("one_look")
    once = session.predict_many(prompts)
    gains = [
        iou(a.mask, disc(nuclei.shape, c)) - iou(b.mask, disc(nuclei.shape, c))
        for a, b, c in zip(closer, once, CENTRES, strict=True)
    ]
    assert np.mean(gains) > 0.02
    assert all(np.array_equal(a.mask, a.logits > 0) for a in closer)
    assert all(a.candidates[0].mask is a.mask and len(a.candidates) == 3 for a in closer)


def test_the_first_look_is_told_of_before_others_follow(micro, nuclei):
    session = ImageSession(micro).set_image(nuclei)
    first = []
    prompts = Prompts(points=[CENTRES[0]])
    last = session.predict(prompts, on_first=first.extend)
    idea, look = first
    assert np.isnan(idea.score)
    assert iou(idea.mask, disc(nuclei.shape, CENTRES[0])) > 0.2
    assert look.score > 0
    assert not np.array_equal(look.logits, last.logits)
    assert all(one.mask[CENTRES[0]] for one in first)
    np.testing.assert_array_equal(last.mask, session.predict(prompts).mask)
    first.clear()
    missing = Prompts(points=[CENTRES[0], CENTRES[1]])
    session.predict(missing, previous=last, on_first=first.extend)
    assert not any(np.isnan(one.score) for one in first), (
        "what a correction shows first is no worse than what it corrects"
    )

    def stop(_: object) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        session.predict(prompts, on_first=stop)


def test_a_closer_look_is_encoded_once_for_neighbours(micro, nuclei, monkeypatch):
    monkeypatch.setattr("napari_sam2refiner.sessions.image.SURE", 0.0)  # none from farther away
    with Calls(micro) as calls:
        session = ImageSession(micro).set_image(nuclei)
        first = session.predict(Prompts(points=[CENTRES[0]]))
        assert len(calls.sizes) == 6  # three levels of the plane, three of a window
        session.predict(Prompts(points=[CENTRES[2]]))
        both = Prompts(points=[CENTRES[0], CENTRES[1]], labels=[1, 0])
        session.predict(both, previous=first)
        assert len(calls.sizes) == 6
        session.predict(Prompts(points=[CENTRES[3]]))
        assert len(calls.sizes) == 9


def test_a_small_drawn_mask_is_looked_at_closer_only(micro, nuclei):
    rough = [disc(nuclei.shape, c, 3) for c in CENTRES]
    with Calls(micro) as calls:
        session = ImageSession(micro).set_image(nuclei)
        answers = session.predict_many([Prompts(mask=mask) for mask in rough])
        assert len(calls.sizes) == 3, "both windows in one batch; the plane is not encoded"
    for answer, mask, centre in zip(answers, rough, CENTRES, strict=True):
        truth = disc(nuclei.shape, centre)
        assert iou(answer.mask, truth) > iou(mask, truth) + 0.1
        assert answer.candidates[0].mask is answer.mask
        assert not answer.mask[np.hypot(*(np.indices(nuclei.shape).T - centre).T) > 40].any()
    corrected = session.predict(Prompts(points=[CENTRES[0], (100, 107)], labels=[1, 0]), previous=answers[0])
    assert iou(corrected.mask, disc(nuclei.shape, CENTRES[0])) > 0.6


@pytest.mark.parametrize("prompt", ["click", "mask"])
def test_a_closer_look_may_be_seen_in_a_smaller_square(micro, nuclei, prompt):
    prompts = [Prompts(points=[c]) if prompt == "click" else Prompts(mask=disc(nuclei.shape, c, 6)) for c in CENTRES]
    whole = ImageSession(micro).set_image(nuclei).predict_many(prompts)
    with Calls(micro) as calls:
        smaller = ImageSession(micro, window_share=0.5).set_image(nuclei).predict_many(prompts)
        assert calls.sides[-3:] == [256, 128, 64]
    for a, b, centre in zip(whole, smaller, CENTRES, strict=True):
        truth = disc(nuclei.shape, centre)
        assert iou(b.mask, truth) > iou(a.mask, truth) - 0.1


def test_windows_are_answered_together_as_one_by_one(micro, nuclei):
    prompts = [Prompts(points=[c]) for c in CENTRES]
    together = ImageSession(micro).set_image(nuclei).predict_many(prompts)
    for one, answer in zip(prompts, together, strict=True):
        alone = ImageSession(micro).set_image(nuclei).predict(one)
        assert_alike(answer.logits, alone.logits)


def test_corrections_go_on_in_the_closer_look(micro, nuclei):
    session = ImageSession(micro).set_image(nuclei)
    wrong = disc(nuclei.shape, CENTRES[0], 9)
    start = session.predict(Prompts(mask=wrong))
    prompts = Prompts(points=[CENTRES[0], (100, 107), CENTRES[3]], labels=[1, 0, 0])  # the last is far away
    corrected = session.predict(prompts, previous=start)
    assert not corrected.mask[100, 107]
    truth = disc(nuclei.shape, CENTRES[0])
    assert iou(corrected.mask, truth) > iou(start.mask, truth) + 0.05


def test_a_sure_answer_for_a_large_object_is_looked_at_once(micro):
    image = 400 * disc((300, 300), (150, 150), 40) + np.random.default_rng(0).normal(100, 10, (300, 300))
    with Calls(micro) as calls:
        answer = ImageSession(micro).set_image(image).predict(Prompts(points=[(150, 150)]))
        assert iou(answer.mask, disc((300, 300), (150, 150), 40)) > 0.9
        assert len(calls.sizes) == 3


def test_what_the_refiner_looks_up_is_encoded_part_by_part(micro, monkeypatch):
    image = np.random.default_rng(0).normal(100, 10, (300, 300))
    session = ImageSession(micro).set_image(image)
    with Calls(micro) as calls:
        assert list(session.encode_in_parts()) == [0.5, 1.0]
    assert len(calls.sizes) == 6, "a fresh refiner looks nothing up"
    monkeypatch.setattr(type(micro), "is_untrained", False)
    session.set_image(image)
    with Calls(micro) as calls:
        parts = session.encode_in_parts()
        assert next(parts) == pytest.approx(1 / 6)
        assert len(calls.sizes) == 3, "the plane comes first"
        assert list(parts)[-1] == 1.0
        assert len(calls.sizes) == 10, "and four quadrants"
        assert session._plane is not None
        assert not any(local.delta.requires_grad for local in session._plane.local.values())
        session.predict(Prompts(points=[(60, 60)]))
        assert len(calls.sizes) <= 13, "no quadrant again; perhaps a closer look"


def test_an_object_that_fills_the_view_is_seen_from_farther_away(micro, request):
    truth = disc((300, 300), (150, 150), 100)
    image = 400 * truth + np.random.default_rng(0).normal(100, 10, (300, 300))
    session = ImageSession(micro).set_image(image)
    click = Prompts(points=[(150, 150)])
    with Calls(micro) as calls:
        session.encode()
        assert len(calls.sizes) == 6  # three levels of the plane, three from afar
        answer = session.predict(click)
        assert len(calls.sizes) == 6
        assert iou(answer.mask, truth) > 0.9
        assert len(answer.candidates) == 4
        assert answer.candidates[0].mask is answer.mask
        corner = Prompts(points=[(150, 150), (150, 54)], labels=[1, 0])
        corrected = session.predict(corner, previous=answer)
        assert len(calls.sizes) == 6
    assert not corrected.mask[150, 54]
    assert iou(corrected.mask, truth) > 0.8
    request.getfixturevalue("one_look")
    assert iou(session.predict(click).mask, truth) < 0.5


def test_masks_of_another_base_go_through_micro(micro, nuclei, monkeypatch):
    monkeypatch.setattr(image_session, "SAME_OBJECT", 0.0)  # the other base is not trained
    torch.manual_seed(0)
    first = SAM2Refiner(MicroBase(width=32, memory_width=16, widths=(16, 16, 16, 16), depths=(1, 1, 1, 1))).eval()
    first.base.input = replace(MicroBase.input, looks_again=False)  # as other bases
    asked = [Prompts(boxes=[(90, 90, 110, 110)]), Prompts(points=[CENTRES[0], CENTRES[1]], labels=[1, 0])]
    alone = ImageSession(first).set_image(nuclei).predict_many(asked)
    first.second = micro
    session = ImageSession(first).set_image(nuclei)
    answers = session.predict_many(asked)
    there = [i for i, answer in enumerate(alone) if answer.mask.any()]
    assert there
    masks = [Prompts(asked[i].points, asked[i].labels, mask=alone[i].mask) for i in there]
    for i, expected in zip(there, ImageSession(micro).set_image(nuclei).predict_many(masks), strict=True):
        np.testing.assert_array_equal(answers[i].mask, expected.mask)
        assert answers[i].candidates[0].mask is answers[i].mask
        onwards = session.predict(asked[i], previous=answers[i], refine=False)
        np.testing.assert_array_equal(onwards.mask, session.predict(asked[i], previous=alone[i], refine=False).mask)
    for one, other in zip(session.predict_many(asked, refine=False), alone, strict=True):
        np.testing.assert_array_equal(one.mask, other.mask)
    monkeypatch.setattr(image_session, "SAME_OBJECT", 1.1)
    for one, other in zip(session.predict_many(asked), alone, strict=True):
        np.testing.assert_array_equal(one.mask, other.mask)  # another object is no better outline of this one
