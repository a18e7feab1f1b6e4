"""Every exception is a `SAM2RefinerError`, and the standard kind that callers expect."""

from __future__ import annotations

import pytest

from napari_sam2refiner import errors


@pytest.mark.parametrize(
    ("error", "standard"),
    [
        (errors.InvalidImageError, ValueError),
        (errors.InvalidPromptError, ValueError),
        (errors.InvalidLabelsError, ValueError),
        (errors.InvalidConfigError, ValueError),
        (errors.UnknownModelError, ValueError),
        (errors.DownloadError, OSError),
        (errors.ReadError, OSError),
        (errors.SaveError, OSError),
        (errors.InsufficientMemoryError, MemoryError),
    ],
)
def test_errors_are_ours_and_standard(error: type[Exception], standard: type[Exception]) -> None:
    assert issubclass(error, errors.SAM2RefinerError)
    assert issubclass(error, standard)
    assert str(error("one sentence.")) == "one sentence."


def test_weight_errors_share_a_root() -> None:
    for error in (errors.UnknownModelError, errors.IntegrityError, errors.DownloadError):
        assert issubclass(error, errors.WeightsError)


def test_the_tree_in_the_docstring_names_every_error() -> None:
    assert errors.__doc__ is not None
    for name, value in vars(errors).items():
        if isinstance(value, type):
            assert name in errors.__doc__
