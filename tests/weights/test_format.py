"""Weight files: what is written is read, and what is no weight file is refused with one sentence."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from napari_sam2refiner.errors import IntegrityError, SaveError
from napari_sam2refiner.weights.format import read_weights, write_weights

BASE = {"a": torch.tensor([0.5, -2.0]), "n": torch.tensor(3)}
REFINER = {"b": torch.ones(2, 2)}


@pytest.mark.parametrize("half", [True, False])
def test_own_file_round_trip(tmp_path: Path, half: bool) -> None:
    path = tmp_path / "w.safetensors"
    write_weights(path, backbone="micro", base=BASE, refiner=REFINER, metadata={"command": "train base"}, half=half)
    read = read_weights(path)
    assert read.metadata == {"command": "train base", "backbone": "micro", "format": "1"}
    assert read.base["a"].dtype == (torch.float16 if half else torch.float32)
    assert read.base["n"].dtype == torch.int64
    assert torch.equal(read.base["a"].float(), BASE["a"])
    assert torch.equal(read.refiner["b"].float(), REFINER["b"])
    assert os.listdir(tmp_path) == ["w.safetensors"]


@pytest.mark.parametrize("content", [BASE, {"model": BASE}, {"model": BASE, "epoch": 3}])
def test_official_layout(tmp_path: Path, content: dict[str, object]) -> None:
    torch.save(content, tmp_path / "w.pt")
    read = read_weights(tmp_path / "w.pt")
    assert read.base.keys() == BASE.keys()
    assert not read.refiner


class Unpickled:
    """What a malicious file would hold."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("harm",)


def test_nothing_in_a_file_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": Unpickled()}, "w.pt")
    with pytest.raises(IntegrityError, match="cannot be read"):
        read_weights(Path("w.pt"))
    assert not Path("harm").exists()


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", pickle.dumps(3, 2)])
def test_other_content_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(IntegrityError, match=name):
        read_weights(tmp_path / name)


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_truncated_file_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if path.suffix == ".pt":
        torch.save({"model": BASE}, path)
    else:
        write_weights(path, backbone="micro", base=BASE)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(IntegrityError, match="truncated"):
        read_weights(path)


@pytest.mark.parametrize("content", [[1], {}, {"model": {"a": 1}}, {"model": [BASE["a"]]}])
def test_no_state_dict_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(IntegrityError, match="state dict"):
        read_weights(tmp_path / "w.pt")


def test_foreign_safetensors_is_refused(tmp_path: Path) -> None:
    save_file({"a": BASE["a"]}, tmp_path / "w.safetensors")
    with pytest.raises(IntegrityError, match="format None"):
        read_weights(tmp_path / "w.safetensors")


def test_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SaveError, match="cannot be written"):
        write_weights(tmp_path / "none" / "w.safetensors", backbone="micro", base=BASE)
