"""Exceptions of the package; every one derives from `SAM2RefinerError`.

::

    SAM2RefinerError
    ├── InvalidImageError       (ValueError)    an array that cannot be an image plane
    ├── InvalidPromptError      (ValueError)    a prompt that means nothing on this plane
    ├── InvalidLabelsError      (ValueError)    a label image that does not fit
    ├── InvalidConfigError      (ValueError)    training or network settings that contradict
    ├── WeightsError
    │   ├── UnknownModelError   (ValueError)    no model of that name, no file at that path
    │   ├── IntegrityError                      a weight file that is not what it should be
    │   └── DownloadError       (OSError)       no source of a weight file answered
    ├── ReadError               (OSError)       an image, a frame or a data set that cannot be read
    ├── SaveError               (OSError)       a result that cannot be written
    └── InsufficientMemoryError (MemoryError)   the smallest batch still does not fit

Each message is one sentence that names the value seen and what to do about it.
"""

from __future__ import annotations


def reason_of(error: Exception) -> str:
    """Return what an error says, to be put into a sentence; the name of its kind where it says nothing."""
    return str(error).rstrip(".") or type(error).__name__


class SAM2RefinerError(Exception):
    """Root of the package's exceptions."""


class InvalidImageError(SAM2RefinerError, ValueError):
    """The array cannot be an image plane."""


class InvalidPromptError(SAM2RefinerError, ValueError):
    """The prompt means nothing on this plane."""


class InvalidLabelsError(SAM2RefinerError, ValueError):
    """The label image does not fit what it is used for."""


class InvalidConfigError(SAM2RefinerError, ValueError):
    """Settings that are out of range or contradict each other."""


class WeightsError(SAM2RefinerError):
    """Something is wrong with a model's weights."""


class UnknownModelError(WeightsError, ValueError):
    """There is no model of that name and no file at that path."""


class IntegrityError(WeightsError):
    """The weight file is truncated, altered or of another network."""


class DownloadError(WeightsError, OSError):
    """No source of a weight file answered."""


class ReadError(SAM2RefinerError, OSError):
    """An image, a frame or a data set cannot be read."""


class SaveError(SAM2RefinerError, OSError):
    """A result cannot be written."""


class InsufficientMemoryError(SAM2RefinerError, MemoryError):
    """The smallest batch still does not fit into memory."""
