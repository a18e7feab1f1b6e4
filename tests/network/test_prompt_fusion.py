"""What fusion adds to first guesses, and where."""

import pytest
import torch
from tokens import prompt

from napari_sam2refiner.network.base import BOX_END, BOX_START, NEGATIVE, PADDING, POSITIVE, PromptBatch
from napari_sam2refiner.network.prompt_fusion import PromptFusion


def test_fresh_fusion_changes_nothing():
    logits = torch.randn(1, 24, 40)
    zero = torch.zeros(1, dtype=torch.long)
    fused = PromptFusion(channels=16)(torch.randn(1, 16, 24, 40), zero, logits, prompt((5, 31, POSITIVE)))
    assert torch.equal(fused, logits)


@pytest.fixture
def fusion() -> PromptFusion:
    """One that changes a lot, by what is around."""
    torch.manual_seed(0)
    made = PromptFusion(channels=16)
    torch.nn.init.normal_(made.leave.weight, std=0.2)
    return made


SIDE = 96
AROUND = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")


def cone(y: float, x: float) -> torch.Tensor:
    """Logits that fall around a place, as first guesses do."""
    return 8.0 - 2.0 * ((AROUND[0] - y).square() + (AROUND[1] - x).square()).sqrt()


@pytest.mark.parametrize(
    "prompts",
    [
        prompt((20, 30, POSITIVE)),
        prompt((20, 30, POSITIVE), (80, 85, NEGATIVE)),
        prompt((12, 20, BOX_START), (28, 40, BOX_END)),
        prompt((20, 30, POSITIVE), mask=cone(60, 60)),
        prompt((0, 0, PADDING), mask=cone(20, 33)),
    ],
    ids=["click", "two clicks", "box", "click and mask", "mask"],
)
def test_fusion_where_an_object_may_be_is_as_everywhere(fusion, prompts):
    features, image = torch.randn(2, 16, SIDE, SIDE), torch.tensor([1, 0, 1])
    guesses = torch.stack([cone(20, 30), cone(20, 30), cone(2, 94)])
    masks = None if prompts.mask_logits is None else prompts.mask_logits.repeat(3, 1, 1, 1)
    many = PromptBatch(prompts.coords.repeat(3, 1, 1), prompts.labels.repeat(3, 1), masks, prompts.has_mask.repeat(3))
    whole = fusion(features, image, guesses, many).detach()
    with torch.no_grad():
        parts = fusion(features, image, guesses, many)
        alone = fusion(features, image[2:], guesses[2:], PromptBatch(*(None if v is None else v[2:] for v in many)))
    near = guesses > -20
    torch.testing.assert_close(parts[near], whole[near], atol=1e-4, rtol=1e-4)
    assert (whole - guesses)[near].abs().amax() > 1, "there is something to change"
    torch.testing.assert_close(alone[0], parts[2], atol=1e-4, rtol=1e-4)


def test_fusion_learns_everywhere_and_answers_where_an_object_may_be(fusion):
    guesses, features, image = cone(20, 30)[None], torch.randn(1, 16, SIDE, SIDE), torch.zeros(1, dtype=torch.long)
    with torch.no_grad():
        answered = fusion(features, image, guesses, prompt((20, 30, POSITIVE)))
    assert torch.equal(answered[:, 80:, 80:], guesses[:, 80:, 80:])
    fused = fusion(features, image, guesses, prompt((20, 30, POSITIVE)))
    assert not torch.equal(fused[:, 80:, 80:], guesses[:, 80:, 80:])
    fused.sum().backward()
    assert all(parameter.grad is not None for parameter in fusion.parameters())
