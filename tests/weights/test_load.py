"""`load_model`: names, paths, official layouts, half precision, refiners, devices; and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from napari_sam2refiner.errors import IntegrityError, InvalidConfigError, UnknownModelError
from napari_sam2refiner.network.backbones import BASE_NAMES, build_base
from napari_sam2refiner.network.refiner import SAM2Refiner
from napari_sam2refiner.weights import load_model
from napari_sam2refiner.weights.format import write_weights
from napari_sam2refiner.weights.load import detect_backbone, find_device, find_dtype

State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def base() -> State:
    torch.manual_seed(0)
    return build_base("micro").state_dict()


@pytest.fixture(scope="module")
def refiner() -> State:
    torch.manual_seed(1)
    state = SAM2Refiner(build_base("micro")).state_dict()
    return {key: torch.rand_like(value) for key, value in state.items() if not key.startswith("base.")}


@pytest.fixture
def micro_file(tmp_path: Path, base: State) -> Path:
    write_weights(tmp_path / "mine.safetensors", backbone="micro", base=base)
    return tmp_path / "mine.safetensors"


def test_own_file_in_half_precision(micro_file: Path, base: State) -> None:
    model = load_model(micro_file, device="cpu")
    assert (model.name, model.backbone, model.refiner_name) == ("mine", "micro", None)
    assert not model.training
    assert model.is_untrained
    loaded = model.base.state_dict()
    assert all(value.dtype == base[key].dtype for key, value in loaded.items())
    assert all(torch.equal(value, base[key].half().to(value.dtype)) for key, value in loaded.items())


def test_file_with_its_refiner(tmp_path: Path, base: State, refiner: State) -> None:
    write_weights(tmp_path / "both.safetensors", backbone="micro", base=base, refiner=refiner)
    model = load_model(str(tmp_path / "both.safetensors"), device="cpu")
    assert model.refiner_name == "both"
    assert not model.is_untrained


def test_refiner_from_its_own_file(tmp_path: Path, micro_file: Path, refiner: State) -> None:
    write_weights(tmp_path / "fine.safetensors", backbone="micro", refiner=refiner)
    model = load_model(micro_file, tmp_path / "fine.safetensors", device="cpu")
    assert (model.name, model.refiner_name) == ("mine", "fine")
    assert not model.is_untrained


def test_micro_takes_the_place_of_a_refiner_for_another_base(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(build_base("sam2.1_hiera_tiny").state_dict(), tmp_path / "tiny.pt")
    model = load_model(tmp_path / "tiny.pt", refiner="micro", device="cpu")
    assert (model.backbone, model.refiner_name, model.is_untrained) == ("sam2.1_hiera_tiny", "micro", False)
    assert model.second is not None
    assert model.second.name == "micro"
    assert load_model("micro", refiner="micro", device="cpu").second is None


def test_micro_takes_the_place_of_a_bases_own_refiner_too(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = SAM2Refiner(build_base("sam2.1_hiera_tiny"))
    own = {key: value for key, value in model.state_dict().items() if not key.startswith("base.")}
    path = tmp_path / "both.safetensors"
    write_weights(path, backbone="sam2.1_hiera_tiny", base=model.base.state_dict(), refiner=own)
    assert load_model(path, device="cpu").refiner_name == "both"
    assert load_model(path, refiner="none", device="cpu").refiner_name is None
    borrowed = load_model(path, refiner="micro", device="cpu")
    assert borrowed.refiner_name == "micro"
    assert borrowed.second is not None


def test_official_layout_tells_its_backbone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = build_base("sam2.1_hiera_tiny").state_dict()
    torch.save({"model": state}, tmp_path / "hvit_t_cells.pt")
    model = load_model(tmp_path / "hvit_t_cells.pt", device="cpu")
    assert (model.name, model.backbone) == ("hvit_t_cells", "sam2.1_hiera_tiny")
    assert all(torch.equal(value, state[key]) for key, value in model.base.state_dict().items())


@pytest.mark.parametrize("name", BASE_NAMES)
def test_each_backbone_is_detected(name: str) -> None:
    state = build_base(name).state_dict()
    assert detect_backbone(state, Path("some.pt")) == name


def test_sam_2_0_is_refused() -> None:
    state = build_base("sam2.1_hiera_tiny").state_dict()
    del state["no_obj_embed_spatial"]
    with pytest.raises(IntegrityError, match=r"is of SAM 2\.0"):
        detect_backbone(state, Path("some.pt"))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save({"model": {"encoder.weight": torch.zeros(3)}}, tmp_path / "w.pt")
    with pytest.raises(IntegrityError, match="no network known here"):
        load_model(tmp_path / "w.pt", device="cpu")


def test_weights_that_do_not_fit_are_refused(tmp_path: Path, base: State) -> None:
    changed = dict(base)
    first, second, *_ = changed
    changed[first] = changed[first][:-1]
    del changed[second]
    changed["extra"] = torch.zeros(1)
    write_weights(tmp_path / "w.safetensors", backbone="micro", base=changed)
    with pytest.raises(IntegrityError, match="does not fit") as caught:
        load_model(tmp_path / "w.safetensors", device="cpu")
    assert f"1 missing (first: {second})" in str(caught.value)
    assert "1 unknown (first: extra)" in str(caught.value)
    assert f"1 of another shape (first: {first})" in str(caught.value)


def test_refiner_of_another_backbone_is_refused(tmp_path: Path, micro_file: Path, refiner: State) -> None:
    write_weights(tmp_path / "r.safetensors", backbone="sam2.1_hiera_tiny", refiner=refiner)
    with pytest.raises(IntegrityError, match=r"a refiner of sam2\.1_hiera_tiny; choose one trained on micro"):
        load_model(micro_file, tmp_path / "r.safetensors", device="cpu")


def test_base_as_refiner_and_refiner_as_base_are_refused(tmp_path: Path, micro_file: Path, refiner: State) -> None:
    with pytest.raises(IntegrityError, match="no refiner"):
        load_model(micro_file, micro_file, device="cpu")
    write_weights(tmp_path / "r.safetensors", backbone="micro", refiner=refiner)
    with pytest.raises(IntegrityError, match="holds a refiner alone"):
        load_model(tmp_path / "r.safetensors", device="cpu")
    with pytest.raises(UnknownModelError, match="'micro' is a base, not a refiner"):
        load_model(micro_file, "micro", device="cpu")


@pytest.mark.parametrize("name", ["micor", "/nowhere/weights.pt"])
def test_unknown_name_or_path(name: str) -> None:
    with pytest.raises(UnknownModelError, match="no model named"):
        load_model(name, device="cpu")


@pytest.mark.parametrize("device", ["cuda:99", "quantum", "meta", "cpu:3"])
def test_device_that_is_not_there(device: str) -> None:
    with pytest.raises(InvalidConfigError, match="cannot be used here; choose 'auto' or"):
        find_device(device)


def test_auto_takes_a_device_that_is_there() -> None:
    device = find_device("auto")
    assert torch.zeros(1, device=device).device.type == device.type
    assert find_dtype("auto", torch.device("cpu")) == torch.float32


def test_unknown_dtype() -> None:
    assert find_dtype("bfloat16", torch.device("cpu")) == torch.bfloat16
    with pytest.raises(InvalidConfigError, match="'float64' is not known"):
        find_dtype("float64", torch.device("cpu"))  # type: ignore[arg-type]


def test_the_refiner_on_trial_is_used_only_where_it_is_asked_for() -> None:
    assert load_model("micro", device="cpu").is_untrained
    model = load_model("micro", refiner="micro_refiner", device="cpu")
    assert (model.refiner_name, model.is_untrained) == ("micro_refiner", False)
