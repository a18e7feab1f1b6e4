from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from annotated import write_set

from napari_sam2refiner.errors import InvalidConfigError, ReadError, SaveError
from napari_sam2refiner.training import base_loop
from napari_sam2refiner.training.base_loop import Run, step_loss, train
from napari_sam2refiner.training.config import BaseTrainingConfig, load_config
from napari_sam2refiner.training.crops import CropDataset
from napari_sam2refiner.training.readers import scene_field
from napari_sam2refiner.training.rounds import Batch, collate
from napari_sam2refiner.weights.format import read_weights

if TYPE_CHECKING:
    from napari_sam2refiner.network.micro import MicroBase

CPU = torch.device("cpu")
NOT_TRAINED = ("memory_", "maskmem_", "obj_ptr", "no_obj", "mask_downsample", "no_mem_pos")
NEVER_USED = "sam_prompt_encoder.no_mask_embed.weight"  # the decoder always gets a mask: the first guess


def new_run(network: MicroBase, config: BaseTrainingConfig) -> Run:
    optimizer = torch.optim.AdamW(base_loop._groups(network, config), lr=config.learning_rate)
    return Run(config, network, optimizer, {k: v.detach().clone() for k, v in network.state_dict().items()})


def one_batch(network: MicroBase, config: BaseTrainingConfig) -> Batch:
    crops = CropDataset({"scenes": [scene_field(i) for i in range(2)]}, config)
    return collate([crops[0], crops[1]], network, 3, CPU)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_one_batch_is_learned_by_heart(network: MicroBase, config: BaseTrainingConfig) -> None:
    run, batch = new_run(network, config), one_batch(network, config)
    figures = []
    for _ in range(18):
        loss, figure = step_loss(run, batch, 2)
        run.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip)
        run.optimizer.step()
        run.step += 1
        figures.append(figure)
    assert figures[-1]["loss"] < 0.5 * figures[0]["loss"]
    assert sum(f["iou_last"] for f in figures[-4:]) / 4 > figures[0]["iou_last"] + 0.3


def test_what_is_trained_gets_a_gradient_and_the_memory_none(network: MicroBase, config: BaseTrainingConfig) -> None:
    run = new_run(network, config)
    loss, _ = step_loss(run, one_batch(network, config), 2)
    loss.backward()
    trained = {id(p) for group in run.optimizer.param_groups for p in group["params"]}
    for name, parameter in network.named_parameters():
        assert (id(parameter) in trained) != name.startswith(NOT_TRAINED), name
        has_gradient = parameter.grad is not None and bool(torch.isfinite(parameter.grad).all())
        assert has_gradient == (id(parameter) in trained and name != NEVER_USED), name


def test_a_step_in_half_precision_is_close(
    network: MicroBase, config: BaseTrainingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, batch = new_run(network, config), one_batch(network, config)
    exact, _ = step_loss(run, batch, 2)
    # what is done on a GPU, here on the CPU
    monkeypatch.setattr(base_loop, "_precision", lambda device: torch.autocast(device.type, torch.bfloat16))
    loss, _ = step_loss(run, batch, 2)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), rel=0.1)


def test_kernels_decay_and_biases_do_not(network: MicroBase, config: BaseTrainingConfig) -> None:
    decayed, free = base_loop._groups(network, config)
    assert decayed["weight_decay"] == config.weight_decay
    assert free["weight_decay"] == 0.0
    assert {p.ndim for p in free["params"]} <= {0, 1}


def test_the_rate_warms_up_holds_and_falls(network: MicroBase) -> None:
    run = new_run(network, load_config(None, steps=100, warmup=10, cooldown=0.4, learning_rate=1.0))
    rates = []
    for run.step in range(100):
        base_loop._set_rate(run)
        rates.append(run.optimizer.param_groups[0]["lr"])
    assert rates[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert rates[10:60] == pytest.approx([1.0] * 50)
    assert rates[80] == pytest.approx(0.505)
    assert rates[60:] == sorted(rates[60:], reverse=True)
    assert 0.01 <= rates[-1] < 0.02


def test_progress_follows_steps_or_minutes_whichever_is_further(network: MicroBase) -> None:
    run = new_run(network, load_config(None, steps=100, minutes=10.0))
    run.step, run.minutes = 20, 5.0
    assert run.progress == 0.5
    run.step = 70
    assert run.progress == 0.7
    run.minutes = 11.0
    assert run.progress == 1.0


def test_averaged_weights_follow(network: MicroBase, config: BaseTrainingConfig) -> None:
    run = new_run(network, config)
    name = "instance_embedding.outside"
    before = run.averaged[name].item()
    with torch.no_grad():
        network.instance_embedding.outside += 1.0
    run.step = 1
    base_loop._average(run)
    assert run.averaged[name].item() == pytest.approx(before + 1.0 - 2.0 / 11.0)


@pytest.mark.usefixtures("_tiny")
def test_a_run_leaves_settings_log_validation_and_weights(tmp_path: Path, network: MicroBase) -> None:
    folder, out, said = write_set(tmp_path / "discs"), tmp_path / "out", list[str]()
    config = load_config(None, crop=128, crops=1, objects=2, rounds=1, long_rounds=1, steps=20, scenes=0)
    path = train(config, [folder], out, start=network.state_dict(), say=said.append)
    assert load_config(out / "config.json") == config
    (row,) = table(out / "log.csv")
    assert row["step"] == "20"
    assert set(row) == {"step", "minutes", "rate", "loss", "iou_1", "iou_last", "iou_best", "score_error"}
    (row,) = table(out / "validation.csv")
    assert {"discs_1", "discs_3", "mean_1", "mean_3"} < set(row)
    weights = read_weights(path)
    assert weights.metadata["backbone"] == "micro"
    assert weights.metadata["steps"] == "20"
    network.load_state_dict(weights.base)
    assert said[0] == "training fields: discs 2"
    assert any(line.startswith("step 20,") for line in said)


@pytest.mark.usefixtures("_tiny")
def test_resuming_equals_not_having_stopped(
    tmp_path: Path, config: BaseTrainingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = [write_set(tmp_path / "discs")]
    often = config.model_copy(update={"checkpoint_minutes": 1e-9, "crops": 1, "validate_every": 2})
    whole = read_weights(train(often, data, tmp_path / "whole"))

    set_rate = base_loop._set_rate

    def stop_in_the_third_step(run: Run) -> None:
        if run.step == 2:
            raise KeyboardInterrupt
        set_rate(run)

    with monkeypatch.context() as patch:
        patch.setattr(base_loop, "_set_rate", stop_in_the_third_step)
        with pytest.raises(KeyboardInterrupt):
            train(often, data, tmp_path / "parts")
    with (tmp_path / "parts" / "validation.csv").open("a") as file:
        file.write("3,0.1,0,0,0,0\n")  # written, but after the last checkpoint
    parts = read_weights(train(often, data, tmp_path / "parts", resume=True))
    assert whole.base.keys() == parts.base.keys()
    for name, value in whole.base.items():
        torch.testing.assert_close(parts.base[name], value, rtol=0, atol=1e-6, msg=name)
    rows, expected = (table(tmp_path / run / "validation.csv") for run in ("parts", "whole"))
    for row in (*rows, *expected):
        del row["minutes"]
    assert rows == expected


@pytest.mark.usefixtures("_tiny")
def test_a_run_is_not_overwritten(tmp_path: Path, config: BaseTrainingConfig) -> None:
    data, out = [write_set(tmp_path / "discs")], tmp_path / "out"
    out.mkdir()
    (out / "checkpoint.pt").write_bytes(b"something")
    with pytest.raises(InvalidConfigError, match="out holds a run already"):
        train(config, data, out)
    with pytest.raises(ReadError, match=r"checkpoint\.pt is not a checkpoint of this network"):
        train(config, data, out, resume=True)
    assert (out / "checkpoint.pt").read_bytes() == b"something"
    with pytest.raises(SaveError, match="cannot be written"):
        train(config, data, out / "checkpoint.pt" / "below")


def test_rounds_grow_after_the_opening(network: MicroBase) -> None:
    run = new_run(network, load_config(None, steps=100, opening=0.25, rounds=2, long_rounds=5))
    seen = []
    for run.step in (0, 7, 24, 25, 90, 95):
        seen.append(base_loop._rounds(run))
    assert seen == [1, 5, 1, 2, 2, 5]
