"""What users set once and for all; no Qt, napari or torch here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_sam2refiner.labels.tidy import Tidying
from napari_sam2refiner.viewer.state import default_model

if TYPE_CHECKING:
    from napari_sam2refiner.viewer.state import ModelChoice, Overlap

AUTOMATIC = "automatic"
OVERLAPS: Mapping[str, Overlap] = {"earlier object stays": "keep", "new object wins": "overwrite"}


@dataclass(frozen=True, slots=True)
class Preferences:
    """What users set once and for all, by the names and with the defaults of the manifest's configuration.

    Attributes
    ----------
    model : str
        The one to begin with, or "automatic": the first that is on disk.
    overlap : str
        Whose a pixel is that already belongs to an object; a key of `OVERLAPS`.
    smooth, fill_holes, specks : float, bool, int
        How masks are tidied at first.
    autosave : bool
        Whether work is kept on disk as it is done.
    first_steps : bool
        Whether the dock says how it goes, until the first object is kept.
    keyboard : str
        Keys that are to be others, such as "keep = F2, undo = Ctrl-Shift-J".
    """

    model: str = AUTOMATIC
    overlap: str = "earlier object stays"
    smooth: float = 0.0
    fill_holes: bool = False
    specks: int = 0
    autosave: bool = True
    first_steps: bool = True
    keyboard: str = ""

    @property
    def tidying(self) -> Tidying:
        """How masks are tidied at first."""
        return Tidying(self.smooth, self.fill_holes, self.specks)

    @property
    def overlap_rule(self) -> Overlap:
        """Whose a shared pixel is."""
        return OVERLAPS[self.overlap]

    def model_among(self, models: Sequence[ModelChoice]) -> str | None:
        """Return the model to begin with; one that is not listed any more leaves the choice to the dock."""
        return self.model if self.model in [model.name for model in models] else default_model(models)


def preferences_from(values: Any) -> Preferences:
    """Return preferences from an object that has them as attributes; what it does not have is as by default."""
    ours = Preferences()
    read: Callable[[str], Any] = lambda name: getattr(values, name, getattr(ours, name))  # noqa: E731
    return Preferences(**{name: read(name) for name in Preferences.__slots__})
