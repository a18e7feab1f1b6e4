from __future__ import annotations

from pathlib import Path

import pytest
from annotated import write_set

from napari_sam2refiner.errors import ReadError
from napari_sam2refiner.training.readers import training_fields


def test_a_folder_gives_the_sets_that_may_train_and_scenes(tmp_path: Path) -> None:
    write_set(tmp_path / "may")
    write_set(tmp_path / "may_not", use="eval")
    write_set(tmp_path / "later", splits=("val",))
    sets = training_fields([tmp_path], scenes=2, thin_scenes=3, seed=0)
    assert {name: len(fields) for name, fields in sets.items()} == {"may": 2, "scenes": 2, "thin_scenes": 3}


def test_a_set_for_measuring_is_refused_when_it_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="for measuring only"):
        training_fields([write_set(tmp_path / "s", use="eval")], scenes=2, seed=0)


@pytest.mark.parametrize("names", [("a/cells", "b/cells"), ("scenes", "other"), ("thin_scenes", "other")])
def test_sets_of_one_name_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    folders = [write_set(tmp_path / name) for name in names]
    with pytest.raises(ReadError, match="has the name of another set"):
        training_fields(folders, scenes=0, seed=0)


def test_nothing_to_train_on(tmp_path: Path) -> None:
    write_set(tmp_path / "s", use="eval")
    with pytest.raises(ReadError, match="holds no set with use = 'train'"):
        training_fields([tmp_path], scenes=0, seed=0)
