from __future__ import annotations

import in_processes
import pytest
import torch

from napari_sam2refiner.errors import ReadError
from napari_sam2refiner.training.processes import agree, count, rank, run_in_parallel, share_gradients


def test_two_processes_share_gradients_and_a_clock() -> None:
    run_in_parallel(2, in_processes.share)


def test_an_error_is_as_clear_as_without_processes() -> None:
    with pytest.raises(ReadError, match="no data in process 0; give some"):
        run_in_parallel(1, in_processes.fail)


def test_one_process_alone_shares_with_nobody() -> None:
    layer = torch.nn.Linear(2, 1)
    layer.weight.grad = torch.ones(1, 2)
    share_gradients(layer)
    assert torch.equal(layer.weight.grad, torch.ones(1, 2))
    assert (rank(), count(), agree(3.0)) == (0, 1, 3.0)
