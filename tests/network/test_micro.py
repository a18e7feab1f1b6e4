from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from napari_sam2refiner.network.base import NEGATIVE, PADDING, POSITIVE, InputSpec, PromptBatch
from napari_sam2refiner.network.frames import Frame
from napari_sam2refiner.network.micro import CUTS, SCALES, SIDE, LevelAnswer, MicroBase, at_scale, consensus, obeyed


@pytest.fixture(scope="module")
def micro() -> MicroBase:
    torch.manual_seed(0)
    network = MicroBase(width=32, memory_width=16, widths=(16, 16, 16, 16), depths=(1, 1, 1, 1)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=0.05)
    return network


def clicks(count: int, seed: int = 0) -> PromptBatch:
    torch.manual_seed(seed)
    labels = torch.tensor([[POSITIVE, NEGATIVE]], dtype=torch.int32).repeat(count, 1)
    return PromptBatch(torch.rand(count, 2, 2) * SIDE, labels, None, torch.zeros(count, dtype=torch.bool))


@pytest.mark.parametrize("scale", SCALES)
def test_prompts_of_a_level_are_those_of_a_smaller_square(scale):
    points = torch.tensor([[3.0, 7.5], [310.0, 20.0], [-0.5, 440.5]])
    mask = torch.zeros(330, 441)
    mask[100:180, 40:90] = 1
    whole, small = (Frame((330, 441), InputSpec(SIDE // s, "letterbox", (0,) * 3, (1,) * 3)) for s in (1, scale))
    given = PromptBatch(
        whole.points(points)[None],
        torch.ones(1, 3, dtype=torch.int32),
        whole.mask_logits(mask)[None, None],
        torch.ones(1, dtype=torch.bool),
    )
    scaled = at_scale(given, scale)
    torch.testing.assert_close(scaled.coords[0], small.points(points), atol=1e-3, rtol=0)
    assert ((scaled.mask_logits[0, 0] > 0) != (small.mask_logits(mask) > 0)).float().mean() < 0.01


def test_all_levels_stay_and_what_they_agree_on_is_chosen(micro):
    image = torch.zeros(5, dtype=torch.long)
    with torch.no_grad():
        features = micro.encode(torch.rand(1, 3, SIDE, SIDE))
        assert [level.features.stride4.shape[-1] for level in features.levels] == [SIDE // 4 // s for s in SCALES]
        all_levels = micro.decode(features, image, clicks(5), multimask=True)
        one = micro.decode(features, image, clicks(5), multimask=False)
    assert all_levels.logits.shape == (5, 3, SIDE // 4, SIDE // 4)
    assert torch.equal(all_levels.chosen, all_levels.scores.argmax(1))
    assert len(all_levels.chosen.unique()) > 1
    assert torch.equal(one.chosen_logits, all_levels.chosen_logits)
    assert torch.equal(one.token, all_levels.token)
    with torch.no_grad():
        answers = [
            micro.decode_level(level, image, at_scale(clicks(5), scale))
            for level, scale in zip(features.levels, SCALES, strict=True)
        ]
    size = all_levels.logits.shape[-2:]
    expected = obeyed(consensus(answers, size)[:, None], clicks(5))[:, 0]
    torch.testing.assert_close(all_levels.chosen_logits, expected)
    for level, answer in enumerate(answers):
        best = torch.nn.functional.interpolate(answer.best()[0][:, None], size=size, mode="bilinear")
        kept = all_levels.chosen != level
        torch.testing.assert_close(all_levels.logits[kept, level], obeyed(best, clicks(5))[kept, 0])
    for n, level in enumerate(all_levels.chosen.tolist()):
        given = PromptBatch(*(None if v is None else v[n : n + 1] for v in at_scale(clicks(5), SCALES[level])))
        with torch.no_grad():
            alone = micro.decode_level(features.levels[level], image[:1], given)
        torch.testing.assert_close(alone.token[0], all_levels.token[n], atol=1e-5, rtol=1e-4)
        logits, score = alone.best()
        assert score.sigmoid().item() == pytest.approx(all_levels.chosen_score[n].item(), abs=1e-5)
        assert (score == alone.score_logits.amax(1)).all()
        cut = CUTS[int(alone.score_logits.argmax())]
        torch.testing.assert_close(logits, alone.logits - cut)


def agreed_on(scores: torch.Tensor, logits: list[torch.Tensor]) -> torch.Tensor:
    """What levels agree on that answer with these logits; scores (N, L, C) are before the sigmoid."""
    rest = (torch.zeros(2, 8), torch.zeros(2, 1, 1, 1), torch.zeros(2))
    answers = [LevelAnswer(one, one, one, scores[:, n], *rest) for n, one in enumerate(logits)]
    return consensus(answers, logits[0].shape[-2:])


def test_a_candidate_far_ahead_is_the_mask_and_equals_even_out():
    torch.manual_seed(0)
    logits = [4 * torch.randn(2, 32 // s, 32 // s) for s in SCALES]
    scores = torch.full((2, 3, len(CUTS)), -6.0)
    scores[0, 1, 5] = scores[1, 0, 0] = 6.0
    found = agreed_on(scores, logits)
    resized = torch.nn.functional.interpolate(logits[1][:1, None], size=(32, 32), mode="bilinear")[0, 0]
    assert torch.equal(found[0] > 0, resized > CUTS[5])
    assert torch.equal(found[1] > 0, logits[0][1] > CUTS[0])
    equal = torch.zeros(2, 3, len(CUTS))
    for votes in ((1, 1, -1), (1, -1, -1), (1, 1, 1)):
        answers = [torch.full((2, 32 // s, 32 // s), 40.0 * vote) for s, vote in zip(SCALES, votes, strict=True)]
        for answer in answers:
            answer[:, :, answer.shape[-1] // 2 :] = 40.0
        agreed = agreed_on(equal, answers)
        assert ((agreed[:, :, :15] > 0) == (sum(votes) > 0)).all()
        assert (agreed[:, :, 17:] > 12).all()
        assert torch.isfinite(agreed).all()


def test_where_candidates_lie_beside_each_other_the_best_is_the_mask():
    places = [torch.full((2, 32 // s, 32 // s), -20.0) for s in SCALES]
    for level, (place, scale) in enumerate(zip(places, SCALES, strict=True)):
        place[:, level * 8 // scale : (level + 1) * 8 // scale] = 20.0
    scores = torch.zeros(2, 3, len(CUTS))
    scores[0, 1] = 0.01
    scores[1, 0] = 0.01
    for one, level in zip(agreed_on(scores, places), (1, 0), strict=True):
        assert (one[level * 8 + 2 : level * 8 + 6] > 0).all()
        assert (one[:8] > 0).any() == (level == 0)


def test_clicks_are_obeyed_and_nothing_far_from_them_changes():
    torch.manual_seed(0)
    logits = torch.randn(4, 3, 32, 32) * 3
    logits[0] = -20.0
    coords = torch.tensor([[20.0, 30.0], [90.3, 41.7], [63.5, 101.5]]).expand(4, 3, 2)
    labels = torch.tensor([[POSITIVE, NEGATIVE, PADDING]] * 4, dtype=torch.int32)
    prompts = PromptBatch(coords, labels, None, torch.zeros(4, dtype=torch.bool))
    after = obeyed(logits, prompts)
    grid = ((coords + 0.5) / 64 - 1)[:, None]
    at = torch.nn.functional.grid_sample(after, grid, align_corners=False)[:, :, 0]
    assert (at[..., 0] > 0).all()
    assert (at[..., 1] < 0).all()
    assert torch.equal(after[:, :, 20:], logits[:, :, 20:])  # where the padding lies, too
    assert not torch.equal(after, logits)
    right = torch.where(torch.arange(32) < 12, 5.0, -5.0).expand(4, 3, 32, 32)
    assert torch.equal(obeyed(right, prompts), right)


def test_threads_that_share_a_network_do_not_mix_their_answers(micro):
    with torch.no_grad():
        features = micro.encode(torch.rand(1, 3, SIDE, SIDE))

    prompts = [clicks(2, seed) for seed in range(40)]

    def answer(one: PromptBatch) -> torch.Tensor:
        with torch.no_grad():
            return micro.decode(features, torch.zeros(2, dtype=torch.long), one, multimask=False).mask_features

    expected = list(map(answer, prompts))
    with ThreadPoolExecutor(4) as pool:
        for found, alone in zip(pool.map(answer, prompts), expected, strict=True):
            torch.testing.assert_close(found, alone, atol=1e-4, rtol=1e-3)
