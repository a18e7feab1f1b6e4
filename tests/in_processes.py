"""What `test_processes` runs in other processes, which import it by name."""

from __future__ import annotations

import torch

from napari_sam2refiner.errors import ReadError
from napari_sam2refiner.training.processes import agree, count, rank, share_gradients


def share() -> None:
    """Check that gradients are averaged and that the first process has its way."""
    used, unused = torch.nn.Linear(2, 1, bias=False), torch.nn.Linear(3, 1)
    used.weight.grad = torch.full((1, 2), float(rank() + 1))
    share_gradients(torch.nn.Sequential(unused, used))
    assert count() == 2
    assert torch.equal(used.weight.grad, torch.full((1, 2), 1.5))
    assert unused.weight.grad is None
    assert agree(0.25 + rank()) == 0.25
    assert torch.get_num_threads() == 1


def fail() -> None:
    """Fail as a reader does."""
    msg = f"no data in process {rank()}; give some."
    raise ReadError(msg)
