"""Prompts files: what the schema says is read, anything else is refused with the place where it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_sam2refiner.errors import InvalidPromptError, ReadError
from napari_sam2refiner.labels.io import save_labels
from napari_sam2refiner.sessions.prompts_file import PromptsFile, read_prompts_file


def write(folder: Path, content: Any) -> Path:
    path = folder / "prompts.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_reads_points_boxes_and_masks(tmp_path: Path) -> None:
    mask = np.zeros((8, 9), np.uint16)
    mask[2:4, 3:6] = 7
    save_labels(tmp_path / "drawn.tif", mask)
    objects = read_prompts_file(
        write(
            tmp_path,
            {
                "version": 1,
                "objects": [
                    {"points": [[1, 2], [3.5, 4]], "labels": [1, 0]},
                    {"id": 1, "boxes": [[0, 0, 5, 6]]},
                    {"mask": "drawn.tif"},
                ],
            },
        )
    )
    assert [o.object_id for o in objects] == [2, 1, 3]
    np.testing.assert_array_equal(objects[0].prompts.points, [[1, 2], [3.5, 4]])
    np.testing.assert_array_equal(objects[0].prompts.labels, [True, False])
    np.testing.assert_array_equal(objects[1].prompts.boxes, [[0, 0, 5, 6]])
    np.testing.assert_array_equal(objects[2].prompts.mask, mask > 0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "prompts.json: Invalid JSON"),
        ({"objects": [{"points": [[1, 2]]}]}, "version: Field required"),
        ({"version": 2, "objects": [{"points": [[1, 2]]}]}, "version"),
        ({"version": 1, "objects": []}, "objects"),
        ({"version": 1, "objects": [{"points": [[1]]}]}, r"objects\[0\]\.points\[0\]"),
        ({"version": 1, "objects": [{"points": [[1, 2]], "label": [1]}]}, r"objects\[0\]\.label: Extra"),
        ({"version": 1, "objects": [{"points": [[1, 2]], "labels": [2]}]}, r"objects\[0\]\.labels\[0\]"),
        ({"version": 1, "objects": [{"points": [[1, 2]], "labels": [1, 0]}]}, r"objects\[0\]: labels has shape"),
        ({"version": 1, "objects": [{"boxes": [[1, 2, 1, 5]]}]}, r"objects\[0\]: box 0 .* has no area"),
        ({"version": 1, "objects": [{"id": 0}]}, r"objects\[0\]\.id"),
        ({"version": 1, "objects": [{"id": 3}, {"id": 3}]}, "id 3 is given to two objects"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(InvalidPromptError, match=message):
        read_prompts_file(write(tmp_path, content))


def test_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"none\.json cannot be read"):
        read_prompts_file(tmp_path / "none.json")


def test_mask_that_is_not_there(tmp_path: Path) -> None:
    path = write(tmp_path, {"version": 1, "objects": [{"mask": "none.tif"}]})
    with pytest.raises(ReadError, match=r"objects\[0\]: .*none\.tif cannot be read"):
        read_prompts_file(path)


def test_schema_in_the_docs_is_the_schema() -> None:
    text = (Path(__file__).parents[2] / "docs" / "prompts-file.md").read_text(encoding="utf-8")
    examples = [block.split("```")[0] for block in text.split("```json\n")[1:]]
    assert json.loads(examples[-1]) == PromptsFile.model_json_schema()
    for example in examples[:-1]:
        PromptsFile.model_validate_json(example)
