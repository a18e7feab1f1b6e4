"""What a propagation has done, frame by frame on disk, so that one that was interrupted goes on from there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from napari_sam2refiner.errors import InvalidConfigError, ReadError, SaveError
from napari_sam2refiner.planes.files import written_whole
from napari_sam2refiner.sessions.memory import Carried, Impression, Mask

if TYPE_CHECKING:
    from torch import Tensor

    from napari_sam2refiner.sessions.stack import StackSession

TERMS = "terms.json"
_SUFFIX = ".safetensors"


class Journal:
    """A folder with a file for each frame that objects were carried to.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    terms : mapping of str to str or number
        What the results depend on: stack, prompts, model, settings.

    Raises
    ------
    InvalidConfigError
        If the folder was begun on other terms.
    SaveError
        If it cannot be made.

    Attributes
    ----------
    folder : Path
    """

    def __init__(self, folder: Path, terms: Mapping[str, str | int | float]) -> None:
        self.folder = folder
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            msg = f"{folder} cannot be made: {error.strerror or error}; choose another place."
            raise SaveError(msg) from error
        path = folder / TERMS
        if not path.exists():
            with written_whole(path) as partial:
                partial.write_text(json.dumps(dict(terms), indent=1), encoding="utf-8")
            return
        try:
            begun = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            msg = f"{path} cannot be read ({error}); remove {folder} to begin again."
            raise ReadError(msg) from error
        changed = [name for name, value in terms.items() if begun.get(name) != value]
        if changed:
            name = changed[0]
            msg = (
                f"{folder} was begun with another {name} ({begun.get(name)} instead of {terms[name]}); "
                f"go on with that, or remove the folder to begin again."
            )
            raise InvalidConfigError(msg)

    def write(self, stack: StackSession, frame: int) -> None:
        """Keep what objects were carried to on a frame; raise `SaveError` if there is no room for it."""
        tensors: dict[str, Tensor] = {}
        about: dict[str, Any] = {}
        for number, (step, known) in stack.carried(frame).items():
            tensors[f"{number}.mask"] = known.mask.part.contiguous()
            if known.pointer is not None:
                tensors[f"{number}.pointer"] = known.pointer.cpu().contiguous()
            _, place, shape, outside = known.mask
            about[str(number)] = [step, known.score, known.object_logit, place, shape, outside]
        with written_whole(self.folder / f"{frame:06d}{_SUFFIX}") as partial:
            partial.write_bytes(save(tensors, {"objects": json.dumps(about)}))

    def restore(self, stack: StackSession) -> dict[int, set[int]]:
        """Bring back what is in it, and return the objects of each frame; raise `ReadError` if a file is damaged."""
        restored = {}
        for path in sorted(self.folder.glob(f"[0-9]*{_SUFFIX}")):
            carried: dict[int, Carried] = {}
            try:
                with safe_open(path, "pt") as file:
                    about = json.loads(file.metadata()["objects"])
                    there = set(file.keys())
                    for number, (step, score, object_logit, place, shape, outside) in about.items():
                        mask = Mask(file.get_tensor(f"{number}.mask"), tuple(place), tuple(shape), outside)
                        pointer = f"{number}.pointer"
                        pointed = file.get_tensor(pointer) if pointer in there else None
                        carried[int(number)] = Carried(step, Impression(mask, score, object_logit, pointed))
            except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
                msg = f"{path} cannot be read ({error}); remove it, and its frame is done again."
                raise ReadError(msg) from error
            stack.restore(int(path.stem), carried)
            restored[int(path.stem)] = set(carried)
        return restored

    def remove(self) -> None:
        """Take it away, when what was done is elsewhere."""
        shutil.rmtree(self.folder, ignore_errors=True)
