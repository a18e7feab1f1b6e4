from __future__ import annotations

import csv
import errno
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from napari_sam2refiner.errors import InvalidConfigError, ReadError, SaveError
from napari_sam2refiner.training import loop
from napari_sam2refiner.training.base import BaseCourse
from napari_sam2refiner.training.config import BaseTrainingConfig, load_config
from napari_sam2refiner.training.launch import Machines, launch
from napari_sam2refiner.training.loop import Course, Moment, Run, average, averaged_weights, groups, set_rate, train
from napari_sam2refiner.weights.format import read_weights

if TYPE_CHECKING:
    from torch.utils.data import Dataset

    from napari_sam2refiner.network.micro import MicroBase


def new_run(network: torch.nn.Module, config: BaseTrainingConfig) -> Run:
    optimizer = torch.optim.AdamW(groups(network, config), lr=config.learning_rate)
    return Run(config, network, optimizer, {k: v.detach().clone() for k, v in network.state_dict().items()})


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_kernels_decay_and_biases_do_not(network: MicroBase, config: BaseTrainingConfig) -> None:
    decayed, free = groups(network, config)
    assert decayed["weight_decay"] == config.weight_decay
    assert free["weight_decay"] == 0.0
    assert {p.ndim for p in free["params"]} <= {0, 1}


def test_the_rate_warms_up_holds_and_falls(network: MicroBase) -> None:
    run = new_run(network, load_config(None, BaseTrainingConfig, steps=100, warmup=10, cooldown=0.4, learning_rate=1.0))
    rates = []
    for run.step in range(100):
        set_rate(run)
        rates.append(run.optimizer.param_groups[0]["lr"])
    assert rates[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert rates[10:60] == pytest.approx([1.0] * 50)
    assert rates[80] == pytest.approx(0.505)
    assert rates[60:] == sorted(rates[60:], reverse=True)
    assert 0.01 <= rates[-1] < 0.02


def test_progress_follows_steps_or_minutes_whichever_is_further(network: MicroBase) -> None:
    run = new_run(network, load_config(None, BaseTrainingConfig, steps=100, minutes=10.0))
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
    average(run)
    assert run.averaged[name].item() == pytest.approx(before + 1.0 - 2.0 / 11.0)


@pytest.mark.usefixtures("_tiny")
def test_a_run_leaves_settings_log_validation_and_weights(tmp_path: Path, network: MicroBase, data: list[Path]) -> None:
    out, said = tmp_path / "out", list[str]()
    config = load_config(
        None, BaseTrainingConfig, crop=128, crops=1, objects=2, rounds=1, long_rounds=1, steps=20, scenes=0
    )
    path = train(partial(BaseCourse, config, data, dict(network.state_dict())), out, say=said.append)
    assert load_config(out / "config.json", BaseTrainingConfig) == config
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
    tmp_path: Path, config: BaseTrainingConfig, data: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    often = config.model_copy(update={"checkpoint_minutes": 1e-9, "crops": 1, "validate_every": 2})
    course = partial(BaseCourse, often, data)
    whole = read_weights(train(course, tmp_path / "whole"))

    def stop_in_the_third_step(run: Run) -> None:
        if run.step == 2:
            raise KeyboardInterrupt
        set_rate(run)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "set_rate", stop_in_the_third_step)
        with pytest.raises(KeyboardInterrupt):
            train(course, tmp_path / "parts")
    with (tmp_path / "parts" / "validation.csv").open("a") as file:
        file.write("3,0.1,0,0,0,0\n")  # written, but after the last checkpoint
    parts = read_weights(train(course, tmp_path / "parts", resume=True))
    assert whole.base.keys() == parts.base.keys()
    for name, value in whole.base.items():
        torch.testing.assert_close(parts.base[name], value, rtol=0, atol=1e-6, msg=name)
    rows, expected = (table(tmp_path / run / "validation.csv") for run in ("parts", "whole"))
    for row in (*rows, *expected):
        del row["minutes"]
    assert rows == expected


@pytest.mark.usefixtures("_tiny")
def test_a_run_is_not_overwritten(tmp_path: Path, config: BaseTrainingConfig, data: list[Path]) -> None:
    course, out = partial(BaseCourse, config, data), tmp_path / "out"
    out.mkdir()
    (out / "checkpoint.pt").write_bytes(b"something")
    with pytest.raises(InvalidConfigError, match="out holds a run already"):
        train(course, out)
    with pytest.raises(ReadError, match=r"checkpoint\.pt is not a checkpoint of this network"):
        train(course, out, resume=True)
    assert (out / "checkpoint.pt").read_bytes() == b"something"
    with pytest.raises(SaveError, match="cannot be written"):
        train(course, out / "checkpoint.pt" / "below")


def test_a_run_goes_on_only_with_its_own_settings(tmp_path: Path) -> None:
    out = tmp_path / "out"
    config = load_config(None, BaseTrainingConfig, steps=2, seed=0)
    train(partial(Sum, config, []), out)
    settings = (out / "config.json").read_text()
    other = load_config(None, BaseTrainingConfig, steps=3, seed=9)
    with pytest.raises(InvalidConfigError, match=r"checkpoint\.pt is of a run with seed = 0, not 9; go on with its"):
        train(partial(Sum, other, []), out, resume=True)
    assert (out / "config.json").read_text() == settings
    longer = config.model_copy(update={"steps": 3, "minutes": 5.0})
    assert train(partial(Sum, longer, []), out, resume=True).read_text() == "3"


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(loop.torch, "save", full)
    with pytest.raises(SaveError, match=r"checkpoint\.pt cannot be written: No space left on device"):
        train(partial(Sum, load_config(None, BaseTrainingConfig, steps=1), []), tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["config.json"]


class Sum(Course[BaseTrainingConfig]):
    """Learns the mean of its samples, which are their numbers."""

    command = "train sum"
    weights_file = "sum.safetensors"

    def __init__(self, config: BaseTrainingConfig, data: list[Path], merits: tuple[float, ...] = ()) -> None:
        super().__init__(config, data)
        self.value = torch.nn.Linear(1, 1)
        torch.nn.init.zeros_(self.value.weight)
        self.merits = list(merits)

    @property
    def trained(self) -> torch.nn.Module:
        return self.value

    @property
    def crops(self) -> Dataset[Any]:
        return range(10_000)  # type: ignore[return-value]

    def forward(self, samples: Any, moment: Moment) -> tuple[torch.Tensor, dict[str, float]]:
        if self.data:
            msg = f"no data in process {moment.rank}; give some."
            raise ReadError(msg)
        loss = (self.value.weight * float(sum(samples))).sum() + self.value.bias.sum()
        return loss, {"loss": loss.item(), "samples": float(sum(samples))}

    def validate(self) -> dict[str, float]:
        return {"bias": self.value.bias.item(), "merit": self.merits.pop(0)} if self.merits else {}

    def merit(self, figures: dict[str, float]) -> float:
        return figures["merit"]

    def write(self, path: Path, weights: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
        path.write_text(metadata["steps"])
        torch.save(weights, path.with_suffix(".all"))

    def about(self) -> list[str]:
        return []

    def describe(self, figures: dict[str, float]) -> str:
        return f"samples {figures.get('samples')}"


def test_the_weights_of_the_best_validation_are_kept(tmp_path: Path) -> None:
    config = load_config(None, BaseTrainingConfig, steps=4, validate_every=1)
    path = train(partial(Sum, config, [], (0.1, 0.5, 0.4, 0.2)), tmp_path / "out")
    assert path.read_text() == "2"


def test_a_run_that_is_stopped_in_its_last_validation_has_lost_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(_course: Sum) -> dict[str, float]:
        raise KeyboardInterrupt

    monkeypatch.setattr(Sum, "validate", stopped)
    with pytest.raises(KeyboardInterrupt):
        train(partial(Sum, load_config(None, BaseTrainingConfig, steps=3), []), tmp_path / "out")
    state = torch.load(tmp_path / "out" / "checkpoint.pt", weights_only=True)
    assert state["step"] == 3
    assert (tmp_path / "out" / "sum.safetensors").read_text() == "3"


def test_averaged_weights_are_there_for_a_while(config: BaseTrainingConfig) -> None:
    run = new_run(torch.nn.Linear(1, 1), config)
    with torch.no_grad():
        run.trained.weight.fill_(5.0)
    with averaged_weights(run):
        assert run.trained.weight.item() == run.averaged["weight"].item() != 5.0
        assert not run.trained.training
    assert run.trained.weight.item() == 5.0
    assert run.trained.training


def test_two_processes_take_other_samples_and_share_gradients(tmp_path: Path) -> None:
    config = load_config(None, BaseTrainingConfig, steps=20, crops=2, warmup=0, weight_decay=0.0)
    train(partial(Sum, config, []), tmp_path / "one")
    train(partial(Sum, config, []), tmp_path / "two", machines=Machines(devices=2))
    # samples 4 n to 4 n + 1 in the first process, 4 n + 2 and 4 n + 3 in the second
    log = [float(table(tmp_path / name / "log.csv")[0]["samples"]) for name in ("one", "two")]
    assert log[1] > 1.5 * log[0]
    state = torch.load(tmp_path / "two" / "checkpoint.pt", weights_only=True)
    second = state["optimizer"]["state"][0]["exp_avg"].item()
    first = torch.load(tmp_path / "one" / "checkpoint.pt", weights_only=True)["optimizer"]["state"][0]["exp_avg"].item()
    assert second != first
    assert state["step"] == 20


def test_in_bfloat16_networks_compute_in_it_and_samples_stay_as_they_are() -> None:
    sample = Machines(devices=3)  # a frozen dataclass, as samples are

    class Seeing(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 2)

        def forward(self, given: Machines) -> torch.Tensor:
            assert given is sample
            inside = self.layer(torch.ones(1, 2))
            kinds.append(inside.dtype)
            return inside.float().sum()

    kinds: list[torch.dtype] = []
    for machines in (Machines(), Machines(bf16=True)):
        launch(machines, lambda fabric: fabric.setup_module(Seeing())(sample))
    assert kinds == [torch.float32, torch.bfloat16]


def test_an_error_of_a_process_is_as_clear_as_without(tmp_path: Path) -> None:
    config = load_config(None, BaseTrainingConfig, steps=1)
    with pytest.raises(ReadError, match=r"no data in process \d; give some"):
        train(partial(Sum, config, [tmp_path]), tmp_path / "out", machines=Machines(devices=2))
    with pytest.raises(InvalidConfigError, match="9 GPUs are wanted but"):
        train(partial(Sum, config, []), tmp_path / "out", machines=Machines("cuda", 9))
