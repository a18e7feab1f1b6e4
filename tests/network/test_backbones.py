from functools import partial

import numpy as np
import pytest
import torch
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from sam2.build_sam import build_sam2
from sam2.sam2_image_predictor import SAM2ImagePredictor

from napari_sam2refiner.errors import UnknownModelError
from napari_sam2refiner.network.backbones import BASE_NAMES, build_base, freeze
from napari_sam2refiner.network.refiner import SAM2Refiner
from napari_sam2refiner.prompts import Prompts
from napari_sam2refiner.sessions.image import ImageSession

# The official predictor's transforms.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")

OFFICIAL = {
    "sam2.1_hiera_tiny": "configs/sam2.1/sam2.1_hiera_t.yaml",
    "sam2.1_hiera_small": "configs/sam2.1/sam2.1_hiera_s.yaml",
    "sam2.1_hiera_base_plus": "configs/sam2.1/sam2.1_hiera_b+.yaml",
    "sam2.1_hiera_large": "configs/sam2.1/sam2.1_hiera_l.yaml",
}


def build_official(name: str, device: str = "cpu"):
    if not GlobalHydra.instance().is_initialized():
        initialize_config_module("sam2", version_base="1.2")
    with torch.device(device):
        return build_sam2(OFFICIAL[name], device=device)


@pytest.fixture(scope="module")
def official_tiny():
    torch.manual_seed(0)
    model = build_official("sam2.1_hiera_tiny")
    with torch.no_grad():
        # Masks that mean something to the stability test and to the corrections.
        for mlp in model.sam_mask_decoder.output_hypernetworks_mlps:
            mlp.layers[-1].weight.mul_(20)
    return model


@pytest.fixture(scope="module")
def tiny(official_tiny, tmp_path_factory):
    """Our tiny, loaded from a file that the official model's state was saved to."""
    path = tmp_path_factory.mktemp("weights") / "sam2.1_hiera_tiny.pt"
    torch.save({"model": official_tiny.state_dict()}, path)
    base = build_base("sam2.1_hiera_tiny")
    base.load_state_dict(torch.load(path, weights_only=True)["model"], strict=True)
    return base


@pytest.mark.parametrize("name", OFFICIAL)
def test_names_and_shapes_are_the_official_ones(name, monkeypatch):
    # Without memory for the parameters; Hiera reads numbers from this tensor while it is built.
    monkeypatch.setattr(torch, "linspace", partial(torch.linspace, device="cpu"))
    with torch.device("meta"):
        ours = build_base(name)
    official = build_official(name, "meta")
    expected = {key: (value.shape, value.dtype) for key, value in official.state_dict().items()}
    assert {key: (value.shape, value.dtype) for key, value in ours.state_dict().items()} == expected
    ours.load_state_dict(official.state_dict(), strict=True, assign=True)


@pytest.fixture(scope="module")
def both(official_tiny, tiny):
    """An image in both predictors."""
    rows, columns = np.mgrid[:1024, :1024] / 1024
    image = np.stack([np.sin(9 * rows), np.cos(7 * columns), rows * columns], -1) * 100 + 128
    image = (image + np.random.default_rng(0).normal(0, 20, image.shape)).clip(0, 255).astype(np.uint8)
    predictor = SAM2ImagePredictor(official_tiny)
    predictor.set_image(image)
    session = ImageSession(SAM2Refiner(tiny).eval()).set_image(image, intensity="dtype")
    return predictor, session


CASES = {
    "click": Prompts(points=[(500, 300)]),
    "clicks": Prompts(points=[(500, 300), (520, 400), (100, 900)], labels=[1, 1, 0]),
    "box": Prompts(boxes=[(200, 300, 600, 800)]),
    "box and click": Prompts(boxes=[(200, 300, 600, 800)], points=[(400, 500)], labels=[0]),
}


@pytest.mark.parametrize("name", CASES)
def test_tiny_answers_as_the_official_predictor(both, name):
    predictor, session = both
    prompts = CASES[name]

    def official(previous=None):
        points = prompts.points[:, ::-1].copy() if len(prompts.points) else None
        labels = prompts.labels.astype(int) if len(prompts.points) else None
        box = prompts.boxes[0][[1, 0, 3, 2]] if len(prompts.boxes) else None
        multimask = prompts.is_single_click and previous is None
        return predictor.predict(points, labels, box, previous, multimask_output=multimask, return_logits=True)

    masks, scores, low = official()
    answer = session.predict(prompts)
    order = scores.argsort()[::-1]
    assert len(answer.candidates) == len(masks)
    for candidate, i in zip(answer.candidates, order, strict=True):
        assert candidate.score == pytest.approx(scores[i], abs=1e-5)
        assert np.abs(candidate.logits - masks[i]).max() <= 1e-4
    masks, scores, _ = official(previous=low[order[:1]])
    answer = session.predict(prompts, previous=answer)
    assert answer.score == pytest.approx(scores[0], abs=1e-5)
    assert np.abs(answer.logits - masks[0]).max() <= 1e-4


def test_the_token_is_that_of_the_mask_taken(tiny):
    torch.manual_seed(0)
    logits, scores = 0.02 * torch.randn(6, 4, 32, 32), torch.rand(6, 4)
    logits[:3, 0] = torch.where(torch.rand(3, 32, 32) > 0.5, 10.0, -10.0)  # stable
    taken = tiny._stable_mask(logits, scores)
    assert taken.tolist() == [0, 0, 0, *(1 + scores[3:, 1:].argmax(1)).tolist()]
    expected, _ = tiny.sam_mask_decoder._dynamic_multimask_via_stability(logits, scores)
    assert torch.equal(logits[torch.arange(6), taken], expected[:, 0])


def test_an_unknown_name_is_an_error():
    with pytest.raises(UnknownModelError, match=r"'sam3'; choose one of micro, sam2\.1_hiera_tiny"):
        build_base("sam3")
    assert set(BASE_NAMES) == {"micro", *OFFICIAL}


def test_freeze():
    layer = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout())
    freeze(layer)
    assert not layer.training
    assert not layer[1].training
    assert not any(p.requires_grad for p in layer.parameters())
