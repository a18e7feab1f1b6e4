"""The registry is closed, complete, and read without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from napari_sam2refiner.errors import UnknownModelError
from napari_sam2refiner.weights.registry import Entry, Registry, entries, find_entry

OFFICIAL = ["sam2.1_hiera_tiny", "sam2.1_hiera_small", "sam2.1_hiera_base_plus", "sam2.1_hiera_large"]


def fields(**changes: object) -> dict[str, object]:
    return {**find_entry("sam2.1_hiera_tiny").model_dump(), **changes}


def test_lists_micro_and_the_official_models() -> None:
    assert [entry.name for entry in entries("base")] == ["micro", *OFFICIAL]


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_models_come_from_the_official_place_first(name: str) -> None:
    entry = find_entry(name)
    assert entry.urls[0] == f"https://dl.fbaipublicfiles.com/segment_anything_2/092824/{entry.file}"
    assert len(entry.urls) == 2
    assert entry.licence == "Apache-2.0"


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256": "abc"},
        {"size": -1},
        {"licence": ""},
        {"file": "../weights.pt"},
        {"kind": "other"},
        {"urls": ()},
        {"embedded": True},
        {"urls": ("ftp://somewhere/file.pt",)},
        {"nickname": "t"},
    ],
)
def test_refuses_what_it_does_not_know(changes: dict[str, object]) -> None:
    Entry.model_validate(fields())
    with pytest.raises(ValidationError):
        Entry.model_validate(fields(**changes))


def test_refuses_two_of_a_name() -> None:
    with pytest.raises(ValidationError, match="listed twice"):
        Registry.model_validate({"model": [fields(), fields()]})


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UnknownModelError, match=r"'micr'.*did you mean 'micro'\?"):
        find_entry("micr")


def test_unknown_name_far_from_all_lists_them() -> None:
    with pytest.raises(UnknownModelError, match=r"choose one of micro, sam2\.1_hiera_tiny"):
        find_entry("xxxxxxxx")


def test_listing_and_fetching_need_no_torch() -> None:
    code = "import sys, napari_sam2refiner.weights as w; w.available(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
