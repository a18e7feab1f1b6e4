import pytest
import torch
from torch.nn import functional as F

from napari_sam2refiner.network.backbones import build_base
from napari_sam2refiner.network.base import BOX_END, BOX_START, NEGATIVE, PADDING, POSITIVE, PromptBatch
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
    return decoded, model.refine(features, detail, image, prompts, decoded, pixels)


def assert_unchanged(decoded, refined):
    assert torch.equal(refined.logits, decoded.chosen_logits)
    assert torch.equal(refined.score, decoded.chosen_score)
    assert torch.equal(refined.object_logits, decoded.object_logits)
    assert len(refined.tiles.full) > 0
    assert not refined.tiles.full.any()
    assert not refined.tiles.stride2.any()


@pytest.mark.parametrize("kind", PROMPTS)
@pytest.mark.parametrize("local", [False, True])
def test_a_fresh_refiner_answers_as_micro_bit_for_bit(kind, local):
    torch.manual_seed(0)
    model = SAM2Refiner(build_base("micro")).eval()
    pixels = torch.randn(1, 3, 512, 512)
    with torch.no_grad():
        decoded, refined = answer(model, pixels, make_prompts(kind, 512), local=local)
    assert_unchanged(decoded, refined)
    assert model.is_untrained


def test_a_fresh_refiner_answers_as_tiny_bit_for_bit():
    torch.manual_seed(0)
    model = SAM2Refiner(build_base("sam2.1_hiera_tiny")).eval()
    pixels = torch.randn(1, 3, 1024, 1024)
    features = model.encode(pixels)
    local = model.encode_local(pixels.flip(-1))
    image = torch.zeros(3, dtype=torch.long)
    with torch.no_grad():
        detail = model.localize(features, local, image[:1], image[:1] + 2)
        for kind in PROMPTS:
            prompts = make_prompts(kind, 1024)
            decoded = model.base.decode(features, image, prompts, multimask=kind == "points")
            assert_unchanged(decoded, model.refine(features, detail, image, prompts, decoded, pixels))
