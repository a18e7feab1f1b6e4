from __future__ import annotations

from pathlib import Path

import pytest

from napari_sam2refiner.errors import InvalidConfigError, ReadError
from napari_sam2refiner.training.config import (
    BaseTrainingConfig,
    MemoryTrainingConfig,
    RefinerTrainingConfig,
    ScoreTrainingConfig,
    TrainingConfig,
    load_config,
)

RECIPE_FOLDER = Path(__file__).parents[2] / "docs" / "recipes"
RECIPES: dict[str, type[TrainingConfig]] = {
    "micro-finish": BaseTrainingConfig,
    "micro-scores": ScoreTrainingConfig,
    "micro-refiner": RefinerTrainingConfig,
    "window-memory": MemoryTrainingConfig,
}


def test_a_file_and_what_replaces_it(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"steps": 7, "crops": 3, "extent": [9, 90]}')
    config = load_config(tmp_path / "c.json", BaseTrainingConfig, steps=9, minutes=None)
    assert (config.steps, config.crops, config.extent, config.minutes) == (9, 3, (9.0, 90.0), None)


def test_what_is_saved_can_be_read(tmp_path: Path) -> None:
    config = load_config(None, BaseTrainingConfig, steps=7, minutes=1.5)
    (tmp_path / "config.json").write_text(config.model_dump_json())
    assert load_config(tmp_path / "config.json", BaseTrainingConfig) == config


def test_all_problems_are_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"stepps": 7, "crop": 100, "first_prompts": {"lasso": 1}}')
    with pytest.raises(InvalidConfigError) as caught:
        load_config(tmp_path / "c.json", BaseTrainingConfig, clip=0.0)
    for name in ("stepps", "crop", "first_prompts.lasso", "clip"):
        assert f"{name}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"extent": (9.0, 3.0)}, "give two growing positive numbers"),
        ({"weights": {"a": -1.0, "b": 2.0}}, "weights: Value error, these must be shares"),
        ({"first_prompts": {"click": 0.0}}, "first_prompts: Value error, these must be shares"),
    ],
)
def test_settings_that_contradict(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidConfigError, match=message):
        load_config(None, BaseTrainingConfig, **settings)


@pytest.mark.parametrize("text", ["{", "\x80"])
def test_a_file_that_is_no_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.json").write_text(text, encoding="latin-1")
    with pytest.raises(ReadError, match=r"c\.json cannot be read"):
        load_config(tmp_path / "c.json", BaseTrainingConfig)
    with pytest.raises(ReadError, match=r"none\.json cannot be read"):
        load_config(tmp_path / "none.json", BaseTrainingConfig)


def test_a_file_that_is_no_object(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text("[3]")
    with pytest.raises(InvalidConfigError, match="holds a list"):
        load_config(tmp_path / "c.json", BaseTrainingConfig)


def test_settings_cannot_be_changed_by_accident() -> None:
    with pytest.raises(ValueError, match="frozen"):
        BaseTrainingConfig().steps = 3  # type: ignore[misc]


def test_the_settings_of_the_documentation_are_valid(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
    (tmp_path / "c.json").write_text(text.partition("```json\n")[2].partition("```")[0])
    assert load_config(tmp_path / "c.json", BaseTrainingConfig).scenes == 300


@pytest.mark.parametrize(("name", "kind"), RECIPES.items())
def test_recipes_can_be_read(name: str, kind: type[TrainingConfig]) -> None:
    assert load_config(RECIPE_FOLDER / f"{name}.json", kind) != kind()


def test_every_recipe_is_tested() -> None:
    assert sorted(RECIPES) == sorted(path.stem for path in RECIPE_FOLDER.glob("*.json"))
