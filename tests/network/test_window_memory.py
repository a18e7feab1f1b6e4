"""Windows are cut from frames and brought back to where they were; what is remembered is found again."""

from __future__ import annotations

import pytest
import torch

from napari_sam2refiner.network.window_memory import Scales, Window, WindowMemory, frame_scales, to_frame


def disc(shape: tuple[int, int], y: float, x: float, radius: float) -> torch.Tensor:
    rows, columns = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in shape), indexing="ij")
    return (rows - y) ** 2 + (columns - x) ** 2 < radius**2


@pytest.mark.parametrize(("y", "x", "radius"), [(100, 150, 20), (5, 290, 9), (100, 150, 70), (199, 0, 4)])
def test_a_mask_comes_back_from_its_window(y: float, x: float, radius: float) -> None:
    mask = disc((200, 300), y, x, radius)
    window = Window.around(mask)
    share = Scales(mask[None].float()).cut([window])[0, 0]
    back = to_frame(share - 0.5, window, (200, 300), -1.0) > 0
    assert (back & mask).sum() / (back | mask).sum() > 0.98


def test_objects_of_any_size_look_alike() -> None:
    small, large = disc((200, 300), 90, 100, 20), disc((800, 1200), 361.5, 401.5, 80)
    cuts = [
        Scales(mask[None].float()).cut([Window(y, x, side)])[0, 0]
        for mask, y, x, side in ((small, 90, 100, 100), (large, 361.5, 401.5, 400))
    ]
    assert (cuts[0] - cuts[1]).abs().mean() < 0.01
    assert Window.around(large).side == pytest.approx(4 * Window.around(small).side, rel=0.1)


def test_a_window_beside_the_frame_is_empty() -> None:
    image = torch.full((40, 50, 3), 0.6)
    inside, beside = frame_scales(image).cut([Window(20, 25, 20), Window(-60, 25, 40)])
    assert torch.allclose(inside[:3], torch.tensor(1.0))
    assert torch.allclose(inside[3], torch.tensor(1.0))
    assert not beside.any()
    whole = to_frame(torch.ones(128, 128), Window(-60, 25, 40), (40, 50), -3.0)
    assert (whole == -3).all()


def test_a_fresh_memory_copies() -> None:
    memory = WindowMemory()
    hints = disc((128, 128), 60, 70, 20)[None].float()
    pixels = torch.rand(2, 1, 4, 128, 128)
    with torch.no_grad():
        found = memory.find(memory.encode(pixels[0]), memory.encode(pixels[1]), hints)
    copied = found.logits > 0
    assert (copied & (hints > 0)).sum() / (copied | (hints > 0)).sum() > 0.9


def test_every_parameter_learns_and_objects_do_not_mix() -> None:
    torch.manual_seed(0)
    memory = WindowMemory()
    pixels, masks = torch.rand(3, 2, 4, 128, 128), torch.rand(2, 2, 128, 128)
    with torch.no_grad():
        memory.leave[-1].weight.normal_()
    remembered = memory.remember(memory.encode(pixels[0]), masks[0])
    found = memory.find(memory.encode(pixels[2]), memory.encode(pixels[1]), masks[1], remembered)
    assert found.logits.shape == (2, 128, 128)
    assert found.object_logits.shape == (2,)
    (found.logits.square().mean() + found.object_logits.square().mean()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in memory.parameters())
    with torch.no_grad():
        first = type(remembered)(*(maps[:1] for maps in remembered))
        seen, before = (memory.encode(pixels[t, :1]) for t in (2, 1))
        alone = memory.find(seen, before, masks[1, :1], first)
    assert torch.allclose(alone.logits, found.logits[:1], atol=1e-3)
