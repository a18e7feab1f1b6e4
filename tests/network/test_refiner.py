import copy

import pytest
import torch
from torch.nn import functional as F

from napari_sam2refiner.network import refinement, retargeting
from napari_sam2refiner.network.backbones import build_base
from napari_sam2refiner.network.base import BOX_END, BOX_START, NEGATIVE, PADDING, POSITIVE, PromptBatch
from napari_sam2refiner.network.context import Context
from napari_sam2refiner.network.frames import Frame
from napari_sam2refiner.network.localization import put_together, quadrants_of
from napari_sam2refiner.network.look import PixelLook, likeness, reached
from napari_sam2refiner.network.micro import MicroBase
from napari_sam2refiner.network.refiner import SAM2Refiner

PROMPTS = ("points", "boxes", "masks", "mixture")


def small_base() -> MicroBase:
    """`micro` of a quarter of its width."""
    torch.manual_seed(0)
    return MicroBase(width=32, memory_width=16, widths=(16, 16, 16, 16), depths=(1, 1, 1, 1)).eval()


def make_prompts(kind: str, side: int) -> PromptBatch:
    """Three objects' prompts of a kind, three tokens each."""
    a, b, c = side * torch.tensor([[0.3, 0.2], [0.6, 0.5], [0.4, 0.7]])
    points = [POSITIVE, NEGATIVE, POSITIVE]
    labels = {
        "points": [points, [POSITIVE, PADDING, PADDING], [POSITIVE, POSITIVE, NEGATIVE]],
        "boxes": [[BOX_START, BOX_END, PADDING]] * 3,
        "masks": [[PADDING] * 3] * 3,
        "mixture": [[BOX_START, BOX_END, NEGATIVE], points, [POSITIVE, PADDING, PADDING]],
    }[kind]
    generator = torch.Generator().manual_seed(1)
    masks = None
    has_mask = torch.zeros(3, dtype=torch.bool)
    if kind in ("masks", "mixture"):
        masks = F.interpolate(torch.randn(3, 1, 4, 4, generator=generator), size=side // 4, mode="bilinear") * 8
        has_mask = torch.tensor([True, kind == "masks", True])
    return PromptBatch(torch.stack([a, b, c]).repeat(3, 1, 1), torch.tensor(labels, dtype=torch.int32), masks, has_mask)


def answer(model: SAM2Refiner, pixels: torch.Tensor, prompts: PromptBatch, *, local: bool, multimask: bool = True):
    """The base's answer and the refined one for objects on one image."""
    features = model.encode(pixels)
    image = torch.zeros(len(prompts.labels), dtype=torch.long)
    detail = None
    if local:
        quadrants = model.encode_local(pixels[:1].repeat(2, 1, 1, 1).flip(-1))
        detail = model.localize(features, quadrants, torch.zeros(2, dtype=torch.long), torch.tensor([0, 3]))
    with torch.no_grad():
        decoded = model.base.decode(features, image, prompts, multimask=multimask)
    return decoded, model.refine(features, detail, image, prompts, decoded, model.look(features, pixels))


def assert_unchanged(decoded, refined):
    assert torch.equal(refined.logits, decoded.chosen_logits)
    assert torch.equal(refined.score, decoded.chosen_score)
    assert torch.equal(refined.object_logits, decoded.object_logits)
    assert len(refined.tiles.full) > 0
    assert not refined.tiles.full.any()
    assert not refined.tiles.stride2.any()


def make_trained(model: SAM2Refiner) -> SAM2Refiner:
    """Leave no zeros, as if trained."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("base.") and not parameter.any():
                parameter.normal_(std=0.05)
    return model


@pytest.fixture(scope="module")
def micro():
    """Fresh, with an encoded image and its detail."""
    torch.manual_seed(0)
    model = SAM2Refiner(build_base("micro")).eval()
    pixels = torch.randn(1, 3, 512, 512)
    features = model.encode(pixels)
    local = model.encode_local(pixels.flip(-1))
    zero = torch.zeros(1, dtype=torch.long)
    with torch.no_grad():
        return model, pixels, features, model.localize(features, local, zero, zero + 2)


@pytest.fixture(scope="module")
def tiny():
    """Fresh, with an encoded image of 2048 pixels, a quadrant of it, and that quadrant of its resize to 1024."""
    torch.manual_seed(0)
    model = SAM2Refiner(build_base("sam2.1_hiera_tiny")).eval()
    image = torch.rand(2048, 2048, 3)
    small = F.interpolate(image.permute(2, 0, 1)[None], size=(1024, 1024), mode="bilinear", antialias=True)
    small = small[0].permute(1, 2, 0)
    large_frame, small_frame = (Frame((side, side), model.base.input) for side in (2048, 1024))
    pixels = large_frame.pixels(image)
    of_large = model.encode_local(large_frame.quadrants(image, [2]))
    of_small = model.encode_local(small_frame.quadrants(small, [2]))
    return model, pixels, model.encode(pixels), of_large, of_small


@pytest.mark.parametrize("kind", PROMPTS)
@pytest.mark.parametrize("detailed", [False, True])
def test_a_fresh_refiner_answers_as_micro_bit_for_bit(micro, kind, detailed):
    model, pixels, features, local = micro
    prompts = make_prompts(kind, 512)
    image = torch.zeros(3, dtype=torch.long)
    with torch.no_grad():
        decoded = model.base.decode(features, image, prompts, multimask=True)
        refined = model.refine(
            features, local if detailed else None, image, prompts, decoded, model.look(features, pixels)
        )
    assert_unchanged(decoded, refined)
    assert model.is_untrained


def test_a_fresh_refiner_answers_as_tiny_bit_for_bit(tiny):
    model, pixels, features, local, _ = tiny
    image = torch.zeros(3, dtype=torch.long)
    with torch.no_grad():
        detail = model.localize(features, local, image[:1], image[:1] + 2)
        for kind in PROMPTS:
            prompts = make_prompts(kind, 1024)
            decoded = model.base.decode(features, image, prompts, multimask=kind == "points")
            assert_unchanged(
                decoded, model.refine(features, detail, image, prompts, decoded, model.look(features, pixels))
            )


def test_detail_comes_from_source_pixels(tiny):
    *_, of_large, of_small = tiny
    for large, small in zip(of_large, of_small, strict=True):
        assert (large - small).std() > 0.05 * large.std()


def test_all_of_the_refiner_learns_and_nothing_of_the_base():
    model = SAM2Refiner(small_base()).train()
    assert not model.base.training
    before = {name: value.clone() for name, value in model.base.state_dict().items()}
    pixels = torch.randn(1, 3, 512, 512)
    target = torch.randn(3, 512, 512)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    for _ in range(2):
        optimizer.zero_grad(set_to_none=True)
        _, refined = answer(model, pixels, make_prompts("mixture", 512), local=True)
        stride2 = refined.tiles.stride2.square().mean()
        loss = (
            F.mse_loss(refined.tiles.add_to(refined.logits), target)
            + stride2
            + F.mse_loss(refined.score, target[:, 0, 0])
            + model.look(model.encode(pixels), pixels).seen.square().mean()
        )
        loss.backward()
        optimizer.step()
    for name, parameter in model.named_parameters():
        if name.startswith("base."):
            assert parameter.grad is None, name
        else:
            assert parameter.grad is not None, name
            assert parameter.grad.any(), name
    assert all(torch.equal(value, before[name]) for name, value in model.base.state_dict().items())
    assert not model.is_untrained


def test_objects_do_not_depend_on_their_neighbours():
    model = make_trained(SAM2Refiner(small_base()).eval())
    pixels = torch.randn(2, 3, 512, 512)
    prompts = make_prompts("mixture", 512)
    image = torch.tensor([0, 1, 1])
    with torch.no_grad():
        features = model.encode(pixels)
        decoded = model.base.decode(features, image, prompts, multimask=True)
        together = model.refine(features, None, image, prompts, decoded, model.look(features, pixels))
        whole = together.tiles.add_to(together.logits)
        for n in range(3):
            row = slice(n, n + 1)
            one = PromptBatch(prompts.coords[row], prompts.labels[row], prompts.mask_logits[row], prompts.has_mask[row])
            part = type(decoded)(*(values[row] for values in decoded))
            alone = model.refine(features, None, image[row], one, part, model.look(features, pixels))
            assert torch.allclose(alone.logits, together.logits[row], atol=1e-4)
            assert torch.allclose(alone.score, together.score[row], atol=1e-5)
            assert torch.allclose(alone.tiles.add_to(alone.logits), whole[row], atol=1e-3)


def test_an_absent_quadrant_changes_nothing_in_the_others():
    model = make_trained(SAM2Refiner(small_base()).eval())
    pixels = torch.randn(1, 3, 512, 512)
    with torch.no_grad():
        features, quadrants = model.encode(pixels), model.encode_local(pixels.repeat(4, 1, 1, 1))
        image, place = torch.zeros(4, dtype=torch.long), torch.arange(4)
        every = model.localize(features, quadrants, image, place)
        some = model.localize(features, type(quadrants)(*(m[1:3] for m in quadrants)), image[1:3], place[1:3])
    for all_maps, maps in zip(every, some, strict=True):
        half = maps.shape[-1] // 2
        assert torch.allclose(maps[..., :half, half:], all_maps[..., :half, half:], atol=1e-5)
        assert torch.allclose(maps[..., half:, :half], all_maps[..., half:, :half], atol=1e-5)
        assert not maps[..., :half, :half].any()
        assert all_maps[..., :half, :half].any()


def test_tiles_leave_no_seams(monkeypatch):
    model = make_trained(SAM2Refiner(small_base()).eval())
    pixels = torch.randn(1, 3, 512, 512)
    monkeypatch.setattr(refinement, "BAND", 1e6)
    with torch.no_grad():
        _, refined = answer(model, pixels, make_prompts("points", 512), local=True)
        small = refined.tiles.add_to(refined.logits)
        monkeypatch.setattr(refinement, "TILE", 64)
        monkeypatch.setattr(refinement, "CELL", 16)
        _, refined = answer(model, pixels, make_prompts("points", 512), local=True)
        large = refined.tiles.add_to(refined.logits)
    assert len(refined.tiles.full) == 3 * 64
    assert torch.allclose(small, large, atol=1e-4)


def test_a_refined_mask_follows_every_click_as_its_base_does(micro):
    model, pixels, features, _ = micro
    model = make_trained(copy.deepcopy(model))
    with torch.no_grad():
        model.refinement.coarse.readout.layer.bias[-1] = -30.0  # as if it had learned to take everything away
        model.refinement.middle.readout.layer.bias[-1] = -5.0
        coords = torch.tensor([[[200.0, 300.0], [203.0, 340.5]], [[90.0, 40.0], [400.0, 410.0]]])
        labels = torch.tensor([[POSITIVE, NEGATIVE]] * 2, dtype=torch.int32)
        prompts = PromptBatch(coords, labels, None, torch.zeros(2, dtype=torch.bool))
        of = torch.zeros(2, dtype=torch.long)
        decoded = model.base.decode(features, of, prompts, multimask=False)
        refined = model.refine(features, None, of, prompts, decoded, model.look(features, pixels))
    full = refined.tiles.add_to(refined.logits)
    grid = ((coords + 0.5) / 256 - 1)[:, None]
    at = F.grid_sample(full[:, None], grid, align_corners=False)[:, 0, 0]
    assert (at[:, 0] > 0).all()
    assert (at[:, 1] < 0).all()
    assert (full < 0).float().mean() > 0.99


def test_the_context_of_a_pixel_is_the_whole_plane():
    torch.manual_seed(0)
    context, look = Context(32, 8), PixelLook(32)
    x, pixels = torch.randn(2, 8, 128, 128, requires_grad=True), torch.randn(1, 3, 512, 512, requires_grad=True)
    seen = look(pixels, torch.randn(1, 4, 128, 128), torch.randn(1, 32, 32, 32))
    assert seen.half.shape[-1] == 256
    assert seen.quarter.shape[-1] == 128
    added = context(x, seen, torch.zeros(2, dtype=torch.long), torch.randn(2, 32))
    assert added.shape == x.shape
    added[0, :, :4, :4].sum().backward()
    assert x.grad[0, :, -4:, -4:].any()
    assert pixels.grad[..., -16:, -16:].any()
    assert not x.grad[1].any()


def test_likeness_is_that_to_the_mean_of_what_is_weighted():
    maps = torch.randn(2, 5, 8, 8)
    image, weights = torch.tensor([1, 0, 1]), torch.rand(3, 8, 8)
    means = retargeting.pool(maps, image, weights[:, None])[:, 0]
    expected = (maps[image] * weights[:, None]).sum((2, 3)) / weights.sum((1, 2))[:, None]
    assert torch.allclose(means, expected, atol=1e-5)
    alike = likeness(maps, image, means)
    assert torch.allclose(alike, F.cosine_similarity(maps[image], expected[..., None, None]), atol=1e-5)
    assert not retargeting.pool(maps, image, torch.zeros(3, 1, 8, 8)).any()


def test_a_thread_is_reached_from_a_click_as_far_as_a_negative_one_is_not_nearer():
    seen = torch.full((1, 2, 128, 128), -9.0)
    seen[0, 0, 40:42, 10:110] = 4.0  # a thread
    seen[0, 0, 80:82, 10:110] = 4.0  # and another one
    logits, image = torch.full((4, 64, 64), -5.0), torch.zeros(4, dtype=torch.long)
    logits[2:, 18:23, 4:12] = 5.0
    near, far = [4 * 8.0 + 1.5, 4 * 20 + 1.5], [4 * 50.0 + 1.5, 4 * 20 + 1.5]  # x, y in pixels of the square
    coords = torch.tensor([[near, far], [near, far], [near, far], [[0.0, 0.0], [127.0, 255.0]]])
    labels = torch.tensor(
        [[POSITIVE, PADDING], [POSITIVE, NEGATIVE], [PADDING, PADDING], [BOX_START, BOX_END]], dtype=torch.int32
    )
    prompts = PromptBatch(coords, labels, None, torch.zeros(4, dtype=torch.bool))
    there = reached(seen, image, prompts, logits)
    assert there.max() <= 1
    thread = torch.zeros(64, 64, dtype=torch.bool)
    thread[20, 5:55] = True
    for found, last in zip(there > 0, (55, 30, 55, 33), strict=True):  # all, half, all from the mask, as far as the box
        columns = torch.nonzero(found[20])[:, 0]
        assert not (found & ~thread).any()
        assert columns.min() == 5
        assert abs(int(columns.max()) + 1 - last) <= 2
        assert len(columns) == columns.max() - 4


def test_only_the_uncertain_band_is_refined():
    logits = torch.full((2, 128, 128), -20.0)
    logits[0, 20:100, 30:90] = 20.0
    tiles = refinement.uncertain_tiles(logits)
    assert set(tiles[:, 0].tolist()) == {0}
    touched = torch.zeros(16, 16, dtype=torch.bool)
    touched[tiles[:, 1], tiles[:, 2]] = True
    assert touched[2, 4:11].all()
    assert not touched[5:10, 6:9].any()
    assert not touched[:, 13:].any()
    logits[1] = torch.randn(128, 128)
    assert (refinement.uncertain_tiles(logits)[:, 0] == 1).sum() == refinement.MOST_TILES


def test_the_canvas_of_an_object_holds_its_tiles():
    full = torch.arange(3.0)[:, None, None].expand(3, 32, 32) + 1
    tiles = refinement.Tiles(
        torch.tensor([0, 1, 1]), torch.tensor([0, 32, 64]), torch.tensor([64, 96, 32]), full[:, :16, :16], full
    )
    canvas, origin = tiles.canvas(1)
    assert origin == (32, 32)
    assert canvas.shape == (64, 96)
    assert (canvas[:32, 64:] == 2).all()
    assert (canvas[32:, :32] == 3).all()
    assert canvas.sum() == (2 + 3) * 32 * 32
    assert tiles.canvas(2) is None
    whole = tiles.add_to(torch.zeros(2, 128, 128))
    assert torch.equal(whole[1, 32:96, 32:128], canvas)
    assert whole[0].sum() == 32 * 32


def test_positive_and_negative_prompts_keep_opposite_effects():
    """A refiner that has learned to obey flips of a click does so; the rest of the mask stays."""
    model = SAM2Refiner(small_base()).train()
    rows = torch.arange(512.0)
    first, second = (((rows[:, None] - y) ** 2 + (rows - x) ** 2 < 60**2) for y, x in [(150, 150), (350, 350)])
    pixels = (first | second).float().expand(1, 3, 512, 512) + 0.1 * torch.randn(1, 3, 512, 512)
    coords = torch.tensor([[150.0, 150.0], [350.0, 350.0]]).expand(2, 2, 2)
    labels = torch.tensor([[POSITIVE, POSITIVE], [POSITIVE, NEGATIVE]], dtype=torch.int32)
    prompts = PromptBatch(coords, labels, None, torch.zeros(2, dtype=torch.bool))
    target = F.avg_pool2d(torch.stack([first | second, first]).float()[:, None], 4)[:, 0]
    image = torch.zeros(2, dtype=torch.long)
    features = model.encode(pixels)
    with torch.no_grad():
        decoded = model.base.decode(features, image, prompts, multimask=False)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    for _ in range(25):
        refined = model.refine(features, None, image, prompts, decoded, model.look(features, pixels))
        loss = F.binary_cross_entropy_with_logits(refined.logits, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    inside = second[2::4, 2::4]
    with_it, without_it = refined.logits[:, inside].mean(1)
    assert with_it > 0 > without_it
    assert (refined.logits[:, first[2::4, 2::4]].mean(1) > 0).all()


def test_clicks_are_drawn_with_their_sign():
    prompts = make_prompts("points", 512)
    flipped = prompts._replace(labels=torch.where(prompts.labels >= 0, 1 - prompts.labels, prompts.labels))
    drawn = refinement.signed_clicks(prompts, 128)
    assert torch.equal(drawn, -refinement.signed_clicks(flipped, 128))
    x, y = (prompts.coords[0] / 4).long().T
    assert (drawn[0, y, x] * torch.tensor([1, -1, 1]) > 0.5).all()


def test_samples_and_pools_are_those_of_torch():
    maps = torch.randn(2, 5, 8, 8)
    image = torch.tensor([1, 0, 1])
    places = torch.rand(3, 4, 2) * 9 - 1
    grid = (places + 0.5) / 4 - 1
    expected = F.grid_sample(maps[image], grid[:, None], padding_mode="border", align_corners=False)[:, :, 0]
    assert torch.allclose(retargeting.sample(maps, image, places), expected.transpose(1, 2), atol=1e-5)
    shares = torch.rand(3, 2, 8, 8)
    expected = (maps[image][:, None] * shares[:, :, None]).sum((-2, -1)) / shares.sum((-2, -1))[..., None]
    assert torch.allclose(retargeting.pool(maps, image, shares), expected, atol=1e-5)


def test_parts_of_maps_come_back():
    maps = torch.randn(2, 3, 8, 8)
    image, place = torch.tensor([0, 0, 0, 0, 1]), torch.tensor([3, 1, 0, 2, 1])
    back = put_together(quadrants_of(maps, image, place), image, place, 2)
    assert torch.equal(back[0], maps[0])
    assert torch.equal(back[1, :, :4, 4:], maps[1, :, :4, 4:])
    assert not back[1, :, 4:].any()
